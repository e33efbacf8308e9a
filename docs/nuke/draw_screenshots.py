"""Makes the pictures of docs/nuke.md: colours the bundled clip through the node and grabs the panel offscreen.

    QT_QPA_PLATFORM=offscreen python docs/nuke/draw_screenshots.py [FOLDER FOR WORK]

The host is the tests' stand-in, the worker and the lite model are the real ones. `graph.png` and `properties.png` are
drawn from the script's nodes and the node's knobs by this script, say so, and are no pictures of Nuke.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WIDTH, HEIGHT, FRAMES = 320, 180, range(1001, 1025)
OF_CLIP = range(1, 1 + 2 * 24, 2)  # every other frame: more happens
SHOWN = FRAMES[16]
NOTE = "Drawn by docs/nuke/draw_screenshots.py from the %s; not a picture of Nuke."


def load(name: str, path: Path) -> Any:
    """A module or package by path."""
    places = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def plates(standin: Any, folder: Path) -> None:
    """The clip's first frames as grey linear EXRs, and the first one in colour."""
    import cv2
    import numpy as np

    from colormnet.media.frames import open_source

    clip = open_source(str(ROOT / "core" / "colormnet" / "demo_media" / "big_buck_bunny.mp4"), OF_CLIP)
    with clip:
        for number, frame in zip(clip.frames, FRAMES, strict=True):
            small = cv2.resize(clip.read(number).pixels, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            linear = np.where(small <= 0.081, small / 4.5, ((small + 0.099) / 1.099) ** (1 / 0.45)).astype(np.float32)
            grey = linear @ np.array([0.2126, 0.7152, 0.0722], np.float32)
            for name, rgb in (("plate", np.repeat(grey[..., None], 3, axis=-1)), ("colour", linear)):
                names = ("rgba.red", "rgba.green", "rgba.blue")
                channels = {c: np.ascontiguousarray(rgb[..., i]) for i, c in enumerate(names)}
                image = standin.Image(standin.Format(WIDTH, HEIGHT), (0, 0, WIDTH, HEIGHT), channels)
                standin.write_exr(str(folder / f"{name}.{frame}.exr"), image, False, "zip")


def properties(node: Any, widgets: Any, core: Any) -> Any:
    """The node's knobs as a form."""
    window = widgets.QWidget()
    window.setStyleSheet(
        "QWidget { background: #393939; color: #d0d0d0; } QLineEdit, QComboBox, QPlainTextEdit { background: #2c2c2c;"
        " border: 1px solid #222; padding: 2px; } QPushButton { background: #4c4c4c; border: 1px solid #222;"
        " border-radius: 3px; padding: 4px 10px; } QLabel#head { color: #f0b050; } QLabel#note { color: #909090; }"
        " QLineEdit:disabled, QComboBox:disabled { color: #707070; background: #343434; }"
        " QLabel:disabled { color: #707070; }"
    )
    form = widgets.QFormLayout(window)
    form.setLabelAlignment(core.Qt.AlignRight)
    buttons = widgets.QHBoxLayout()
    for knob in node.allKnobs():
        if not knob._user or knob.Class() == "Tab_Knob" or not knob.visible():
            continue
        kind, label = knob.Class(), knob.label()
        if kind == "PyScript_Knob":
            buttons.addWidget(widgets.QPushButton(label))
            if label == "Free GPU":
                form.addRow("", buttons)
                buttons = widgets.QHBoxLayout()
            continue
        left, right = _row(knob, kind, label, widgets)
        form.addRow(left, right)
        if not knob.enabled():
            form.labelForField(right).setEnabled(False)
    form.addRow("", buttons)
    note = widgets.QLabel(NOTE % "node's knobs")
    note.setObjectName("note")
    form.addRow(note)
    window.resize(560, 10)
    return window


def _row(knob: Any, kind: str, label: str, widgets: Any) -> tuple[Any, Any]:
    if kind == "Text_Knob":
        text = widgets.QLabel(knob.value())
        text.setWordWrap(True)
        head = widgets.QLabel(label)
        if not knob.value():
            head.setObjectName("head")
        return head, text
    if kind == "Boolean_Knob":
        box = widgets.QCheckBox(label)
        box.setChecked(knob.value())
        return "", box
    if kind == "Enumeration_Knob":
        combo = widgets.QComboBox()
        combo.addItem(knob.value())
        combo.setEnabled(knob.enabled())
        return label, combo
    if kind == "Multiline_Eval_String_Knob":
        lines = widgets.QPlainTextEdit(knob.value())
        lines.setFixedHeight(48)
        return label, lines
    line = widgets.QLineEdit(str(knob.value()))
    line.setEnabled(knob.enabled())
    return label, line


def graph(pictures: list[str]) -> Any:
    """Read, Read -> ColorMNet -> Write, each with the picture it gives (plate, exemplar, result as files)."""
    from PySide6 import QtCore, QtGui

    wide, high, text = WIDTH // 2 + 16, HEIGHT // 2 + 38, "#1c1c1c"
    image = QtGui.QImage(640, 372, QtGui.QImage.Format_RGB32)
    image.fill(QtGui.QColor("#393939"))
    painter = QtGui.QPainter(image)
    painter.setRenderHints(QtGui.QPainter.Antialiasing | QtGui.QPainter.SmoothPixmapTransform)
    boxes = {
        "plate": QtCore.QRectF(30, 20, wide, high),
        "exemplar": QtCore.QRectF(640 - 30 - wide, 20, wide, high),
        "node": QtCore.QRectF(320 - wide / 2, 196, wide, high),
        "write": QtCore.QRectF(640 - 30 - 100, 240, 100, 34),
    }

    def arrow(start: Any, end: Any, label: str, at: Any) -> None:
        painter.setPen(QtGui.QPen(QtGui.QColor("#b8b8b8"), 1.6))
        painter.drawLine(start, end)
        way = QtCore.QLineF(end, start)
        tip = QtGui.QPolygonF([end])
        for angle in (20, -20):
            side = QtCore.QLineF(way)
            side.setAngle(way.angle() + angle)
            side.setLength(11)
            tip.append(side.p2())
        painter.setBrush(QtGui.QColor("#b8b8b8"))
        painter.drawPolygon(tip)
        painter.setPen(QtGui.QColor("#d8d8d8"))
        painter.drawText(at, label)

    node = boxes["node"]
    left, right = QtCore.QPointF(node.left() + 40, node.top()), QtCore.QPointF(node.right() - 40, node.top())
    arrow(QtCore.QPointF(boxes["plate"].center().x(), 20 + high), left, "1 plate", QtCore.QPointF(132, 178))
    exemplar = QtCore.QPointF(boxes["exemplar"].center().x(), 20 + high)
    arrow(exemplar, right, "2 exemplar", QtCore.QPointF(468, 186))
    arrow(QtCore.QPointF(node.right(), 257), QtCore.QPointF(boxes["write"].left(), 257), "", QtCore.QPointF())
    names = ("Read: black-and-white", "Read: a coloured frame", "ColorMNet1")
    colours = ("#8f8f8f", "#8f8f8f", "#d8a040")
    for key, name, colour, file in zip(("plate", "exemplar", "node"), names, colours, pictures, strict=True):
        box = boxes[key]
        painter.setPen(QtCore.Qt.NoPen)
        painter.setBrush(QtGui.QColor(colour))
        painter.drawRoundedRect(box, 5, 5)
        painter.setPen(QtGui.QColor(text))
        painter.drawText(box.adjusted(0, 4, 0, 0), int(QtCore.Qt.AlignHCenter | QtCore.Qt.AlignTop), name)
        painter.drawImage(QtCore.QRectF(box.left() + 8, box.top() + 28, WIDTH // 2, HEIGHT // 2), QtGui.QImage(file))
    painter.setPen(QtCore.Qt.NoPen)
    painter.setBrush(QtGui.QColor("#a8a060"))
    painter.drawRoundedRect(boxes["write"], 5, 5)
    painter.setPen(QtGui.QColor(text))
    painter.drawText(boxes["write"], int(QtCore.Qt.AlignCenter), "Write")
    painter.setPen(QtGui.QColor("#909090"))
    painter.drawText(
        image.rect().adjusted(0, 0, 0, -10), int(QtCore.Qt.AlignHCenter | QtCore.Qt.AlignBottom), NOTE % "script"
    )
    painter.end()
    return image


def main(work: Path) -> None:
    """Colour, then grab."""
    os.environ.update(COLORMNET_RUNTIME=str(work / "run"), COLORMNET_CACHE=str(work / "cache"))
    from PySide6 import QtCore, QtWidgets

    application = QtWidgets.QApplication([])
    standin = load("nuke_standin", ROOT / "tests" / "hosts" / "nuke_standin" / "__init__.py")
    plates(standin, work)
    host = standin.Host(gui=True)
    host.load_plugins(ROOT / "nuke")
    nuke = host.module
    import colormnet_nuke
    from colormnet_nuke import panel

    read = nuke.nodes.Read(first=FRAMES[0], last=FRAMES[-1])
    read["file"].setValue(f"{work.as_posix()}/plate.%04d.exr")
    paint = nuke.nodes.Read(first=FRAMES[0], last=FRAMES[-1])
    paint["file"].setValue(f"{work.as_posix()}/colour.%04d.exr")
    node = colormnet_nuke.create(read, paint)
    node["exemplar_frame"].setValue(FRAMES[0])
    node["use_gpu"].setValue(False)
    node["custom_range"].setValue("1001-1024")
    nuke.scriptSaveAs(str(work / "shot.nk"), 1)
    nuke.frame(SHOWN)
    colormnet_nuke.colorize(node)
    window = panel.show(node)
    window.resize(760, 500)
    source = window.source
    application.processEvents()
    window.exemplar_list.setCurrentRow(0)
    window.setFocus()
    application.processEvents()
    window.grab().save(str(HERE / "panel.png"))
    pictures = [source.pictures(SHOWN)[0], source.exemplars()[0].thumbnail, source.pictures(SHOWN)[1]]
    graph(pictures).save(str(HERE / "graph.png"))
    window.add_there_button.click()
    colormnet_nuke.colorize(node)
    window.refresh()
    application.processEvents()
    window.grab().save(str(HERE / "panel_second_exemplar.png"))
    node["use_gpu"].setValue(True)
    form = properties(node, QtWidgets, QtCore)
    form.show()
    application.processEvents()
    form.grab().save(str(HERE / "properties.png"))
    from colormnet_host.client import Client
    from colormnet_host.launcher import Launcher

    with Client(Launcher(device="cpu")) as client:
        client.stop()


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
