"""Footage, a project and a quick colourist for the tests of the Resolve pass."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from resolve_standin import Resolve, World, read_rgb, write_rgb

from colormnet_resolve.colouring import Coloured, Colourist, Work
from colormnet_resolve.errors import Cancelled, PassError
from colormnet_resolve.progress import Reporter
from colormnet_resolve.runner import Summary, run_pass
from colormnet_resolve.settings import PassSettings

CLIP = Path(__file__).resolve().parents[3] / "core" / "colormnet" / "demo_media" / "big_buck_bunny.mp4"
WIDTH, HEIGHT, LENGTH = 96, 54, 24


@dataclass
class Footage:
    folder: Path
    grey: list[list[Path]]  # three shots of grey EXR frames
    colour: list[list[np.ndarray]]  # the same in colour, float32 code values
    exemplars: list[Path]  # a coloured still of each shot's first frame


def clip_frames(width: int, height: int, count: int) -> list[np.ndarray]:
    """The first ``count`` frames of the bundled clip as (H, W, 3) float32 code values."""
    reader = imageio_ffmpeg.read_frames(str(CLIP), output_params=["-vf", f"scale={width}:{height}"], pix_fmt="rgb24")
    next(reader)
    frames = []
    for data in reader:
        frames.append(np.frombuffer(data, np.uint8).reshape(height, width, 3).astype(np.float32) / 255)
        if len(frames) == count:
            break
    reader.close()
    return frames


def make_footage(
    folder: Path, shots: int = 3, length: int = LENGTH, width: int = WIDTH, height: int = HEIGHT
) -> Footage:
    """Write the shots: overlapping parts of the bundled clip, so that each has real motion of its own."""
    frames = clip_frames(width, height, 12 * (shots - 1) + length)
    made = Footage(folder, [], [], [])
    for shot in range(shots):
        part = frames[12 * shot : 12 * shot + length]
        paths = []
        for number, picture in enumerate(part):
            luma = picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)
            paths.append(folder / f"shot{shot + 1}.{number:04d}.exr")
            write_rgb(paths[-1], np.repeat(luma[..., None], 3, axis=-1), "half")
        exemplar = folder / f"ref{shot + 1}.png"
        write_rgb(exemplar, part[0], "uint8")
        made.grey.append(paths)
        made.colour.append(part)
        made.exemplars.append(exemplar)
    return made


def three_clips(footage: Footage) -> World:
    """Three clips on V1, each 8 frames long from source frame 6, and a music-less project around them."""
    world = World()
    timeline = world.add_timeline()
    world.project_settings["timelineResolutionWidth"] = "192"  # not the clips' size: the pass must not scale plates
    world.project_settings["timelineResolutionHeight"] = "108"
    for shot, paths in enumerate(footage.grey):
        media = world.add_sequence(paths, f"shot{shot + 1}.exr")
        world.add_clip(timeline, media, 86400 + 8 * shot, 8, left=6, name=f"shot{shot + 1}")
    timeline.playhead = 86400 + 8 + 2
    return world


@dataclass
class Painter(Colourist):
    """Paints frames at once instead of asking the worker: a fixed tint, so that results can be foretold."""

    fail: set[str] = field(default_factory=set)  # clip names that the worker would refuse
    cancel_after: int = -1  # frames of a clip after which the editor cancels
    works: list[Work] = field(default_factory=list)
    painted: int = 0
    digest: str = "w1"  # of the weights

    def weights(self, model: str) -> str:
        """What the engine would tell of the model's file."""
        return f"{model} {self.digest}"

    def close(self) -> None:
        """Nothing is open."""

    def colour(self, work: Work, settings: PassSettings, reporter: Reporter) -> list[Coloured]:
        self.works.append(work)
        if work.name in self.fail:
            raise PassError(f"'{work.name}': the worker could not read the exemplar.")
        done = []
        for index, (number, plate, output) in enumerate(work.frames):
            if reporter.cancelled() or index == self.cancel_after:
                raise Cancelled()
            write_rgb(output, tint(read_rgb(plate)), "half")
            self.painted += 1
            done.append(Coloured(number, output, 0.5 + 0.01 * index, False))
            reporter.stage(f"Colouring '{work.name}'", (index + 1) / len(work.frames))
        return done


def tint(picture: np.ndarray) -> np.ndarray:
    """The painter's colour."""
    return picture * np.array([1.0, 0.75, 0.5], np.float32)


@dataclass
class Recorder(Reporter):
    """Keeps what was said; ``stop_at`` cancels when a stage containing that text is reached; never waits."""

    stages: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stop_at: str = ""
    stopped: bool = False

    def stage(self, text: str, fraction: float = -1.0) -> None:
        self.stages.append(text)
        if self.stop_at and self.stop_at in text:
            self.stopped = True

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def cancelled(self) -> bool:
        return self.stopped

    def pause(self, seconds: float) -> None:
        """Time does not matter to the stand-in."""


def settings_for(footage: Footage, folder: Path, **changes: object) -> PassSettings:
    """Settings of a small pass with a file as exemplar."""
    base = PassSettings(output=str(folder), exemplars=(str(footage.exemplars[0]),), handles=2, patience=60.0)
    return base._replace(**changes)  # type: ignore[arg-type]


def run(
    world: World, settings: PassSettings, painter: Painter | None = None, resume: bool = False
) -> tuple[Summary, Recorder]:
    """Run the pass on the stand-in."""
    recorder = Recorder()
    return run_pass(Resolve(world), settings, recorder, painter or Painter(), resume=resume), recorder


def states(summary: Summary) -> dict[str, str]:
    """Clip name -> what became of it."""
    return {outcome.name: outcome.state for outcome in summary.outcomes}


def console() -> io.StringIO:
    """A stream to read the console from."""
    return io.StringIO()
