"""What the farm modes cost and how far they are from the unbroken run, measured on real clips by real tasks."""

import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from ..errors import ColorMNetError, InputError
from ..media.frames import open_source
from .commands import selection_of, task_arguments
from .shots import Mode, Shot, ShotOrder, Stage, resolve

MODES: tuple[Mode, ...] = ("shot", "segments", "parallel")


@dataclass(frozen=True)
class Setting:
    """How to measure; see ``colormnet farm compare``."""

    frames: int = 100
    segment: int = 25
    width: int | None = None
    model: str = "lite"
    weights: Path | None = None
    working_size: int | None = None
    device: str = "auto"
    workers: tuple[int, ...] = (1, 2)
    threads: int = 1

    def __post_init__(self) -> None:
        """Raises InputError for numbers that cannot be meant."""
        if not self.workers or min(self.workers) < 1 or self.segment < 1 or self.threads < 1:
            raise InputError("Numbers of tasks at once, frames per task and threads are at least 1.")


@dataclass(frozen=True)
class Difference:
    """How far frames are from those of the unbroken run, in sRGB code values over the full scale.

    ``mean_db`` and ``worst_db`` (of one frame) are PSNR, infinite where identical. ``seam_db`` is the PSNR of the
    *step* from frame to frame across the starts of tasks, against the same step of the unbroken run: what could be
    seen as a jump; ``inside_db`` the same for all other steps.
    """

    identical: bool
    mean_db: float
    worst_db: float
    worst_frame: int
    seam_db: float
    inside_db: float


@dataclass
class ModeResult:
    """One mode on one clip."""

    clip: str
    mode: Mode
    frames: int
    difference: Difference
    seconds: dict[int, float] = field(default_factory=dict)  # tasks at once -> wall-clock
    stage_seconds: list[list[float]] = field(default_factory=list)  # of each task, stage by stage, one at a time
    load: float = 0.0  # the machine's load average when it was done

    def modelled(self, workers: int) -> float:
        """Wall-clock with so many machines: stages in order; in a stage the next task goes to who is free first."""
        total = 0.0
        for tasks in self.stage_seconds:
            busy = [0.0] * workers
            for seconds in tasks:
                busy[busy.index(min(busy))] += seconds
            total += max(busy)
        return total


def compare_modes(
    clips: Sequence[str], setting: Setting, work: Path | None, say: Callable[[str], None]
) -> list[ModeResult]:
    """Colour every clip in every mode and compare. ``work``: folder that keeps the frames; None removes them.

    Raises InputError for clips that cannot be read, ColorMNetError where a task fails.
    """
    with ExitStack() as stack:
        folder = work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="colormnet-compare-")))
        results = []
        for number, clip in enumerate(clips, 1):
            results += _compare_clip(clip, setting, folder.absolute() / f"clip_{number:02d}", say)
    return results


def _compare_clip(clip: str, setting: Setting, folder: Path, say: Callable[[str], None]) -> list[ModeResult]:
    say(f"{clip}: making it grey ...")
    first = _make_grey(clip, setting, folder)
    results: list[ModeResult] = []
    for mode in MODES:
        shot = None
        seconds: dict[int, float] = {}
        stages: list[list[float]] = []
        for workers in setting.workers if mode == "parallel" else setting.workers[:1]:
            shot = _shot(setting, folder, first, mode, workers)
            began = time.perf_counter()
            stages_now = [_run_stage(shot, stage, workers, setting.threads) for stage in shot.stages()]
            seconds[workers] = time.perf_counter() - began
            stages = stages or stages_now
            say(f"{clip}: {mode}, {workers} at once: {seconds[workers]:.1f} s")
        if shot is None:
            raise InputError("Give at least one number of tasks at once.")
        reference = folder / f"shot_{setting.workers[0]}" / "frame.%04d.png"
        result = folder / f"{mode}_{setting.workers[0]}" / "frame.%04d.png"
        difference = measure(str(reference), str(result), shot.frames, setting.segment)
        results.append(ModeResult(Path(clip).stem, mode, len(shot.frames), difference, seconds, stages, _load()))
    return results


def _make_grey(clip: str, setting: Setting, folder: Path) -> int:
    """Write ``plate.####.png`` (grey) and ``key.png`` (the first frame in colour); the first frame's number."""
    with open_source(clip) as source:
        numbers = source.frames[: setting.frames]
        first = numbers[0]
        for number in numbers:
            pixels = np.clip(source.read(number).pixels, 0.0, 1.0)
            if setting.width is not None:
                height = max(2, round(pixels.shape[0] * setting.width / pixels.shape[1]))
                pixels = cv2.resize(pixels, (setting.width, height), interpolation=cv2.INTER_AREA)
            coded = np.round(pixels * 255.0).astype(np.uint8)
            grey = cv2.cvtColor(coded, cv2.COLOR_RGB2GRAY)
            (folder / "plate").mkdir(parents=True, exist_ok=True)
            _write_png(folder / "plate" / f"plate.{number:04d}.png", cv2.merge([grey, grey, grey]))
            if number == first:
                _write_png(folder / "key.png", cv2.cvtColor(coded, cv2.COLOR_RGB2BGR))
    return first


def _write_png(path: Path, picture: "cv2.typing.MatLike") -> None:
    if not cv2.imwrite(str(path), picture):
        raise InputError(f"{path} cannot be written; make room or choose another folder with --work.")


def _shot(setting: Setting, folder: Path, first: int, mode: Mode, workers: int) -> Shot:
    return resolve(
        ShotOrder(
            plate=str(folder / "plate" / "plate.%04d.png"),
            exemplars=(f"{folder / 'key.png'}@{first}",),
            output=str(folder / f"{mode}_{workers}" / "frame.%04d.png"),
            name=folder.name,
            mode=mode,
            segment=setting.segment,
            model=setting.model,
            weights=None if setting.weights is None else str(setting.weights.absolute()),
            working_size=setting.working_size,
            device=setting.device,
        )
    )


def _run_stage(shot: Shot, stage: Stage, workers: int, threads: int) -> list[float]:
    """Run the tasks of a stage, so many at once; the seconds each took."""

    def run(part: tuple[int, ...]) -> float:
        began = time.perf_counter()
        words = task_arguments(shot, selection_of(stage, shot, part))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        environment.pop("COLORMNET_WORKER", None)
        answer = subprocess.run(
            [sys.executable, "-m", "colormnet.cli.main", *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode != 0:
            last = (answer.stderr.strip().splitlines() or ["no message"])[-1]
            raise ColorMNetError(f"A task of the mode {shot.mode} failed with exit code {answer.returncode}: {last}")
        return time.perf_counter() - began

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, stage.parts() or [()]))


def measure(reference: str, result: str, frames: Sequence[int], segment: int) -> Difference:
    """Compare two sequences frame by frame; see `Difference`. Raises InputError where frames are missing."""
    per_frame: list[float] = []
    seams: list[float] = []
    inside: list[float] = []
    before = None
    with open_source(reference, list(frames)) as one, open_source(result, list(frames)) as other:
        for place, number in enumerate(frames):
            error = other.read(number).pixels - one.read(number).pixels
            per_frame.append(float(np.mean(np.square(error, dtype=np.float64))))
            if before is not None:
                step = float(np.mean(np.square(error - before, dtype=np.float64)))
                (seams if place % segment == 0 else inside).append(step)
            before = error
    worst = int(np.argmax(per_frame))
    return Difference(
        identical=max(per_frame) == 0.0,
        mean_db=_db(per_frame),
        worst_db=_db(per_frame[worst : worst + 1]),
        worst_frame=frames[worst],
        seam_db=_db(seams),
        inside_db=_db(inside),
    )


def _load() -> float:
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _db(errors: Sequence[float]) -> float:
    """PSNR of mean squared errors over a full scale of 1."""
    mean = sum(errors) / len(errors) if errors else 0.0
    return math.inf if mean == 0.0 else -10.0 * math.log10(mean)


def table(results: Sequence[ModeResult], setting: Setting, beyond: Sequence[int]) -> str:
    """The results as Markdown, with how they were had below."""
    measured = list(setting.workers)
    modelled = [number for number in beyond if number not in measured]
    head = ["clip", "mode", "difference from shot", "worst frame", "steps at seams / elsewhere"]
    head += [f"{number} at once (s)" for number in measured] + [f"{number} (model, s)" for number in modelled]
    rows = [head, ["---"] * len(head)]
    for result in results:
        gap = result.difference
        row = [f"{result.clip}, {result.frames} frames", result.mode]
        if result.mode == "shot":
            row += ["reference", "", ""]
        elif gap.identical:
            row += ["identical", "", ""]
        else:
            row += [f"{gap.mean_db:.1f} dB", f"{gap.worst_db:.1f} dB ({gap.worst_frame})"]
            row += [f"{gap.seam_db:.1f} / {gap.inside_db:.1f} dB"]
        alone = result.seconds[measured[0]]
        row += [f"{result.seconds.get(number, alone):.1f}" for number in measured]
        row += [f"{result.modelled(number):.1f}" for number in modelled]
        rows.append(row)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([*lines, "", _footnote(results, setting)])


def _footnote(results: Sequence[ModeResult], setting: Setting) -> str:
    speed = []
    for result in results:
        if result.mode == "parallel":
            alone = next(item for item in results if item.clip == result.clip and item.mode == "shot")
            whole = alone.seconds[setting.workers[0]]
            most = setting.workers[-1]
            speed.append(f"{result.clip} {whole / result.seconds[most]:.2f} times with {most} at once")
    return (
        f"Measured by `{_command(setting)}`. "
        f"Segments of {setting.segment} frames, {setting.threads} CPU thread(s) a task, wall-clock with every task's "
        "own start (imports, weights). shot and segments have one task at a time whatever the number of machines. "
        f"Model: each task takes what it took with {setting.workers[0]} at once, a stage's next task goes to who is "
        "free first, stages wait for each other, disks and queues cost nothing. "
        f"Speed-up of parallel over shot, measured: {'; '.join(speed)}.{_busy(results, setting)}"
    )


def _command(setting: Setting) -> str:
    """The command that measures so, with all that decides the result."""
    words = ["colormnet farm compare CLIP...", f"--first {setting.frames}", f"--segment {setting.segment}"]
    if setting.width is not None:
        words.append(f"--width {setting.width}")
    if setting.model != "lite":
        words.append(f"--model {setting.model}")
    if setting.weights is not None:
        words.append(f"--weights {setting.weights.name}")
    if setting.working_size is not None:
        words.append(f"--working-size {setting.working_size}")
    words.append(f"--device {setting.device}")
    words.append(f"--workers {','.join(str(number) for number in setting.workers)}")
    if setting.threads != 1:
        words.append(f"--threads {setting.threads}")
    return " ".join(words)


def _busy(results: Sequence[ModeResult], setting: Setting) -> str:
    """A warning where others used the machine as well."""
    load, cores = max(result.load for result in results), os.cpu_count() or 1
    if load <= max(setting.workers) * setting.threads + 1:
        return ""
    return (
        f" Other programs kept the machine busy meanwhile (load average up to {load:.0f} on {cores} cores): on an idle "
        "one the times are shorter, and their ratios may differ."
    )
