"""A window on a shot: its exemplars, how sure the network is of each frame, where one more exemplar would help, a wipe.

Knows no host: everything comes from a :class:`PanelSource`. Works on PySide6 and PySide2.
"""

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from colormnet_host.panel_qt import QtCore, QtGui, QtWidgets
from colormnet_host.panel_views import ConfidenceCurve, Wipe

STYLE = """
QWidget { background: #323232; color: #d6d6d6; }
QListWidget, QLabel#view { background: #262626; border: 1px solid #1e1e1e; }
QListWidget::item { padding: 4px; }
QListWidget::item:selected { background: #5a4a24; color: #ffffff; }
QPushButton { background: #4a4a4a; border: 1px solid #262626; border-radius: 3px; padding: 5px 10px; }
QPushButton:hover { background: #5a5a5a; }
QPushButton:disabled { color: #777777; background: #3a3a3a; }
QLabel#title { font-weight: bold; }
QLabel#advice { color: #f0b050; }
"""
THUMBNAIL = (128, 72)


class ExemplarItem(NamedTuple):
    """An exemplar as the list shows it. ``thumbnail``: a picture file Qt reads, "" where there is none."""

    label: str
    frame: Optional[int]  # the plate's frame it belongs to, None for a picture from elsewhere
    thumbnail: str
    removable: bool


class PanelSource(object):
    """What the panel shows and what its buttons do; a host derives from it. Frames are the plate's numbers."""

    def exists(self) -> bool:
        """Whether there still is a shot to show; nothing else is asked where there is none."""
        return True

    def title(self) -> str:
        """Name of the shot or node."""
        return ""

    def exemplars(self) -> List[ExemplarItem]:
        """In the order in which they are used."""
        return []

    def frames(self) -> List[int]:
        """The shot's frames, ascending."""
        return []

    def confidence(self) -> Dict[int, float]:
        """Mean confidence in [0, 1] of the frames that are done."""
        return {}

    def recommended(self) -> Optional[int]:
        """The frame where one more exemplar would help most, None where it is not known."""
        return None

    def current_frame(self) -> int:
        """The host's current frame."""
        return 0

    def go_to(self, frame: int) -> None:
        """Make it the host's current frame."""

    def add_exemplar(self, frame: int) -> str:
        """Use the exemplar input at that frame as well; what the artist should do next, as a sentence."""
        return ""

    def remove_exemplar(self, index: int) -> None:
        """Take an exemplar of the list out."""

    def pictures(self, frame: int) -> Tuple[str, str]:
        """Picture files of the plate and of the result at a frame, "" for what there is not."""
        return "", ""


NEARLY_AS_LOW = 0.02  # of confidence: within this two frames are equally unsure
SURE = 0.9


def worth_an_exemplar(confidence: Dict[int, float], exemplar_frames: List[int]) -> Optional[int]:
    """The frame where one more exemplar would help most: of the least sure ones that farthest from any exemplar.

    None where nothing is done yet, or every frame is sure.
    """
    rest = {frame: value for frame, value in confidence.items() if frame not in exemplar_frames}
    if not rest or min(rest.values()) > SURE:
        return None
    least = min(rest.values())
    candidates = sorted(frame for frame, value in rest.items() if value <= least + NEARLY_AS_LOW)
    if not exemplar_frames:
        return min(candidates, key=lambda frame: rest[frame])
    return max(candidates, key=lambda frame: min(abs(frame - own) for own in exemplar_frames))


class Panel(QtWidgets.QWidget):  # type: ignore[misc]
    """The window. Call :meth:`refresh` when something changed outside it."""

    def __init__(self, source: PanelSource, parent: Any = None) -> None:
        super(Panel, self).__init__(parent)
        self.source = source
        self.setObjectName("colormnet_panel")
        self.setStyleSheet(STYLE)
        self.setMinimumSize(640, 420)
        self.resize(940, 600)
        self.wipe = Wipe()
        self.curve = ConfidenceCurve()
        self.curve.frame_chosen.connect(self._go)
        self.title = QtWidgets.QLabel()
        self.title.setObjectName("title")
        self.advice = QtWidgets.QLabel()
        self.advice.setObjectName("advice")
        self.advice.setWordWrap(True)
        self.exemplar_list = QtWidgets.QListWidget()
        self.exemplar_list.setIconSize(QtCore.QSize(*THUMBNAIL))
        self.exemplar_list.setFixedWidth(THUMBNAIL[0] + 130)
        self.exemplar_list.itemSelectionChanged.connect(self._buttons)
        self.exemplar_list.itemDoubleClicked.connect(lambda _: self._go_to_selected())
        self.go_button = _button("Go to it", self._go_to_recommended)
        self.add_there_button = _button("Add exemplar there", self._add_there)
        self.add_here_button = _button("Add current frame", self._add_here)
        self.remove_button = _button("Remove", self._remove)
        self._lay_out()
        self._frame = source.current_frame()
        self.refresh()

    def _lay_out(self) -> None:
        side = QtWidgets.QVBoxLayout()
        side.addWidget(QtWidgets.QLabel("Exemplars"))
        side.addWidget(self.exemplar_list)
        row = QtWidgets.QHBoxLayout()
        row.addWidget(self.add_here_button)
        row.addWidget(self.remove_button)
        side.addLayout(row)
        left = QtWidgets.QVBoxLayout()
        left.addWidget(self.title)
        left.addWidget(self.wipe, 1)
        top = QtWidgets.QHBoxLayout()
        top.addLayout(left, 1)
        top.addLayout(side)
        bottom = QtWidgets.QHBoxLayout()
        bottom.addWidget(self.advice, 1)
        bottom.addWidget(self.go_button)
        bottom.addWidget(self.add_there_button)
        whole = QtWidgets.QVBoxLayout(self)
        whole.addLayout(top, 1)
        whole.addWidget(self.curve)
        whole.addLayout(bottom)

    # What is shown.

    def refresh(self) -> None:
        """Ask the source anew for everything."""
        source = self.source
        if not source.exists():
            self._gone()
            return
        confidence, frames = source.confidence(), source.frames()
        exemplars, recommended = source.exemplars(), source.recommended()
        self.title.setText("%s    frame %d" % (source.title(), self._frame))
        marks = [item.frame for item in exemplars if item.frame is not None]
        self.curve.show_shot(frames, confidence, marks, recommended, self._frame)
        self._list(exemplars)
        self._advise(recommended, confidence)
        self._pictures()
        self._buttons()

    def _gone(self) -> None:
        """The window outlived what it showed."""
        self.title.setText("What this window showed is gone: close it.")
        self.advice.setText("")
        self.curve.show_shot([], {}, [], None, 0)
        self.exemplar_list.clear()
        self.wipe.show_pictures("", "")
        for button in (self.go_button, self.add_there_button, self.add_here_button, self.remove_button):
            button.setEnabled(False)

    def _here(self) -> bool:
        """Whether there is something to act on; says so where there is not."""
        if not self.source.exists():
            self._gone()
            return False
        return True

    def _list(self, exemplars: List[ExemplarItem]) -> None:
        row = self.exemplar_list.currentRow()
        self.exemplar_list.clear()
        for item in exemplars:
            entry = QtWidgets.QListWidgetItem(_thumbnail(item.thumbnail), item.label)
            entry.setToolTip(item.label)
            self.exemplar_list.addItem(entry)
        if 0 <= row < len(exemplars):
            self.exemplar_list.setCurrentRow(row)

    def _advise(self, recommended: Optional[int], confidence: Dict[int, float]) -> None:
        if recommended is not None:
            text = "Next frame worth an exemplar: %d" % recommended
            if recommended in confidence:
                text += " (confidence %d %%)" % round(100 * confidence[recommended])
        elif confidence:
            text = "No frame stands out: the exemplars there are carry the shot."
        else:
            text = "Press Colorize to see how sure the network is of each frame."
        self.advice.setText(text)

    def _pictures(self) -> None:
        plate, result = self.source.pictures(self._frame)
        self.wipe.show_pictures(plate, result)

    def _buttons(self) -> None:
        if not self.source.exists():
            return
        row, items = self.exemplar_list.currentRow(), self.source.exemplars()
        self.remove_button.setEnabled(0 <= row < len(items) and items[row].removable)
        recommended = self.source.recommended()
        self.go_button.setEnabled(recommended is not None)
        self.add_there_button.setEnabled(recommended is not None)
        self.add_here_button.setEnabled(self._frame in self.source.frames())

    # What the artist does.

    def _go(self, frame: int) -> None:
        if not self._here():
            return
        self._frame = frame
        self.source.go_to(frame)
        self.refresh()

    def _go_to_recommended(self) -> None:
        recommended = self.source.recommended() if self._here() else None
        if recommended is not None:
            self._go(recommended)

    def _go_to_selected(self) -> None:
        if not self._here():
            return
        row, items = self.exemplar_list.currentRow(), self.source.exemplars()
        if 0 <= row < len(items):
            frame = items[row].frame
            if frame is not None:
                self._go(frame)

    def _add(self, frame: int) -> None:
        if not self._here():
            return
        said = self.source.add_exemplar(frame)
        self.refresh()
        if said:
            self.advice.setText(said)

    def _add_there(self) -> None:
        recommended = self.source.recommended() if self._here() else None
        if recommended is not None:
            self._add(recommended)

    def _add_here(self) -> None:
        self._add(self._frame)

    def _remove(self) -> None:
        row = self.exemplar_list.currentRow()
        if row >= 0 and self._here():
            self.source.remove_exemplar(row)
            self.refresh()


def _button(text: str, call: Any) -> Any:
    button = QtWidgets.QPushButton(text)
    button.clicked.connect(lambda *_: call())
    return button


def _thumbnail(path: str) -> Any:
    picture = QtGui.QPixmap(path) if path else QtGui.QPixmap()
    if picture.isNull():
        picture = QtGui.QPixmap(*THUMBNAIL)
        picture.fill(QtGui.QColor("#404040"))
    else:
        width, height = THUMBNAIL
        picture = picture.scaled(width, height, QtCore.Qt.KeepAspectRatio, QtCore.Qt.SmoothTransformation)
    icon = QtGui.QIcon(picture)
    icon.addPixmap(picture, QtGui.QIcon.Selected)  # or Qt tints the colours of a chosen exemplar
    return icon
