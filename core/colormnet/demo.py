"""The demo: a bundled clip is made grey, coloured again from its first frame, and measured against the truth."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.resources import as_file, files
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour.lab import display_to_lab, lab_to_display
from .colour.spaces import ColourSpace, default_space
from .errors import InputError
from .job import ColorizeJob
from .media.frames import PlateFrame, SinkSettings, open_sink, open_source
from .pipeline import Progress, execute, planned

Picture = NDArray[np.float32]

SHEET_COLUMNS = 5  # moments of the clip on the contact sheet
SHEET_WIDTH = 300  # pixels of each picture on it
LABEL_HEIGHT = 26


@dataclass(frozen=True)
class DemoResult:
    """What the demo measured and wrote. PSNR in dB over sRGB code values, mean over the frames after the exemplar."""

    frames: int
    width: int
    height: int
    model: str
    per_frame: float
    grey_psnr: float
    coloured_psnr: float
    written: list[tuple[str, Path]]


def run_demo(
    folder: Path,
    job: Callable[[str, str, str], ColorizeJob],
    progress: Progress,
    stop: threading.Event,
    limit: int | None = None,
) -> DemoResult:
    """Colour the bundled clip into ``folder``; ``job(plate, exemplar, output)`` makes the job.

    ``limit``: only so many frames. Raises what `pipeline.run` raises; InputError where ``folder`` cannot be written.
    """
    with as_file(files("colormnet") / "demo_media" / "big_buck_bunny.mp4") as clip:
        truth = read_display_frames(clip, limit)
    grey = [_grey_version(frame) for frame in truth]
    for name in ("grey", "frames"):
        try:
            (folder / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder / name} cannot be made ({error.strerror}); choose another folder.") from error
    for index, frame in enumerate(grey, start=1):
        write_png(folder / "grey" / f"grey.{index:04d}.png", frame)
    exemplar = folder / "exemplar.png"
    write_png(exemplar, truth[0])
    plate, output = str(folder / "grey" / "grey.####.png"), str(folder / "frames" / "coloured.####.png")
    with planned(job(plate, str(exemplar), output)) as plan:
        size = plan.colouring.size
        model = f"{plan.model.name} on {plan.model.device}, working size {size.width}x{size.height}"
        report = execute(plan, progress, stop)
    coloured = read_display_frames(Path(output))
    movie = folder / "side_by_side.mp4"
    _write_side_by_side(movie, Path(plate), [*zip(grey, coloured, truth, strict=True)])
    sheet = folder / "contact_sheet.png"
    write_png(sheet, contact_sheet(grey, coloured, truth))
    later = range(1, len(truth))
    return DemoResult(
        frames=len(truth),
        width=truth[0].shape[1],
        height=truth[0].shape[0],
        model=model,
        per_frame=report.per_frame,
        grey_psnr=float(np.mean([cv2.PSNR(grey[index], truth[index], 1.0) for index in later])),
        coloured_psnr=float(np.mean([cv2.PSNR(coloured[index], truth[index], 1.0) for index in later])),
        written=[
            ("coloured frames", folder / "frames"),
            ("grey | result | truth", movie),
            ("contact sheet", sheet),
            ("the exemplar", exemplar),
        ],
    )


def read_display_frames(path: Path, limit: int | None = None) -> list[Picture]:
    """All frames as sRGB display pictures (H, W, 3) in [0, 1], rounded to 8 bits as they are seen and written."""
    with open_source(path) as source:
        space = ColourSpace(default_space(**vars(source.info.hint)))
        numbers = source.frames[:limit]
        return [_eight_bits(space.to_display(source.read(number).pixels)) for number in numbers]


def contact_sheet(grey: list[Picture], coloured: list[Picture], truth: list[Picture]) -> Picture:
    """A labelled picture: rows grey, coloured, truth; columns are moments evenly spread over the clip."""
    moments = np.linspace(0, len(truth) - 1, min(SHEET_COLUMNS, len(truth))).round().astype(int)
    height = round(truth[0].shape[0] * SHEET_WIDTH / truth[0].shape[1])
    rows = []
    for name, pictures in (("grey", grey), ("coloured", coloured), ("truth", truth)):
        cells = []
        for moment in moments:
            small = cv2.resize(pictures[moment], (SHEET_WIDTH, height), interpolation=cv2.INTER_AREA)
            cell = np.zeros((height + LABEL_HEIGHT, SHEET_WIDTH, 3), np.uint8)
            cell[LABEL_HEIGHT:] = np.rint(small * 255.0)
            text = f"{name}, frame {moment + 1}"
            if name == "coloured" and moment == 0:
                text += " (exemplar)"
            elif name != "truth":
                text += f"   {cv2.PSNR(pictures[moment], truth[moment], 1.0):.1f} dB"
            cv2.putText(cell, text, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.48, (230, 230, 230), 1, cv2.LINE_AA)
            cells.append(cell)
        rows.append(np.hstack(cells))
    return np.asarray(np.vstack(rows) / 255.0, dtype=np.float32)


def write_png(path: Path, picture: Picture) -> None:
    """An sRGB picture (H, W, 3) in [0, 1] as an 8-bit PNG, whole or not at all. Raises InputError."""
    done, data = cv2.imencode(".png", cv2.cvtColor(np.rint(picture * 255.0).astype(np.uint8), cv2.COLOR_RGB2BGR))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        if not done:
            raise OSError("the picture could not be encoded")
        temporary.write_bytes(data.tobytes())
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); choose another folder.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _grey_version(picture: Picture) -> Picture:
    luminance, chroma = display_to_lab(picture)
    return _eight_bits(lab_to_display(luminance, np.zeros_like(chroma)))


def _eight_bits(picture: Picture) -> Picture:
    return np.asarray(np.rint(np.clip(picture, 0.0, 1.0) * 255.0) / 255.0, dtype=np.float32)


def _write_side_by_side(movie: Path, plate: Path, triples: list[tuple[Picture, Picture, Picture]]) -> None:
    """The three versions beside each other, at 25 frames a second."""
    with open_source(plate) as source:
        settings = SinkSettings(codec="h264", audio=False, frame_rate=Fraction(25))
        with open_sink(movie, source, settings) as sink:
            for number, triple in zip(source.frames, triples, strict=True):
                wide = np.hstack(triple)
                sink.write(PlateFrame(number, wide), wide)
