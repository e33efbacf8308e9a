"""How a pass tells the editor what goes on, and how the editor cancels it: a window, else text."""

import os
import sys
import time
from typing import Any, List, Optional, TextIO

from .checks import offers

WINDOW_ID = "ColorMNetProgress"


class Reporter:
    """Progress of a pass. ``fraction`` is of the clip in hand, between 0 and 1, or negative where it cannot be told."""

    def stage(self, text: str, fraction: float = -1.0) -> None:
        """What is being done now."""

    def warn(self, text: str) -> None:
        """Something the editor should know that does not stop the pass."""

    def told(self) -> List[str]:
        """All warnings so far, for the last word of a window."""
        return []

    def cancelled(self) -> bool:
        """Whether the editor asked to stop."""
        return False

    def pause(self, seconds: float) -> None:
        """Wait, keeping the interface alive."""
        time.sleep(seconds)

    def close(self) -> None:
        """Take the window away."""


class ConsoleReporter(Reporter):
    """Lines of text; cancelled by Ctrl-C in a shell, or by creating the file ``cancel_file`` from anywhere."""

    def __init__(self, cancel_file: str = "", stream: Optional[TextIO] = None) -> None:
        self._cancel_file = cancel_file
        self._stream = stream or sys.stdout
        self._last = ("", -1)
        self._told: List[str] = []
        if cancel_file and os.path.exists(cancel_file):
            os.unlink(cancel_file)  # left by an earlier pass

    def _print(self, text: str) -> None:
        self._stream.write("ColorMNet: " + text + "\n")
        self._stream.flush()

    def stage(self, text: str, fraction: float = -1.0) -> None:
        """One line per text, and one per tenth of it done."""
        tenth = int(fraction * 10) if fraction >= 0 else -1
        if (text, tenth) != self._last:
            self._last = (text, tenth)
            self._print(text if fraction < 0 else "{0} ({1:.0f} %)".format(text, fraction * 100))

    def warn(self, text: str) -> None:
        """One line, marked."""
        self._told.append(text)
        self._print("warning: " + text)

    def told(self) -> List[str]:
        """What was warned of."""
        return list(self._told)

    def cancelled(self) -> bool:
        """Whether the cancel file is there."""
        return bool(self._cancel_file) and os.path.exists(self._cancel_file)


class WindowReporter(Reporter):
    """A small window with a Cancel button, by Resolve's UIManager; every line also goes to the console."""

    def __init__(self, manager: Any, dispatcher: Any, console: Reporter) -> None:
        self._console = console
        self._dispatcher = dispatcher
        self._stop = False
        # Without a single-step loop the window could show nothing while the pass works; it would look frozen.
        self._steps = offers(dispatcher, "StepLoop")
        self._window = dispatcher.AddWindow(
            {"ID": WINDOW_ID, "WindowTitle": "ColorMNet Colorize", "Geometry": [300, 300, 520, 140]},
            [
                manager.VGroup(
                    [
                        manager.Label({"ID": "Stage", "Text": "Starting", "WordWrap": True}),
                        manager.Label({"ID": "Bar", "Text": ""}),
                        manager.Button({"ID": "Cancel", "Text": "Cancel"}),
                    ]
                )
            ],
        )
        if self._window is not None:
            self._items = self._window.GetItems()
            self._window.On.Cancel.Clicked = self._on_cancel
            self._window.On[WINDOW_ID].Close = self._on_cancel
            self._window.Show()

    @property
    def usable(self) -> bool:
        """Whether Resolve really made the window and can keep it alive."""
        return self._window is not None and self._steps

    def _on_cancel(self, _event: Any) -> None:
        self._stop = True
        self.stage("Stopping after the frame in hand …")

    def stage(self, text: str, fraction: float = -1.0) -> None:
        """Both lines of the window, then the console."""
        if self.usable:
            self._items["Stage"].Text = text
            filled = round(max(0.0, min(1.0, fraction)) * 40)
            self._items["Bar"].Text = "" if fraction < 0 else "█" * filled + "░" * (40 - filled)
            self._dispatcher.StepLoop()
        self._console.stage(text, fraction)

    def warn(self, text: str) -> None:
        """To the console; the window that ends the pass shows it too."""
        self._console.warn(text)

    def told(self) -> List[str]:
        """What was warned of."""
        return self._console.told()

    def cancelled(self) -> bool:
        """Whether Cancel was pressed, or the console's way was used."""
        if self.usable:
            self._dispatcher.StepLoop()
        return self._stop or self._console.cancelled()

    def pause(self, seconds: float) -> None:
        """Wait in small steps, so that the button answers."""
        end = time.time() + seconds
        while True:
            if self.usable:
                self._dispatcher.StepLoop()
            left = end - time.time()
            if left <= 0:
                return
            time.sleep(min(0.05, left))

    def close(self) -> None:
        """Hide the window."""
        if self._window is not None:
            self._window.Hide()
            self._window = None


def reporter_for(parts: List[Any], cancel_file: str, stream: Optional[TextIO] = None) -> Reporter:
    """A window where ``parts`` ([UIManager, UIDispatcher]) has one, else the console."""
    console = ConsoleReporter(cancel_file, stream)
    if len(parts) == 2:
        window = WindowReporter(parts[0], parts[1], console)
        if window.usable:
            return window
        window.close()
    return console
