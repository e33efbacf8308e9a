"""Pictures as the worker gets and gives them: raw buffers and files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from colormnet_host.protocol import Buffer, Pixels

from ..errors import InputError
from ..media import images
from ..media.atomic import prepare_folder, refuse_overwrite
from ..media.frames import (
    CHROMA_A,
    CHROMA_B,
    CONFIDENCE,
    ColourHint,
    MediaInfo,
    PlateFrame,
    SinkSettings,
    Windows,
)
from .planes import Plane
from .requests import ShotSettings

OUT_CHANNELS = {1: 3, 2: 4, 3: 3, 4: 4}  # luminance becomes RGB; alpha stays
LAYER_NAMES = {"a": CHROMA_A, "b": CHROMA_B, "confidence": CONFIDENCE}
HALF_MAX = 65504.0


@dataclass(frozen=True)
class Picture:
    """Colour channels as (H, W, 3) float32 and what else is needed to write the picture again."""

    pixels: Plane
    pixel_aspect: float
    hint: ColourHint | None
    alpha: NDArray[np.generic] | None = None  # (H, W) in the buffer's own type
    info: MediaInfo | None = field(default=None, repr=False)
    frame: PlateFrame | None = field(default=None, repr=False)

    @property
    def windows(self) -> Windows:
        """Display and data window; a buffer is its frame."""
        height, width = self.pixels.shape[:2]
        return Windows.of_size(width, height) if self.info is None else self.info.windows


def from_buffer(layout: Pixels, raw: Buffer) -> Picture:
    """A picture from raw samples. One channel is luminance, the second of two or the fourth of four is alpha."""
    samples = np.frombuffer(raw, dtype=np.float16 if layout.dtype == "half" else np.float32)
    if samples.nbytes != layout.nbytes:
        raise InputError(f"A picture of {layout.nbytes} bytes was announced and {samples.nbytes} came.")
    channels = layout.channels
    if layout.layout == "planar":
        planes = samples.reshape(channels, layout.height, layout.width)
        colour = np.moveaxis(planes[:3], 0, -1) if channels >= 3 else planes[0][..., None]
        alpha = planes[-1] if channels in (2, 4) else None
    else:
        packed = samples.reshape(layout.height, layout.width, channels)
        colour = packed[..., :3] if channels >= 3 else packed[..., :1]
        alpha = packed[..., -1] if channels in (2, 4) else None
    if colour.shape[-1] == 1:
        colour = np.repeat(colour, 3, axis=-1)
    pixels = np.array(colour, dtype=np.float32, order="C", copy=True)  # the buffer is used again for the answer
    return Picture(pixels, 1.0, None, None if alpha is None else alpha.copy())


def out_layout(layout: Pixels) -> Pixels:
    """How the answer to a picture of that layout is laid out."""
    return layout._replace(channels=OUT_CHANNELS[layout.channels])


def into_buffer(layout: Pixels, pixels: Plane, alpha: NDArray[np.generic] | None, target: memoryview) -> None:
    """Write (H, W, 3) float32 and alpha as raw samples of ``layout`` (see `out_layout`) into ``target``.

    Finite values beyond half's range become its largest value.
    """
    dtype = np.dtype(np.float16 if layout.dtype == "half" else np.float32)
    samples = np.frombuffer(target, dtype=dtype, count=layout.width * layout.height * layout.channels)
    if layout.layout == "planar":
        view = np.moveaxis(samples.reshape(layout.channels, layout.height, layout.width), 0, -1)
    else:
        view = samples.reshape(layout.height, layout.width, layout.channels)
    if layout.dtype == "half":
        pixels = np.where(np.isinf(pixels), pixels, np.clip(pixels, -HALF_MAX, HALF_MAX))
    view[..., :3] = pixels
    if layout.channels == 4 and alpha is not None:
        view[..., 3] = alpha


def read_picture(path: Path) -> Picture:
    """A picture file, its path taken literally (never as a pattern). Raises InputError."""
    picture = images.read_picture(path)
    frame = images.to_frame(picture, 1, picture.data)
    info = images.picture_info(picture, str(path), "still", picture.data)
    return Picture(frame.pixels, info.pixel_aspect, info.hint, None, info, frame)


def sink_settings(settings: ShotSettings) -> SinkSettings:
    """What `colormnet colorize` would write for these settings."""
    names = tuple(LAYER_NAMES[layer] for layer in settings.layers)
    return SinkSettings(content="colour" if settings.picture else "layers", layers=names)


def write_picture(
    picture: Picture, output: Path, settings: ShotSettings, pixels: Plane, layers: Mapping[str, Plane]
) -> None:
    """Write a coloured picture beside everything else its plate holds. Raises InputError; whole or not at all."""
    if picture.info is None or picture.frame is None:
        raise InputError(f"{output} cannot be written from a buffer; send the plate as a file.")
    refuse_overwrite([output], [Path(picture.info.name)])
    prepare_folder(output.parent, output.name)
    images.write_image_frame(
        output, picture.frame, pixels if settings.picture else None, layers, sink_settings(settings), picture.info
    )
