"""The panel's two pictures of a shot: the confidence curve and the wipe between plate and result."""

import math
from typing import Any, Dict, List, Optional, Tuple

from colormnet_host.panel_qt import QtCore, QtGui, QtWidgets

Qt = QtCore.Qt
GROUND, GRID, TEXT = "#262626", "#3c3c3c", "#9a9a9a"
CURVE, EXEMPLAR, ADVICE, CURSOR = "#7fc97f", "#6fa8dc", "#f0b050", "#e6e6e6"


class ConfidenceCurve(QtWidgets.QWidget):  # type: ignore[misc]
    """Mean confidence over the frames; a click chooses a frame."""

    frame_chosen = QtCore.Signal(int)

    def __init__(self, parent: Any = None) -> None:
        super(ConfidenceCurve, self).__init__(parent)
        self.setFixedHeight(140)
        self.setCursor(Qt.PointingHandCursor)
        self.frames = []  # type: List[int]
        self.confidence = {}  # type: Dict[int, float]
        self.exemplars = []  # type: List[int]
        self.recommended = None  # type: Optional[int]
        self.current = 0

    def show_shot(
        self,
        frames: List[int],
        confidence: Dict[int, float],
        exemplars: List[int],
        recommended: Optional[int],
        current: int,
    ) -> None:
        """Show these values (confidence in [0, 1])."""
        self.frames, self.confidence = list(frames), dict(confidence)
        self.exemplars, self.recommended, self.current = list(exemplars), recommended, current
        self.update()

    def _area(self) -> Any:
        return QtCore.QRectF(44, 12, max(10, self.width() - 60), max(10, self.height() - 40))

    def x_of(self, frame: int) -> float:
        """Where a frame is, in pixels of the widget."""
        area = self._area()
        first, last = (self.frames[0], self.frames[-1]) if self.frames else (0, 1)
        return float(area.left() + area.width() * (frame - first) / max(1, last - first))

    def frame_at(self, x: float) -> Optional[int]:
        """The nearest frame, None where there are no frames."""
        return min(self.frames, key=lambda frame: abs(self.x_of(frame) - x)) if self.frames else None

    def scale(self) -> Tuple[float, float]:
        """Lowest and highest confidence shown: what there is, in steps of 10 %, never less than 20 % of it."""
        values = [value for frame, value in self.confidence.items() if frame not in self.exemplars]
        if not values:
            return 0.0, 1.0
        low, high = math.floor(min(values) * 10 - 0.3) / 10.0, math.ceil(max(values) * 10 + 0.3) / 10.0
        low, high = max(0.0, low), min(1.0, high)
        if high - low < 0.2:
            low = max(0.0, high - 0.2)
        return low, max(high, low + 0.2)

    def _y_of(self, value: float) -> float:
        area, (low, high) = self._area(), self.scale()
        return float(area.bottom() - area.height() * min(1.0, max(0.0, (value - low) / (high - low))))

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Choose the frame under the mouse."""
        frame = self.frame_at(event.pos().x())
        if frame is not None:
            self.frame_chosen.emit(frame)

    def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw grid, curve, marks, cursor."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.fillRect(self.rect(), QtGui.QColor(GROUND))
        self._grid(painter)
        if self.frames:
            self._marks(painter)
            self._curve(painter)
        else:
            painter.setPen(QtGui.QColor(TEXT))
            painter.drawText(self.rect(), Qt.AlignCenter, "no frames yet")
        painter.end()

    def _grid(self, painter: Any) -> None:
        area = self._area()
        low, high = (round(100 * value) for value in self.scale())
        for percent in (low, (low + high) // 2, high):
            y = self._y_of(percent / 100.0)
            painter.setPen(QtGui.QPen(QtGui.QColor(GRID), 1))
            painter.drawLine(QtCore.QPointF(area.left(), y), QtCore.QPointF(area.right(), y))
            painter.setPen(QtGui.QColor(TEXT))
            box = QtCore.QRectF(0, y - 9, area.left() - 6, 18)
            painter.drawText(box, int(Qt.AlignRight | Qt.AlignVCenter), "%d %%" % percent)
        painter.setPen(QtGui.QColor(TEXT))
        for frame, align in self._ticks():
            box = QtCore.QRectF(self.x_of(frame) - 40, area.bottom() + 5, 80, 18)
            painter.drawText(box, int(align), "%d" % frame)

    def _ticks(self) -> List[Tuple[int, Any]]:
        if not self.frames:
            return []
        wanted = max(2, min(len(self.frames), int(self._area().width() // 110)))
        step = max(1, (len(self.frames) - 1) // max(1, wanted - 1))
        chosen = self.frames[::step]
        if self.frames[-1] not in chosen:
            chosen = [f for f in chosen if self.x_of(self.frames[-1]) - self.x_of(f) > 60] + [self.frames[-1]]
        return [(frame, Qt.AlignHCenter | Qt.AlignTop) for frame in chosen]

    def _vertical(self, painter: Any, frame: int, colour: str, width: float, style: Any) -> None:
        area = self._area()
        painter.setPen(QtGui.QPen(QtGui.QColor(colour), width, style))
        painter.drawLine(QtCore.QPointF(self.x_of(frame), area.top()), QtCore.QPointF(self.x_of(frame), area.bottom()))

    def _marks(self, painter: Any) -> None:
        first, last = self.frames[0], self.frames[-1]
        for frame in self.exemplars:
            if first <= frame <= last:
                self._vertical(painter, frame, EXEMPLAR, 2, Qt.SolidLine)
                self._triangle(painter, frame, EXEMPLAR)
        if self.recommended is not None and first <= self.recommended <= last:
            self._vertical(painter, self.recommended, ADVICE, 2, Qt.DashLine)
            self._triangle(painter, self.recommended, ADVICE)
        if first <= self.current <= last:
            self._vertical(painter, self.current, CURSOR, 1, Qt.SolidLine)

    def _triangle(self, painter: Any, frame: int, colour: str) -> None:
        x, top = self.x_of(frame), self._area().top()
        shape = QtGui.QPolygonF(
            [QtCore.QPointF(x - 6, top - 9), QtCore.QPointF(x + 6, top - 9), QtCore.QPointF(x, top)]
        )
        painter.setPen(Qt.NoPen)
        painter.setBrush(QtGui.QColor(colour))
        painter.drawPolygon(shape)
        painter.setBrush(Qt.NoBrush)

    def _curve(self, painter: Any) -> None:
        painter.setPen(QtGui.QPen(QtGui.QColor(CURVE), 2))
        before = None
        for frame in self.frames:
            value = self.confidence.get(frame)
            point = None if value is None else QtCore.QPointF(self.x_of(frame), self._y_of(value))
            if point is not None and before is not None:
                painter.drawLine(before, point)
            elif point is not None:
                painter.drawPoint(point)
            before = point  # a frame that is not done breaks the line


class Wipe(QtWidgets.QWidget):  # type: ignore[misc]
    """Plate on the left of a line, result on its right; the line is dragged. A double click shows one of them whole."""

    def __init__(self, parent: Any = None) -> None:
        super(Wipe, self).__init__(parent)
        self.setMinimumSize(240, 135)
        self.setCursor(Qt.SplitHCursor)
        self.plate = QtGui.QPixmap()
        self.result = QtGui.QPixmap()
        self.position = 0.5  # of the picture's width

    def show_pictures(self, plate: str, result: str) -> None:
        """Show picture files; "" or an unreadable file shows nothing on that side."""
        self.plate = QtGui.QPixmap(plate) if plate else QtGui.QPixmap()
        self.result = QtGui.QPixmap(result) if result else QtGui.QPixmap()
        self.update()

    def picture_area(self) -> Any:
        """Where the picture is, in pixels of the widget."""
        picture = self.result if not self.result.isNull() else self.plate
        if picture.isNull():
            return QtCore.QRect()
        size = picture.size().scaled(self.size(), Qt.KeepAspectRatio)
        left, top = (self.width() - size.width()) // 2, (self.height() - size.height()) // 2
        return QtCore.QRect(left, top, size.width(), size.height())

    def _drag(self, x: float) -> None:
        area = self.picture_area()
        if area.width() > 0:
            self.position = min(1.0, max(0.0, (x - area.left()) / float(area.width())))
            self.update()

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Take the line."""
        self._drag(event.pos().x())

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Drag the line."""
        self._drag(event.pos().x())

    def mouseDoubleClickEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """All plate, or all result."""
        self.position = 1.0 if self.position < 0.5 else 0.0
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Draw both pictures, the line and the names of the sides."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform)
        painter.fillRect(self.rect(), QtGui.QColor("#1c1c1c"))
        area = self.picture_area()
        if area.isEmpty():
            painter.setPen(QtGui.QColor(TEXT))
            painter.drawText(self.rect(), Qt.AlignCenter, "no picture of this frame yet")
            painter.end()
            return
        split = area.left() + round(self.position * area.width())
        self._side(painter, area, self.plate, QtCore.QRect(area.left(), area.top(), split - area.left(), area.height()))
        right = QtCore.QRect(split, area.top(), area.right() + 1 - split, area.height())
        self._side(painter, area, self.result, right)
        painter.setPen(QtGui.QPen(QtGui.QColor(255, 255, 255, 200), 1))
        painter.drawLine(split, area.top(), split, area.bottom())
        self._name(painter, area, "plate", Qt.AlignLeft, split - area.left())
        self._name(painter, area, "colour", Qt.AlignRight, area.right() - split)
        painter.end()

    @staticmethod
    def _side(painter: Any, area: Any, picture: Any, part: Any) -> None:
        if part.isEmpty():
            return
        painter.save()
        painter.setClipRect(part)
        if picture.isNull():
            painter.setPen(QtGui.QColor(TEXT))
            painter.drawText(part, Qt.AlignCenter, "not done")
        else:
            painter.drawPixmap(area, picture)
        painter.restore()

    @staticmethod
    def _name(painter: Any, area: Any, text: str, side: Any, room: int) -> None:
        if room < 60:
            return
        box = area.adjusted(8, 6, -8, -6)
        for offset, colour in ((1, "#000000"), (0, "#ffffff")):
            painter.setPen(QtGui.QColor(colour))
            painter.drawText(box.translated(offset, offset), int(side | Qt.AlignTop), text)
