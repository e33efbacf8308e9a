"""Finding and reading the pictures that give a shot its colours."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .colour.spaces import ColourSpace, default_space
from .colouring import FrameColouring, Plane, PreparedExemplar, PreparedFrame
from .errors import InputError
from .job import ExemplarSpec
from .media.frames import FrameSource, MediaInfo, PlateFrame, Window, Windows, open_source


@dataclass(frozen=True)
class LoadedExemplar:
    """An exemplar ready for the session.

    Attributes:
        spec: what the user wrote.
        prepared: luminance and chroma at the working size.
        carried_by: the plate frame whose output carries this chroma as it is; None where it is only remembered.
        space: name of the colour space it was read in.
        notes: sentences the user should see.
    """

    spec: ExemplarSpec
    prepared: PreparedExemplar
    carried_by: int | None
    space: str
    notes: tuple[str, ...]


def read_picture(spec: ExemplarSpec) -> tuple[PlateFrame, FrameSource]:
    """The one picture that ``spec`` means, and the (closed) source it came from.

    Raises InputError where nothing is there, where it cannot be read, or where several pictures could be meant.
    """
    frames = None if spec.picture is None else [spec.picture]
    try:
        source = open_source(spec.path, frames, exemplar=True)
    except InputError as error:
        raise InputError(f"The exemplar {spec} cannot be used. {error}") from error
    with source:
        numbers = source.frames
        if len(numbers) > 1:
            if spec.frame is None or spec.frame not in numbers:
                raise InputError(
                    f"The exemplar {spec} holds {len(numbers)} pictures; say which one is meant by adding #N to its "
                    f"name, for example '{spec.path}#{numbers[0]}'."
                )
            number = spec.frame
        else:
            number = numbers[0]
        return source.read(number), source


def load_exemplar(
    spec: ExemplarSpec,
    colouring: FrameColouring,
    space_name: str | None,
    own_frame: PreparedFrame | None,
    plate: Windows,
    orientation: int = 1,
) -> LoadedExemplar:
    """Read an exemplar and fit it to the shot (see `fit_exemplar`); ``orientation`` is the plate's.

    Raises InputError as `read_picture` does, and for an unknown colour space.
    """
    picture, source = read_picture(spec)
    space = ColourSpace(space_name or default_space(**vars(source.info.hint)))
    pixels, windows = turned(picture.pixels, source.info, orientation)
    fitted = fit_exemplar(str(spec), pixels, windows, space, colouring, plate, spec.frame, own_frame)
    carried_by = spec.frame if fitted.carried else None
    return LoadedExemplar(spec, fitted.prepared, carried_by, space.name, fitted.notes)


def turned(pixels: Plane, info: MediaInfo, plate: int = 1) -> tuple[Plane, Windows]:
    """An exemplar's pixels (h, w, 3) as the plate's are stored, and their windows.

    A camera may store a picture on its side and note in the header how it is to be turned (EXIF orientation); ``plate``
    is the orientation that the plate's own header notes.
    """
    if info.orientation == plate:
        return pixels, info.windows
    turns_back = {6: 8, 8: 6}
    for number in (info.orientation, turns_back.get(plate, plate)):
        pixels = _TURNS[number](pixels)
    height, width = pixels.shape[:2]
    return np.ascontiguousarray(pixels), Windows.of_size(width, height)


_TURNS: dict[int, Callable[[Plane], Plane]] = {  # from the stored picture to the upright one
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: np.rot90,
}


@dataclass(frozen=True)
class FittedExemplar:
    """An exemplar brought onto a shot's plate.

    Attributes:
        prepared: luminance and chroma at the working size.
        carried: whether it shows the plate's frame it is declared for, whose output then carries its chroma.
        notes: sentences the user should see.
    """

    prepared: PreparedExemplar
    carried: bool
    notes: tuple[str, ...]


def fit_exemplar(
    name: str,
    pixels: Plane,
    own: Windows,
    space: ColourSpace,
    colouring: FrameColouring,
    plate: Windows,
    frame: int | None,
    own_frame: PreparedFrame | None,
) -> FittedExemplar:
    """Bring an exemplar onto the plate; the one rule for the command line, the worker and the hosts.

    ``pixels`` (h, w, 3) in ``space`` lie in the windows ``own``, the plate's in ``plate``: an exemplar of the plate's
    format (display window) is laid where it belongs, whatever the data windows are; any other is stretched to the
    whole. ``frame`` is the plate frame it is declared for and ``own_frame`` that frame, prepared (of which only the
    luminance at the working size is looked at), both None for a picture from elsewhere.
    """
    notes: list[str] = []
    covered = _window_on_plate(own, plate)
    if covered is not None:
        pixels = _laid_on(plate.data, pixels, covered)
        notes.append(
            f"Exemplar {name} lies on the plate's display window {plate.display.width}x{plate.display.height}; where "
            "it does not reach, the colours at its edge go on."
        )
    prepared = colouring.prepare_exemplar(pixels, space)
    if prepared.resized:
        how = "same shape" if prepared.same_aspect else "another shape, so its content is stretched"
        notes.append(
            f"Exemplar {name} is {prepared.source_width}x{prepared.source_height} and was resized to the plate's frame "
            f"{colouring.width}x{colouring.height} ({how})."
        )
    if not prepared.has_colour:
        notes.append(f"Exemplar {name} has no colour to speak of; frames that follow it will be grey.")
    if prepared.non_finite:
        notes.append(
            f"Exemplar {name} has {prepared.non_finite} pixels that are NaN or infinite; they take the colour around "
            "them."
        )
    carried = False
    if own_frame is not None:
        carried = colouring.shows_frame(prepared, own_frame, covered and _inside(covered, plate.data))
        if not carried:
            why = "the contents differ" if prepared.same_aspect else "the shapes differ"
            notes.append(
                f"Exemplar {name} does not show the plate's frame {frame} ({why}); it is used as a picture from "
                f"elsewhere, and frame {frame} is coloured like the others."
            )
    return FittedExemplar(prepared, carried, tuple(notes))


def _window_on_plate(own: Windows, plate: Windows) -> Window | None:
    """Where the pixels of an exemplar lie in the plate's coordinates; None where it is to be taken as a whole.

    It is so where both have one display window and not one data window: overscan, or a cropped bounding box.
    """
    if (own.display.width, own.display.height) != (plate.display.width, plate.display.height):
        return None
    left, top = plate.display.x - own.display.x, plate.display.y - own.display.y
    window = Window(own.data.x + left, own.data.y + top, own.data.width, own.data.height)
    return None if window == plate.data or _inside(window, plate.data) is None else window


def _laid_on(canvas: Window, pixels: Plane, window: Window) -> Plane:
    """Pixels (h, w, 3) of a window on a canvas (H, W, 3); beyond the window its edge is repeated."""
    rows = np.clip(np.arange(canvas.y, canvas.y + canvas.height) - window.y, 0, window.height - 1)
    columns = np.clip(np.arange(canvas.x, canvas.x + canvas.width) - window.x, 0, window.width - 1)
    return pixels[rows[:, None], columns[None, :]]


def _inside(window: Window, canvas: Window) -> Window | None:
    """The part of a window on a canvas, from the canvas's corner; None where they do not meet."""
    left, top = max(window.x, canvas.x), max(window.y, canvas.y)
    right = min(window.x + window.width, canvas.x + canvas.width)
    bottom = min(window.y + window.height, canvas.y + canvas.height)
    if left >= right or top >= bottom:
        return None
    return Window(left - canvas.x, top - canvas.y, right - left, bottom - top)
