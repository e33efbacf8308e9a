"""The window of the menu script, by Resolve's UIManager (nobody's Python inside Resolve has Qt)."""

from typing import Any, Dict, List, Optional, Tuple

from .settings import DELIVERIES, MARKER_COLOURS, MODELS, PLACEMENTS, SELECTIONS, PassSettings

WINDOW_ID = "ColorMNetOptions"
SELECTION_LABELS = (
    "Clip under the playhead",
    "Clips selected in the media pool",
    "Whole track of the playhead",
    "Clips with a marker colour",
)
Answer = Tuple[str, PassSettings]  # ("start" | "resume" | "cancel", settings)


def _exemplars_of(text: str) -> Tuple[str, ...]:
    return tuple(line.strip() for line in text.replace(";", "\n").splitlines() if line.strip())


class OptionsWindow:
    """Asks for the settings of a pass; "Use current frame" notes ``still@<timecode>``, so the playhead may move on."""

    def __init__(self, manager: Any, dispatcher: Any, timeline: Any, settings: PassSettings) -> None:
        self._dispatcher = dispatcher
        self._timeline = timeline
        self._settings = settings
        self._answer: Answer = ("cancel", settings)
        label = manager.Label
        self._window = dispatcher.AddWindow(
            {"ID": WINDOW_ID, "WindowTitle": "ColorMNet Colorize", "Geometry": [200, 200, 620, 490]},
            [
                manager.VGroup(
                    [
                        label({"Text": "Clips"}),
                        manager.ComboBox({"ID": "Select"}),
                        manager.ComboBox({"ID": "Colour"}),
                        label({"Text": "Exemplars: image files, 'still', 'still@timecode' or 'markers', one a line"}),
                        manager.TextEdit({"ID": "Exemplars", "PlainText": "\n".join(settings.exemplars)}),
                        manager.Button({"ID": "Still", "Text": "Use current frame"}),
                        label({"Text": "Folder for the coloured frames"}),
                        manager.LineEdit({"ID": "Output", "Text": settings.output}),
                        manager.HGroup(
                            [
                                label({"Text": "Handles"}),
                                manager.SpinBox({"ID": "Handles", "Value": settings.handles, "Maximum": 1000}),
                                label({"Text": "Colour space"}),
                                manager.LineEdit({"ID": "Space", "Text": settings.space}),
                            ]
                        ),
                        manager.HGroup(
                            [
                                manager.ComboBox({"ID": "Model"}),
                                manager.ComboBox({"ID": "Place"}),
                                manager.ComboBox({"ID": "Deliver"}),
                            ]
                        ),
                        manager.HGroup(
                            [
                                manager.CheckBox(
                                    {
                                        "ID": "Direct",
                                        "Text": "Read ungraded image sequences without a render, as",
                                        "Checked": settings.direct,
                                    }
                                ),
                                manager.LineEdit({"ID": "SourceSpace", "Text": settings.source_space}),
                            ]
                        ),
                        label({"ID": "Message", "Text": "", "WordWrap": True}),
                        manager.HGroup(
                            [
                                manager.Button({"ID": "Start", "Text": "Colorize"}),
                                manager.Button({"ID": "Resume", "Text": "Resume"}),
                                manager.Button({"ID": "Cancel", "Text": "Cancel"}),
                            ]
                        ),
                    ]
                )
            ],
        )
        if self._window is not None:
            self._fill()

    @property
    def usable(self) -> bool:
        """Whether Resolve really made the window."""
        return self._window is not None

    def _fill(self) -> None:
        self._items: Dict[str, Any] = self._window.GetItems()
        lists: Tuple[Tuple[str, List[str], int], ...] = (
            ("Select", list(SELECTION_LABELS), SELECTIONS.index(self._settings.select)),
            ("Colour", list(MARKER_COLOURS), 0),
            ("Model", ["Model: lite", "Model: released"], MODELS.index(self._settings.model)),
            ("Place", ["New take", "New track"], PLACEMENTS.index(self._settings.placement)),
            ("Deliver", ["EXR sequence", "ProRes 4444", "DNxHR"], DELIVERIES.index(self._settings.delivery)),
        )
        for name, entries, index in lists:
            for entry in entries:
                self._items[name].AddItem(entry)
            self._items[name].CurrentIndex = index
        on = self._window.On
        on.Still.Clicked = self._on_still
        on.Start.Clicked = lambda event: self._finish("start")
        on.Resume.Clicked = lambda event: self._finish("resume")
        on.Cancel.Clicked = lambda event: self._finish("cancel")
        on[WINDOW_ID].Close = lambda event: self._finish("cancel")

    def _on_still(self, _event: Any) -> None:
        timecode = self._timeline.GetCurrentTimecode()
        if not timecode:
            self._items["Message"].Text = "Resolve does not tell where the playhead is: click into the timeline first."
            return
        kept = [e for e in _exemplars_of(self._items["Exemplars"].PlainText) if e != "still"]
        kept.append("still@{0}".format(timecode))
        self._items["Exemplars"].PlainText = "\n".join(kept)
        self._items["Message"].Text = "The frame at {0} is an exemplar; now put the playhead on the clip.".format(
            timecode
        )

    def _finish(self, word: str) -> None:
        items = self._items
        settings = self._settings._replace(
            select=SELECTIONS[int(items["Select"].CurrentIndex)],
            marker_colour=MARKER_COLOURS[int(items["Colour"].CurrentIndex)],
            exemplars=_exemplars_of(items["Exemplars"].PlainText),
            output=str(items["Output"].Text).strip(),
            handles=int(items["Handles"].Value),
            space=str(items["Space"].Text).strip() or "auto",
            model=MODELS[int(items["Model"].CurrentIndex)],
            direct=bool(items["Direct"].Checked),
            source_space=str(items["SourceSpace"].Text).strip(),
            placement=PLACEMENTS[int(items["Place"].CurrentIndex)],
            delivery=DELIVERIES[int(items["Deliver"].CurrentIndex)],
        )
        self._answer = (word, settings)
        self._dispatcher.ExitLoop()

    def ask(self, message: str = "") -> Answer:
        """Show the window until the editor decides. ``message``: what was wrong with the last answer."""
        self._items["Message"].Text = message
        self._window.Show()
        self._dispatcher.RunLoop()
        self._window.Hide()
        return self._answer


def show_message(manager: Any, dispatcher: Any, text: str) -> bool:
    """A window with one sentence and an OK button; False when Resolve made none."""
    window = dispatcher.AddWindow(
        {"ID": "ColorMNetMessage", "WindowTitle": "ColorMNet Colorize", "Geometry": [300, 300, 560, 180]},
        [
            manager.VGroup(
                [
                    manager.Label({"ID": "Text", "Text": text, "WordWrap": True}),
                    manager.Button({"ID": "Ok", "Text": "OK"}),
                ]
            )
        ],
    )
    if window is None:
        return False
    window.On.Ok.Clicked = lambda event: dispatcher.ExitLoop()
    window.On["ColorMNetMessage"].Close = lambda event: dispatcher.ExitLoop()
    window.Show()
    dispatcher.RunLoop()
    window.Hide()
    return True


def ask_settings(manager: Any, dispatcher: Any, timeline: Any, settings: PassSettings) -> Optional[Answer]:
    """The editor's answer, asked until it makes sense or is "cancel"; None when Resolve makes no window."""
    from .errors import PassError

    window = OptionsWindow(manager, dispatcher, timeline, settings)
    if not window.usable:
        return None
    message = ""
    while True:
        word, answer = window.ask(message)
        if word != "start":
            return word, answer
        try:
            return word, answer.checked()
        except PassError as error:
            message = str(error)
