"""From a plate's pixels to what the network sees, and from the network's chroma back to the plate.

Every way into the engine (command line, worker, farm) goes through `FrameColouring`, so that the same plate, exemplar
and settings give the same pixels everywhere. Nothing here reads or writes files, and nothing is kept from one frame to
the next: one object may serve several threads.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .colour.lab import display_to_lab
from .colour.spaces import ColourSpace
from .colour.transfer import contain, plate_luminance, transfer
from .colour.upsample import upsample_chroma
from .errors import InputError
from .working_size import WorkingSize, working_size

if TYPE_CHECKING:
    from .media.frames import Window
    from .network.interface import Keys
    from .session import Colorizer

Plane = NDArray[np.float32]

GREY_CHROMA = 1.0 / 110.0  # mean chroma (network units) under which a picture counts as having no colour: 1 unit of Lab
# Whether an exemplar shows the very frame it is declared to colour. Measured on 35 clips and 12 ways of making grey: a
# coloured still of it stays under 0.08, of another clip over 0.5; of the frames five further on nine in ten are over.
SAME_FRAME_CORRELATION = 0.9  # of the plate's luminance with what the exemplar says it should be
SAME_FRAME_SIGN = 0.5  # of the two luminances as they are: a negative of the plate is another picture
SAME_FRAME_RESIDUAL = 0.11  # network units, left after a grade, locally averaged, in the worst hundredth of the picture
SMALLEST_COMPARED = 24  # pixels of the working size, under which a part of a picture shows too little
FLAT = 0.02  # standard deviation of luminance (network units) under which a picture has no shape to correlate
SAME_ASPECT = 0.01


@dataclass(frozen=True)
class PreparedFrame:
    """What is derived from a plate frame before the network runs."""

    luminance: Plane  # (h, w), network units, at the working size: what `Colorizer.step` takes
    full_luminance: Plane  # (H, W), network units, at the plate's size: the guide of the upsampling
    non_finite: int  # pixels in which some channel is NaN or infinite


@dataclass(frozen=True)
class PreparedExemplar:
    """An exemplar at the working size, and what the user should know about it."""

    luminance: Plane  # (h, w), network units
    chroma: Plane  # (2, h, w), network units
    full_chroma: Plane | None  # (2, H, W) where the picture has exactly the plate's size
    source_height: int
    source_width: int
    resized: bool  # whether it had another size than the plate
    same_aspect: bool
    mean_chroma: float  # mean length of (a', b')
    non_finite: int

    @property
    def has_colour(self) -> bool:
        """Whether there is any chroma to take from it."""
        return self.mean_chroma >= GREY_CHROMA


@dataclass(frozen=True)
class ColouredFrame:
    """A finished frame at the plate's size."""

    pixels: Plane  # (H, W, 3), the plate's own colour space
    chroma: Plane  # (2, H, W), network units
    confidence: Plane | None  # (H, W) in [0, 1]


class FrameColouring:
    """How the frames of one shot are prepared for the network and finished after it.

    ``space`` is the plate's colour space, ``short_side`` the working size (see `working_size.working_size`),
    ``saturation`` multiplies the chroma put on the plate, ``ceiling`` is the most that the output file holds in a
    channel (see `colour.transfer.transfer`).
    """

    def __init__(
        self,
        space: ColourSpace,
        height: int,
        width: int,
        short_side: int,
        saturation: float = 1.0,
        pixel_aspect: float = 1.0,
        ceiling: float | None = None,
    ) -> None:
        if not 0.0 <= saturation <= 10.0:
            raise InputError(f"A saturation of {saturation:g} makes no sense; give a number from 0 to 10.")
        self.space = space
        self.height = height
        self.width = width
        self.saturation = saturation
        self.ceiling = ceiling
        self.size: WorkingSize = working_size(height, width, short_side, pixel_aspect)

    def prepare(self, pixels: Plane) -> PreparedFrame:
        """Luminance of a plate frame. ``pixels``: (H, W, 3) float32 in the plate's space.

        Raises InputError where the frame has another size than the shot.
        """
        if pixels.shape != (self.height, self.width, 3):
            raise InputError(
                f"A frame is {pixels.shape[1]}x{pixels.shape[0]} pixels where the shot is {self.width}x{self.height}; "
                "all frames of a shot must have one size."
            )
        luminance, non_finite = plate_luminance(pixels, self.space)
        full = np.ascontiguousarray(luminance, dtype=np.float32)
        return PreparedFrame(_resize(full, self.size), full, non_finite)

    def prepare_exemplar(self, pixels: Plane, space: ColourSpace) -> PreparedExemplar:
        """An exemplar picture (H', W', 3) float32 in its own ``space``, brought to the working size.

        A picture of another size is stretched to the plate's frame, as the release does; reducing averages areas,
        enlarging is bilinear. The picture's pixels are taken to be as square or not as the plate's when the stored
        sizes agree, and as square otherwise.
        """
        height, width = pixels.shape[:2]
        finite, non_finite = contain(pixels)
        luminance, chroma = display_to_lab(space.to_display(finite))
        same_size = (height, width) == (self.height, self.width)
        frame_aspect = self.size.width / self.size.height
        return PreparedExemplar(
            luminance=_resize(luminance, self.size),
            chroma=np.stack([_resize(plane, self.size) for plane in chroma]),
            full_chroma=np.ascontiguousarray(chroma, dtype=np.float32) if same_size else None,
            source_height=height,
            source_width=width,
            resized=not same_size,
            same_aspect=same_size or abs(width / height / frame_aspect - 1.0) <= SAME_ASPECT,
            mean_chroma=float(np.sqrt(np.square(chroma, dtype=np.float64).sum(axis=0)).mean()),
            non_finite=non_finite,
        )

    def shows_frame(self, exemplar: PreparedExemplar, frame: PreparedFrame, covered: "Window | None" = None) -> bool:
        """Whether the exemplar is a coloured version of that plate frame, judged by shape and luminance.

        A grade between the two and any way of making grey are allowed for (see `luminance_agrees`). ``covered``: the
        part of the plate's (H, W) that the exemplar reaches, where it is not all; only that is compared.
        """
        if not exemplar.same_aspect:
            return False
        one, chroma, other = exemplar.luminance, exemplar.chroma, frame.luminance
        if covered is not None:
            down, across = self.size.height / self.height, self.size.width / self.width
            rows = slice(math.ceil(covered.y * down), math.floor((covered.y + covered.height) * down))
            columns = slice(math.ceil(covered.x * across), math.floor((covered.x + covered.width) * across))
            one, chroma, other = one[rows, columns], chroma[:, rows, columns], other[rows, columns]
            if min(one.shape) < SMALLEST_COMPARED:
                return False
        return luminance_agrees(one, chroma, other)

    def enlarge(self, chroma: Plane, frame: PreparedFrame) -> Plane:
        """The network's chroma (2, h, w) at the plate's size (2, H, W), following the edges of the full luminance."""
        if chroma.shape[1:] == frame.full_luminance.shape:
            return chroma
        return np.asarray(upsample_chroma(chroma, frame.luminance, frame.full_luminance), dtype=np.float32)

    def finish(
        self, pixels: Plane, frame: PreparedFrame, chroma: Plane, confidence: Plane | None = None
    ) -> ColouredFrame:
        """The coloured plate frame.

        ``pixels`` (H, W, 3) is the plate frame that ``frame`` was prepared from; ``chroma`` is (2, h, w) at the
        working size, or (2, H, W) where it is known at the plate's own size; ``confidence`` is (h, w).
        Pixels with a NaN or an infinity come back exactly as they were, and spread to no other pixel.
        """
        full_chroma = self.enlarge(chroma, frame)
        coloured = transfer(pixels, full_chroma, self.space, saturation=self.saturation, ceiling=self.ceiling)
        return ColouredFrame(coloured, full_chroma, None if confidence is None else self._enlarge_plane(confidence))

    def _enlarge_plane(self, plane: Plane) -> Plane:
        if plane.shape == (self.height, self.width):
            return plane
        enlarged = cv2.resize(plane, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.clip(enlarged, 0.0, 1.0), dtype=np.float32)


def start_session(session: "Colorizer", exemplars: Sequence[PreparedExemplar]) -> None:
    """Give a new session its exemplars, in the order they were named; all but the one that the first frame carries.

    Exemplars of later frames are remembered from the start, so that the frames before them profit as well.
    """
    for exemplar in exemplars:
        session.add_exemplar(exemplar.luminance, exemplar.chroma)


def step_session(
    session: "Colorizer",
    frame: PreparedFrame,
    own: PreparedExemplar | None,
    last: bool = False,
    keys: "Keys | None" = None,
) -> tuple[Plane, Plane]:
    """The next frame's chroma, (2, h, w), or (2, H, W) where its own exemplar says it; and the confidence (h, w).

    ``own`` is the exemplar that this very frame carries (see `FrameColouring.shows_frame`), or None: the session then
    returns and remembers its chroma instead of predicting. ``last`` and ``keys`` are as for `Colorizer.step`.
    """
    if own is not None:
        session.add_exemplar(frame.luminance, own.chroma, first_frame=True)
    chroma = session.step(frame.luminance, last=last, keys=keys)
    if own is not None and own.full_chroma is not None:
        chroma = own.full_chroma
    return chroma, session.confidence


def luminance_agrees(luminance: Plane, chroma: Plane, frame: Plane) -> bool:
    """Whether a frame's luminance (h, w) is that of an exemplar, a smooth grade and a way of making grey apart.

    ``luminance`` (h, w) and ``chroma`` (2, h, w) are the exemplar's, all in network units. How light a colour is in
    grey depends on how the grey was made (a mean of the channels, other weights, a filter before the lens); that, like
    a grade, is one smooth function of the colour for the whole picture. What it leaves over has to be small
    everywhere: a still camera makes neighbouring frames correlate as a whole, and only what moves tells them apart.
    """
    light, other = luminance.astype(np.float64).ravel(), frame.astype(np.float64).ravel()
    a, b = chroma[0].astype(np.float64).ravel(), chroma[1].astype(np.float64).ravel()
    terms = [np.ones_like(light), light, light**2, light**3, a, b, a * light, b * light, a * a, a * b, b * b]
    powers = np.stack(terms, axis=1)
    factors, *_ = np.linalg.lstsq(powers, other, rcond=None)
    fitted = powers @ factors
    if min(light.std(), other.std()) >= FLAT and (
        np.corrcoef(light, other)[0, 1] < SAME_FRAME_SIGN or np.corrcoef(fitted, other)[0, 1] < SAME_FRAME_CORRELATION
    ):
        return False
    left_over = np.asarray(fitted - other).reshape(frame.shape)
    window = max(3, min(frame.shape) // 15)
    local = np.abs(cv2.blur(left_over, (window, window)))
    return bool(np.percentile(local, 99.0) <= SAME_FRAME_RESIDUAL)


def _resize(plane: NDArray[Any], size: WorkingSize) -> Plane:
    if plane.shape == (size.height, size.width):
        return np.ascontiguousarray(plane, dtype=np.float32)
    reducing = plane.shape[0] >= size.height and plane.shape[1] >= size.width
    method = cv2.INTER_AREA if reducing else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(plane, dtype=np.float32), (size.width, size.height), interpolation=method)
    return np.asarray(resized, dtype=np.float32)
