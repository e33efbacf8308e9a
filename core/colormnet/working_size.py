"""The size at which a network sees a plate: one rule for every way into the engine."""

from dataclasses import dataclass

from .errors import InputError

SMALLEST_SIDE = 16  # pixels; below this a plate holds less than one token of every network of the family


@dataclass(frozen=True)
class WorkingSize:
    """The plane a network works on, in square pixels."""

    height: int
    width: int


def working_size(height: int, width: int, short_side: int, pixel_aspect: float = 1.0) -> WorkingSize:
    """The working plane of a plate of ``height`` x ``width`` stored pixels.

    The plate is first thought of in square pixels (its stored width times ``pixel_aspect``), then reduced so that its
    shorter side is ``short_side``; both sides are rounded half up to whole pixels. A plate that is already smaller is
    worked on at its own size: enlarging it would add cost and no detail.

    Raises InputError for a plate or a working size too small to hold anything.
    """
    if height < SMALLEST_SIDE or width < SMALLEST_SIDE:
        raise InputError(f"The plate is {width}x{height} pixels; the smallest that can be coloured is 16x16.")
    if short_side < SMALLEST_SIDE:
        raise InputError(f"A working size of {short_side} is too small; give at least {SMALLEST_SIDE} pixels.")
    if not 0.1 <= pixel_aspect <= 10.0:
        raise InputError(f"A pixel aspect of {pixel_aspect:g} is not credible; correct the plate's header.")
    square_height, square_width = float(height), width * pixel_aspect
    scale = min(1.0, short_side / min(square_height, square_width))
    return WorkingSize(
        height=max(SMALLEST_SIDE, int(square_height * scale + 0.5)),
        width=max(SMALLEST_SIDE, int(square_width * scale + 0.5)),
    )
