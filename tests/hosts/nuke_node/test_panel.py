"""The panel, rendered offscreen: in this process on PySide6, in Debian's Python on PySide2."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]

SCRIPT = """
import json, os, sys
os.environ["QT_QPA_PLATFORM"] = "offscreen"
sys.path.insert(0, sys.argv[1])
from colormnet_host import panel_qt
from colormnet_host.panel import ExemplarItem, Panel, PanelSource
Qt, QtCore, QtGui, QtWidgets = panel_qt.QtCore.Qt, panel_qt.QtCore, panel_qt.QtGui, panel_qt.QtWidgets
app = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
folder = sys.argv[2]

def picture(name, colour):
    image = QtGui.QImage(320, 180, QtGui.QImage.Format_RGB32)
    image.fill(QtGui.QColor(colour))
    path = os.path.join(folder, name + ".png")
    image.save(path)
    return path

class Source(PanelSource):
    def __init__(self):
        self.calls, self.items = [], [1001]
    def title(self): return "ColorMNet1"
    def exemplars(self):
        return [ExemplarItem("frame %d" % f, f, picture("e", "#cc5533"), f != 1001) for f in self.items]
    def frames(self): return list(range(1001, 1025))
    def confidence(self): return {f: 0.9 - 0.03 * abs(f - 1001) for f in range(1001, 1021)}
    def recommended(self): return None if 1012 in self.items else 1012
    def current_frame(self): return 1003
    def go_to(self, frame): self.calls.append(["go", frame])
    def add_exemplar(self, frame): self.items.append(frame); self.calls.append(["add", frame]); return "press Colorize"
    def remove_exemplar(self, index): self.calls.append(["remove", index]); del self.items[index]
    def pictures(self, frame): return picture("plate", "#808080"), picture("result", "#2060c0") if frame < 1021 else ""

def grab(widget):
    image = widget.grab().toImage()
    return image

def at(image, x, y):
    return QtGui.QColor(image.pixel(int(x), int(y))).name()

source = Source()
panel = Panel(source)
panel.show()
app.processEvents()
found = {"binding": panel_qt.BINDING}
area = panel.wipe.picture_area()
def sides():
    image = grab(panel.wipe)
    y = area.center().y()
    return [at(image, area.left() + area.width() * k, y) for k in (0.1, 0.45, 0.55, 0.9)]
found["half"] = sides()
panel.wipe.position = 0.8
found["most"] = sides()
panel.wipe.mouseDoubleClickEvent(None)
found["all"] = sides()
image = grab(panel.curve)
def column(frame):
    return {at(image, panel.curve.x_of(frame) + d, y) for d in (-1, 0, 1) for y in range(image.height())}
found["exemplar_mark"] = "#6fa8dc" in column(1001)
found["advice_mark"] = "#f0b050" in column(1012)
found["no_mark"] = "#f0b050" not in column(1006)
found["curve"] = "#7fc97f" in column(1007)
found["curve_ends"] = "#7fc97f" not in column(1023)
found["advice"] = panel.advice.text()
panel.go_button.click()
panel.add_there_button.click()
found["after_add"] = [panel.exemplar_list.count(), panel.advice.text(), panel.go_button.isEnabled()]
panel.exemplar_list.setCurrentRow(0)
found["first_removable"] = panel.remove_button.isEnabled()
panel.exemplar_list.setCurrentRow(1)
found["second_removable"] = panel.remove_button.isEnabled()
panel.remove_button.click()
panel.curve.frame_chosen.emit(1022)
found["not_done"] = sides()[3] if not panel.wipe.result.isNull() else "nothing"
found["clicked"] = panel.curve.frame_at(panel.curve.x_of(1010) + 2)
found["calls"] = source.calls
panel.grab().save(os.path.join(folder, "panel.png"))
print("RESULT " + json.dumps(found))
"""


def check(found: dict[str, Any], binding: str) -> None:
    grey, blue = "#808080", "#2060c0"
    assert found["binding"] == binding
    assert found["half"] == [grey, grey, blue, blue]
    assert found["most"] == [grey, grey, grey, blue]
    assert found["all"] == [blue] * 4
    for mark in ("exemplar_mark", "advice_mark", "no_mark", "curve", "curve_ends"):
        assert found[mark], mark
    assert found["advice"] == "Next frame worth an exemplar: 1012 (confidence 57 %)"
    assert found["after_add"] == [2, "press Colorize", False]
    assert (found["first_removable"], found["second_removable"]) == (False, True)
    assert found["not_done"] == "nothing"
    assert found["clicked"] == 1010
    assert found["calls"] == [["go", 1012], ["add", 1012], ["remove", 1], ["go", 1022]]


def render(python: str, folder: Path) -> dict[str, Any]:
    script = folder / "panel.py"
    script.write_text(SCRIPT)
    command = [python, str(script), str(ROOT / "plugin"), str(folder)]
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (folder / "panel.png").stat().st_size > 2000
    return json.loads(done.stdout.split("RESULT ", 1)[1])


def test_on_pyside6(tmp_path: Path) -> None:
    check(render(sys.executable, tmp_path), "PySide6")


def debian_python() -> str:
    for python in ("/usr/bin/python3", shutil.which("python3") or ""):
        code = "import importlib.util as u, sys; sys.exit(not (u.find_spec('PySide2') and not u.find_spec('PySide6')))"
        if python and subprocess.run([python, "-c", code], check=False).returncode == 0:
            return python
    return ""


@pytest.mark.skipif(not debian_python(), reason="PySide2 is not installed (Debian: python3-pyside2.qtwidgets)")
def test_on_pyside2(tmp_path: Path) -> None:
    check(render(debian_python(), tmp_path), "PySide2")


def test_the_nodes_panel(scene: Callable[..., Any]) -> None:
    from PySide6 import QtWidgets

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    s = scene(gui=True)
    node = s.build()
    import colormnet_nuke

    s.nuke.frame(1002)
    node["open_panel"].execute()
    import colormnet_nuke.panel as panel_module

    ((_, panel),) = panel_module._open
    assert panel.advice.text().startswith("Press Colorize")
    assert panel.exemplar_list.count() == 1
    assert not panel.wipe.plate.isNull()
    assert panel.wipe.result.isNull()
    colormnet_nuke.colorize(node)
    node["open_panel"].execute()
    assert [each for _, each in panel_module._open] == [panel]
    assert (panel.wipe.result.width(), panel.wipe.result.height()) == (s.shot.width, s.shot.height)
    assert sorted(panel.curve.confidence) == list(s.shot.frames)
    assert panel.source.recommended() == 1006
    panel.go_button.click()
    assert s.nuke.frame() == 1006
    panel.add_there_button.click()
    assert node["more_exemplars"].value() == "1006"
    assert panel.source.recommended() == 1005
    panel.exemplar_list.setCurrentRow(1)
    panel.remove_button.click()
    assert node["more_exemplars"].value() == ""
    node["more_exemplars"].setValue(s.shot.exemplar.as_posix())
    panel.refresh()
    assert panel.source.exemplars()[1].thumbnail.endswith(".png")
    node["more_exemplars"].setValue("")
    before = panel.wipe.result.toImage()
    s.worker.weights = "w2"
    colormnet_nuke.colorize(node)
    panel.refresh()
    assert panel.wipe.result.toImage() != before  # the picture is of the new colour
    assert [n.name() for n in node.nodes()] == [n.name() for n in node.nodes() if "bake" not in n.name()]
    assert application is not None


@pytest.mark.parametrize(
    ("confidence", "exemplars", "frame"),
    [
        ({}, [], None),
        ({1: 1.0, 2: 0.95}, [1], None),
        ({1: 1.0, 2: 0.45, 3: 0.46, 4: 0.455, 5: 0.6}, [1], 4),
        ({1: 1.0, 2: 0.45, 3: 0.3, 4: 0.455}, [1], 3),
        ({1: 0.4, 2: 0.2, 3: 0.21}, [], 2),
        ({1: 1.0, 2: 0.4, 3: 0.4, 4: 0.4, 5: 1.0}, [1, 5], 3),
    ],
)
def test_which_frame_is_worth_an_exemplar(
    confidence: dict[int, float], exemplars: list[int], frame: int | None
) -> None:
    from colormnet_host.panel import worth_an_exemplar

    assert worth_an_exemplar(confidence, exemplars) == frame


def test_no_panel_in_terminal_mode(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    import colormnet_nuke.panel as panel_module

    with pytest.raises(Exception, match="needs Nuke's interface"):
        panel_module.show(node)
