"""Draws ColorMNet.png: a grey frame whose right part has taken on colour. Run it to make the icon anew (needs PySide6).

QT_QPA_PLATFORM=offscreen python nuke/icons/draw_icon.py
"""

import os
import sys

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QGuiApplication, QImage, QLinearGradient, QPainter, QPainterPath, QPen

SIZE, SCALE = 24, 8


def draw(path: str) -> None:
    """Paint at eight times the size and reduce."""
    big = SIZE * SCALE
    image = QImage(big, big, QImage.Format_ARGB32_Premultiplied)
    image.fill(Qt.transparent)
    painter = QPainter(image)
    painter.setRenderHint(QPainter.Antialiasing)
    frame = QPainterPath()
    frame.addRoundedRect(QRectF(8, 28, big - 16, big - 56), 20, 20)
    painter.setClipPath(frame)
    grey = QLinearGradient(0, 28, 0, big - 28)
    grey.setColorAt(0.0, QColor(205, 205, 205))
    grey.setColorAt(1.0, QColor(70, 70, 70))
    painter.fillRect(0, 0, big, big, QBrush(grey))
    coloured = QPainterPath(QPointF(big * 0.62, 0))
    coloured.lineTo(big, 0)
    coloured.lineTo(big, big)
    coloured.lineTo(big * 0.38, big)
    coloured.closeSubpath()
    sky = QLinearGradient(0, 28, 0, big - 28)
    sky.setColorAt(0.0, QColor(86, 160, 226))
    sky.setColorAt(0.55, QColor(244, 190, 96))
    sky.setColorAt(1.0, QColor(46, 120, 74))
    painter.fillPath(coloured, QBrush(sky))
    painter.setPen(Qt.NoPen)
    painter.setBrush(QColor(150, 150, 150))
    painter.drawEllipse(QPointF(big * 0.5, big * 0.5), 30, 30)
    painter.setClipPath(frame.intersected(coloured))
    painter.setBrush(QColor(226, 74, 51))
    painter.drawEllipse(QPointF(big * 0.5, big * 0.5), 30, 30)
    painter.setClipPath(frame)
    painter.setPen(QPen(QColor(255, 255, 255), 8))
    painter.drawLine(QPointF(big * 0.62, 0), QPointF(big * 0.38, big))
    painter.setClipping(False)
    painter.setPen(QPen(QColor(25, 25, 25), 10))
    painter.setBrush(Qt.NoBrush)
    painter.drawPath(frame)
    painter.end()
    image.scaled(SIZE, SIZE, Qt.KeepAspectRatio, Qt.SmoothTransformation).save(path)


if __name__ == "__main__":
    application = QGuiApplication(sys.argv)
    draw(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ColorMNet.png"))
