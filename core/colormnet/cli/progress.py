"""How a run is shown: a bar on a terminal, plain lines in a log, or the lines a farm manager reads."""

import json
import sys
import time
from enum import Enum
from types import TracebackType
from typing import TextIO

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from colormnet.errors import ColorMNetError
from colormnet.pipeline import Plan, Progress, Report

LINE_EVERY = 5.0  # seconds between plain lines


class ReportStyle(str, Enum):
    """Who reads the progress."""

    auto = "auto"
    plain = "plain"
    json = "json"
    openjd = "openjd"


class Shown(Progress):
    """Progress that can be opened and closed around a run."""

    def __enter__(self) -> "Shown":
        """Start showing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop showing; tell of an error where the reader wants it told."""

    def finished(self, report: Report) -> None:
        """The run is done."""


class Lines(Shown):
    """Plain lines on stderr, one every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._began = self._said = time.monotonic()

    def _say(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def planned(self, plan: Plan) -> None:
        """Name the job."""
        self._began = self._said = time.monotonic()
        self._say(f"{counted(len(plan.order))} of {plan.source.info.name} -> {plan.job.output}")

    def note(self, sentence: str) -> None:
        """Print the sentence."""
        self._say(f"note: {sentence}")

    def frame_done(self, number: int, done: int, total: int) -> None:
        """Print a line now and then, and for the last frame."""
        now = time.monotonic()
        if done < total and now - self._said < LINE_EVERY:
            return
        self._said = now
        rate = done / max(now - self._began, 1e-6)
        self._say(f"frame {number}: {done} of {total}, {rate:.2f} frames/s, {_clock((total - done) / rate)} left")


class TerminalBar(Shown):
    """A bar with rate and time left."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("frame {task.fields[number]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:.2f} frames/s"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task: TaskID | None = None
        self._began = time.monotonic()

    def __enter__(self) -> "TerminalBar":
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop drawing."""
        self._bar.stop()

    def planned(self, plan: Plan) -> None:
        """Show the bar."""
        self._began = time.monotonic()
        self._task = self._bar.add_task("", total=len(plan.order), number=plan.order[0], rate=0.0)

    def note(self, sentence: str) -> None:
        """Print above the bar."""
        self._console.print(f"note: {sentence}", style="yellow", highlight=False, markup=False)

    def frame_done(self, number: int, done: int, total: int) -> None:
        """Move the bar."""
        if self._task is not None:
            rate = done / max(time.monotonic() - self._began, 1e-6)
            self._bar.update(self._task, completed=done, total=total, number=number, rate=rate)


class JsonLines(Shown):
    """One JSON object a line on stdout."""

    def _say(self, **fields: object) -> None:
        print(json.dumps(fields), flush=True)

    def planned(self, plan: Plan) -> None:
        """Event ``planned``."""
        self._say(event="planned", frames=len(plan.order), part=len(plan.part), output=plan.job.output)

    def note(self, sentence: str) -> None:
        """Event ``note``."""
        self._say(event="note", text=sentence)

    def frame_done(self, number: int, done: int, total: int) -> None:
        """Event ``frame``."""
        self._say(event="frame", frame=number, done=done, total=total)

    def finished(self, report: Report) -> None:
        """Event ``finished``."""
        self._say(
            event="finished",
            output=report.output,
            written=report.written,
            skipped=report.skipped,
            seconds=round(report.seconds, 3),
            fingerprint=report.fingerprint,
            non_finite=report.non_finite,
            least_sure=report.least_sure,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Event ``error``."""
        if isinstance(error, ColorMNetError):
            self._say(event="error", text=str(error), exit_code=error.exit_code)


class OpenJobDescription(Shown):
    """The lines that Open Job Description sessions read from a task's stdout."""

    def note(self, sentence: str) -> None:
        """A plain line of the log."""
        print(f"note: {sentence}", flush=True)

    def frame_done(self, number: int, done: int, total: int) -> None:
        """Progress in percent and the frame in hand."""
        print(f"openjd_progress: {100.0 * done / total:.1f}", flush=True)
        print(f"openjd_status: frame {number}, {done} of {total}", flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Why the task failed (the exit code says that it did)."""
        if isinstance(error, ColorMNetError):
            print(f"openjd_fail: {error}", flush=True)


def shown_as(style: ReportStyle) -> Shown:
    """The progress for a style; ``auto`` is a bar on a terminal and plain lines elsewhere."""
    if style is ReportStyle.json:
        return JsonLines()
    if style is ReportStyle.openjd:
        return OpenJobDescription()
    if style is ReportStyle.auto and sys.stderr.isatty():
        return TerminalBar()
    return Lines()


def show_plan(plan: Plan, err: bool = False) -> None:
    """The plan on stdout, or stderr, a line for each item. Lines are not broken: they are read by programs, too."""
    for what, how in plan.lines():
        typer.echo(f"{what:<13} {how}", err=err)


def show_notes(plan: Plan) -> None:
    """The plan's notes on stdout, where no run follows that would tell them."""
    for note in plan.notes:
        typer.echo(f"note: {note}")


def counted(frames: int) -> str:
    """ "1 frame", "2 frames"."""
    return "1 frame" if frames == 1 else f"{frames} frames"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
