"""Finding and reading the pictures that give a shot its colours."""

from dataclasses import dataclass

from .colour.spaces import ColourSpace, default_space
from .colouring import FrameColouring, PreparedExemplar, PreparedFrame
from .errors import InputError
from .job import ExemplarSpec
from .media.frames import FrameSource, PlateFrame, open_source


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
        source = open_source(spec.path, frames)
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
    spec: ExemplarSpec, colouring: FrameColouring, space_name: str | None, own_frame: PreparedFrame | None
) -> LoadedExemplar:
    """Read an exemplar and fit it to the shot.

    ``own_frame`` is the plate frame it is declared for, prepared, or None for a picture from elsewhere. Raises
    InputError as `read_picture` does, and for an unknown colour space.
    """
    picture, source = read_picture(spec)
    space = ColourSpace(space_name or default_space(**vars(source.info.hint)))
    prepared = colouring.prepare_exemplar(picture.pixels, space)
    notes: list[str] = []
    if prepared.resized:
        how = "same shape" if prepared.same_aspect else "another shape, so its content is stretched"
        notes.append(
            f"Exemplar {spec} is {prepared.source_width}x{prepared.source_height} and was resized to the plate's frame "
            f"{colouring.width}x{colouring.height} ({how})."
        )
    if not prepared.has_colour:
        notes.append(f"Exemplar {spec} has no colour to speak of; frames that follow it will be grey.")
    if prepared.non_finite:
        notes.append(f"Exemplar {spec} has {prepared.non_finite} pixels that are NaN or infinite; they count as black.")
    carried_by = None
    if own_frame is not None:
        if colouring.shows_frame(prepared, own_frame):
            carried_by = spec.frame
        else:
            why = "the contents differ" if prepared.same_aspect else "the shapes differ"
            notes.append(
                f"Exemplar {spec} does not show the plate's frame {spec.frame} ({why}); it is used as a picture from "
                f"elsewhere, and frame {spec.frame} is coloured like the others."
            )
    return LoadedExemplar(spec, prepared, carried_by, space.name, tuple(notes))
