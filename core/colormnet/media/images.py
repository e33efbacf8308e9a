"""One picture file through OpenImageIO: read with everything in it, written back with only the colour changed.

A file is held as its parts (EXR parts, TIFF pages) in their own pixel types, so that what is not colour comes out bit
for bit. EXR keeps data and display window, per-channel types, timecode and every other attribute of the header.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenImageIO as oiio  # noqa: N813 - the library's own short name

from colormnet.errors import InputError
from colormnet.files import free_space, whole_file, write_error
from colormnet.media.channels import ColourChannels, find_colour, layer_name
from colormnet.media.frames import ColourHint, FloatArray, MediaInfo, PlateFrame, SinkSettings, Window
from colormnet.media.integrity import ends_early
from colormnet.media.notation import check_name, image_format

_LOSSY = {"dwaa": "zip", "dwab": "zip", "b44": "zips", "b44a": "zips"}
# Written by the library for the file it writes; a copy from another file would be wrong or is refused.
_NOT_COPIED = ("openexr:chunkCount", "oiio:subimages", "oiio:subimagename", "oiio:RowsPerChunk", "openexr:lineOrder")
_EXACT_INTEGER = 1 << 22  # an integer channel beside floating-point ones passes through a float exactly up to here
_DEPTHS = {"half": oiio.HALF, "float": oiio.FLOAT, "uint8": oiio.UINT8, "uint10": oiio.UINT16, "uint16": oiio.UINT16}
_NUMPY = {"half": np.float16, "float": np.float32, "uint8": np.uint8, "uint10": np.uint16, "uint16": np.uint16}
_CAN_HOLD = {
    "exr": ("half", "float"),
    "png": ("uint8", "uint16"),
    "tiff": ("uint8", "uint16", "half", "float"),
    "dpx": ("uint8", "uint10", "uint16"),
    "jpeg": ("uint8",),
}

_WIDEST_PIXEL = 16.0
_TURNED = ("jpeg", "png", "tiff", "webp")  # formats whose pictures programs turn as their headers ask
# Formats whose libraries write past a full disk without a word (PNG) or end the process (JPEG), with their end marks.
_DEAF = {"png": b"IEND", "jpeg": b"\xff\xd9"}
_LIBRARY_NAMES = {"exr": "openexr"}

AnyArray = npt.NDArray[Any]


@dataclass(frozen=True)
class Part:
    """One part: its header and its pixels (height, width, channels) in a type that holds every channel exactly."""

    spec: Any
    pixels: AnyArray | None


@dataclass(frozen=True)
class Picture:
    """A whole file. ``Part.pixels`` is None when only the headers were read."""

    path: Path
    format: str
    parts: tuple[Part, ...]
    colour: ColourChannels

    @property
    def spec(self) -> Any:
        """Header of the part that holds the colour."""
        return self.parts[self.colour.part].spec

    @property
    def data(self) -> Window:
        """Data window of the colour part."""
        spec = self.spec
        return Window(spec.x, spec.y, spec.width, spec.height)

    @property
    def display(self) -> Window:
        """Display window of the colour part."""
        spec = self.spec
        return Window(spec.full_x, spec.full_y, spec.full_width, spec.full_height)


@dataclass(frozen=True)
class PictureFrame:
    """What a :class:`PlateFrame` of a picture carries for the sink: the file, and the canvas its pixels were put on."""

    picture: Picture
    canvas: Window


def read_picture(path: Path, pixels: bool = True, layer: str | None = None) -> Picture:
    """Read a file with all its parts, or only the headers.

    Of GIF, WebP and BMP, which only exemplars have, the first picture.

    Raises:
        InputError: missing, unreadable, truncated, deep, mip-mapped, without colour, of an unknown format.
    """
    kind = image_format(path, exemplar=True)
    if kind is None:
        raise InputError(f"{path} is not a picture this program reads (EXR, PNG, TIFF, DPX, JPEG, GIF, WebP, BMP).")
    if not path.is_file():
        raise InputError(f"{path} does not exist." if not path.exists() else f"{path} is not a file.")
    if not os.access(path, os.R_OK):
        raise InputError(f"There is no permission to read {path}; change its rights or copy it.")
    check_name(path)
    if not path.stat().st_size:
        raise _unreadable(path, "the file is empty")
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # as stored: no multiplication by alpha on the way in
    config.attribute("oiio:RawColor", 1)
    source = oiio.ImageInput.open(str(path), config)
    if not source:
        raise _unreadable(path, oiio.geterror())
    try:
        if pixels:
            check_whole(path)  # some decoders fill what is missing with grey and say nothing
        parts = _read_parts(source, path, pixels, first_only=image_format(path) is None)
    finally:
        source.close()
    names = [(_part_name(part.spec), tuple(part.spec.channelnames)) for part in parts]
    return Picture(path, kind, tuple(parts), find_colour(names, str(path), layer))


def _read_parts(source: Any, path: Path, pixels: bool, first_only: bool = False) -> list[Part]:
    parts: list[Part] = []
    while not (first_only and parts) and source.seek_subimage(len(parts), 0):
        number = len(parts)
        spec = oiio.ImageSpec(source.spec())
        if spec.deep:
            raise InputError(f"{path} is a deep EXR; flatten the plate first (DeepToImage).")
        if spec.tile_width and source.seek_subimage(number, 1):
            raise InputError(f"{path} is a mip-mapped texture, not a plate; write it with one resolution level.")
        data = None
        if pixels:
            try:
                data = source.read_image(number, 0, 0, spec.nchannels, _read_type(spec))
            except (MemoryError, ValueError) as error:
                raise _unreadable(path, str(error)) from error
            if data is None or source.has_error:
                raise _unreadable(path, source.geterror())
            _check_exact(source, number, spec, path)
        parts.append(Part(spec, data))
    source.geterror()  # the search for one part too many leaves a message behind
    if not parts:
        raise _unreadable(path, "no picture in it")
    return parts


def check_whole(path: Path) -> None:
    """Raise InputError where the file's end is missing, which its header does not show; nothing is decoded."""
    try:
        missing = ends_early(path)
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    if missing:
        raise _unreadable(path, "the file ends early")


def _unreadable(path: Path, problem: str) -> InputError:
    text = " ".join(problem.replace(str(path), "").split())
    # OpenEXR tells of the same fault once for every function it was in; the first is the fault itself.
    text = next((said for said in re.split(r"EXR Error \(\): (?:EXR_\w+ )?", text) if said.strip()), text)
    text = text.strip(" .:()\"'") or "no reason given"
    return InputError(f"{path} cannot be read ({text}); it may be truncated: render or copy it again.")


def _part_name(spec: Any) -> str:
    return str(spec.get_string_attribute("view") or spec.get_string_attribute("oiio:subimagename") or "")


def _types(spec: Any) -> set[str]:
    formats = [str(kind) for kind in spec.channelformats] if spec.channelformats else [str(spec.format)]
    return set(formats)


def _read_type(spec: Any) -> Any:
    """The one type in which every channel of a part is exact."""
    kinds = _types(spec)
    if len(kinds) == 1:
        return spec.format.basetype
    return oiio.FLOAT if kinds <= {"half", "float"} else oiio.DOUBLE


def _check_exact(source: Any, number: int, spec: Any, path: Path) -> None:
    """Integer channels beside floating-point ones go through a float in the library; refuse what would be rounded."""
    if len(_types(spec)) < 2:
        return
    for index, kind in enumerate(spec.channelformats):
        if str(kind) in ("uint", "int"):
            values = source.read_image(number, 0, index, index + 1, oiio.UINT32)
            if values is not None and values.max(initial=0) >= _EXACT_INTEGER:
                raise InputError(
                    f"{path} holds large integers in channel {spec.channelnames[index]} beside floating-point ones, "
                    "which cannot be passed through exactly; put that channel in a part of its own."
                )


# -- from a picture to a plate frame --------------------------------------------------------------------------------


def picture_info(picture: Picture, name: str, kind: str, canvas: Window) -> MediaInfo:
    """What is known of footage whose first picture this is; ``canvas`` is the window that frames are read on."""
    spec = picture.spec
    part = picture.parts[picture.colour.part]
    aspect = pixel_aspect(spec)
    notes = []
    if abs(aspect - 1.0) > 1e-4:
        notes.append(
            f"Pixels are {aspect:g} times as wide as high: passed through; "
            "the network sees the plate flattened to square."
        )
    lossy = sorted({part_compression(entry.spec) for entry in picture.parts} & set(_LOSSY))
    if picture.format == "exr" and lossy:
        notes.append(f"{lossy[0].upper()} compression loses precision; the output is written with ZIP instead.")
    views = [_part_name(entry.spec) for entry in picture.parts if entry.spec.get_string_attribute("view")]
    if len(set(views)) > 1:
        notes.append(f"Of the views {', '.join(dict.fromkeys(views))}, {_part_name(spec)} is coloured.")
    bits = depth_name(spec, picture.colour.indexes[0])
    own = {*picture.colour.indexes, picture.colour.alpha}
    beside = [name for index, name in enumerate(spec.channelnames) if index not in own]
    others = [(number, entry.spec) for number, entry in enumerate(picture.parts) if number != picture.colour.part]
    beside += [f"part {_part_name(entry) or number + 1}" for number, entry in others]
    chromaticities = spec.getattribute("chromaticities")
    return MediaInfo(
        name=name,
        kind="still" if kind == "still" else "sequence",
        format=picture.format,
        width=canvas.width,
        height=canvas.height,
        display=picture.display,
        data=canvas,
        pixel_aspect=aspect,
        frame_rate=_frame_rate(spec),
        timecode=timecode_of(spec),
        bits=bits,
        alpha=picture.colour.alpha is not None,
        hint=ColourHint(
            format=picture.format,
            floating=bits in ("half", "float"),
            tag=str(spec.get_string_attribute("dpx:Transfer") or spec.get_string_attribute("oiio:ColorSpace") or "")
            or None
            if part.spec
            else None,
            chromaticities=tuple(float(value) for value in chromaticities) if chromaticities else None,
        ),
        orientation=_orientation(picture),
        beside=tuple(beside),
        notes=tuple(notes),
    )


def pixel_aspect(spec: Any) -> float:
    """Width of a pixel over its height; 1 where the header does not say, or says what cannot be."""
    aspect = float(spec.get_float_attribute("PixelAspectRatio", 1.0))
    return aspect if 1 / _WIDEST_PIXEL <= aspect <= _WIDEST_PIXEL else 1.0


def _orientation(picture: Picture) -> int:
    """1 to 8 as in EXIF. Nobody turns EXR and DPX plates by such a mark."""
    stated = picture.spec.get_int_attribute("Orientation", 1) if picture.format in _TURNED else 1
    return int(stated) if 1 <= stated <= 8 else 1


def part_compression(spec: Any) -> str:
    """Compression without its level ("dwaa:45" -> "dwaa")."""
    return str(spec.get_string_attribute("compression")).partition(":")[0].lower()


def depth_name(spec: Any, channel: int) -> str:
    """ "half", "float", "uint8", "uint10", "uint12", "uint16"... of a channel."""
    kind = str(spec.channelformats[channel] if spec.channelformats else spec.format)
    bits = spec.get_int_attribute("oiio:BitsPerSample", 0)
    if kind == "uint16" and 8 < bits < 16:
        return f"uint{bits}"
    return {"uint": "uint32", "double": "float"}.get(kind, kind)


def _frame_rate(spec: Any) -> Fraction | None:
    value = spec.getattribute("framesPerSecond")
    if isinstance(value, tuple) and len(value) == 2 and value[1]:
        return Fraction(int(value[0]), int(value[1]))
    rate = spec.get_float_attribute("dpx:FrameRate", 0.0) or spec.get_float_attribute("dpx:TemporalFrameRate", 0.0)
    return Fraction(rate).limit_denominator(1001) if 0.0 < rate < 1000.0 else None


def timecode_of(spec: Any) -> str | None:
    """ "HH:MM:SS:FF" from the header, ";" before the frames for drop frame; None when there is none."""
    value = spec.getattribute("smpte:TimeCode")
    if not isinstance(value, tuple) or not value:
        return None
    word = int(value[0]) & 0xFFFFFFFF
    hours, minutes, seconds, frames = (
        ((word >> shift + 4) & tens) * 10 + ((word >> shift) & 15) for shift, tens in ((24, 3), (16, 7), (8, 7), (0, 3))
    )
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if word & 0x40 else ':'}{frames:02d}"


def timecode_words(text: str) -> tuple[int, int]:
    """SMPTE 12M words of "HH:MM:SS:FF"; the inverse of :func:`timecode_of`."""
    drop = ";" in text
    hours, minutes, seconds, frames = (int(field) for field in text.replace(";", ":").split(":"))
    word = 0
    for shift, value in ((24, hours), (16, minutes), (8, seconds), (0, frames)):
        word |= ((value // 10) << (shift + 4)) | ((value % 10) << shift)
    return word | (0x40 if drop else 0), 0


def to_frame(picture: Picture, number: int, canvas: Window) -> PlateFrame:
    """The colour of a picture on a canvas, black where its data window does not reach."""
    pixels = picture.parts[picture.colour.part].pixels
    if pixels is None:
        raise InputError(f"{picture.path} was opened without its pixels.")
    indexes = picture.colour.indexes
    if indexes in ((0, 1, 2), (0,)):
        colour = pixels[..., : len(indexes)]
    else:
        colour = pixels[..., list(indexes)]
    colour = to_float(colour)
    if picture.data != canvas:
        colour = place(colour, picture.data, canvas)
    if len(indexes) == 1:
        colour = np.repeat(colour, 3, axis=-1)
    return PlateFrame(number, np.ascontiguousarray(colour), PictureFrame(picture, canvas))


def to_float(pixels: AnyArray) -> FloatArray:
    """Any pixel type to float32; integers with full scale as 1."""
    if np.issubdtype(pixels.dtype, np.integer):
        return (pixels / np.float32(np.iinfo(pixels.dtype).max)).astype(np.float32, copy=False)
    with np.errstate(over="ignore"):
        return pixels.astype(np.float32)


def from_float(pixels: AnyArray, dtype: npt.DTypeLike) -> AnyArray:
    """float32 to any pixel type; integers are clipped to their range and rounded, NaN becomes 0."""
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.integer):
        top = np.iinfo(kind).max
        scaled = np.clip(np.nan_to_num(pixels, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
        wide = np.float64 if top > 1 << 20 else np.float32
        result: AnyArray = np.rint(scaled * wide(top)).astype(kind)
        return result
    with np.errstate(over="ignore"):
        return pixels.astype(kind)


def place(pixels: AnyArray, source: Window, target: Window) -> AnyArray:
    """Pixels of one window seen through another; zero outside."""
    result = np.zeros((target.height, target.width, *pixels.shape[2:]), dtype=pixels.dtype)
    left, top = max(source.x, target.x), max(source.y, target.y)
    right = min(source.x + source.width, target.x + target.width)
    bottom = min(source.y + source.height, target.y + target.height)
    if left < right and top < bottom:
        result[top - target.y : bottom - target.y, left - target.x : right - target.x] = pixels[
            top - source.y : bottom - source.y, left - source.x : right - source.x
        ]
    return result


def alpha_of(held: PictureFrame) -> FloatArray | None:
    """The alpha (H, W) of a picture on its canvas, as stored; None without one."""
    picture = held.picture
    stored = picture.parts[picture.colour.part].pixels
    if picture.colour.alpha is None or stored is None:
        return None
    return place(to_float(stored[..., picture.colour.alpha]), picture.data, held.canvas)


def multiplied_alpha(frame: PlateFrame) -> FloatArray | None:
    """The alpha (H, W) that a frame's colour is multiplied by; None where there is none, or it is stored apart."""
    held = frame.passthrough
    if not isinstance(held, PictureFrame) or held.picture.spec.get_int_attribute("oiio:UnassociatedAlpha", 0):
        return None
    return alpha_of(held)


def divided(colour: FloatArray, alpha: FloatArray) -> FloatArray:
    """Colour (H, W, 3) without the alpha (H, W) it is multiplied by; as it is where that is zero."""
    part = alpha[..., None]
    return np.asarray(np.where(part > 0, colour / np.maximum(part, np.float32(1e-6)), colour), dtype=np.float32)


def union(windows: list[Window]) -> Window:
    """The smallest window that holds all of them."""
    left, top = min(window.x for window in windows), min(window.y for window in windows)
    right = max(window.x + window.width for window in windows)
    bottom = max(window.y + window.height for window in windows)
    return Window(left, top, right - left, bottom - top)


def read_image_frame(path: str | Path, number: int = 1, layer: str | None = None) -> PlateFrame:
    """Read one picture file as a plate frame on its own data window. Raises InputError as :func:`read_picture`."""
    picture = read_picture(Path(path), layer=layer)
    return to_frame(picture, number, picture.data)


# -- back to a file -------------------------------------------------------------------------------------------------


def write_image_frame(
    path: str | Path,
    frame: PlateFrame,
    pixels: FloatArray | None = None,
    layers: Mapping[str, FloatArray] | None = None,
    settings: SinkSettings | None = None,
    info: MediaInfo | None = None,
) -> None:
    """Write one frame to a picture file, whole or not at all.

    Args:
        path: the file; its extension is the format.
        frame: the plate frame the result was made from; a picture of the same format passes everything through.
        pixels: (H, W, 3) float32 in the output's space, for content "colour".
        layers: name -> (H, W) float32.
        settings: content, layer type, pixel type, quality, fsync.
        info: the source's facts, for frames that are not pictures (movies).

    Raises:
        InputError: wrong shapes, layers in a format without any, disk full, no permission.
    """
    target = Path(path)
    chosen = settings or SinkSettings()
    kind = image_format(target)
    extra = dict(layers or {})
    if kind is None:
        raise InputError(f"{target} is not a picture format this program writes (EXR, PNG, TIFF, DPX, JPEG).")
    if (extra or chosen.content != "colour") and kind != "exr":
        raise InputError(f"{target} cannot hold layers beside the picture; write them to EXR.")
    size = frame.pixels.shape[:2]
    if chosen.content == "colour" and (pixels is None or pixels.shape != (*size, 3)):
        raise InputError(f"{target}: the coloured frame is {_shape(pixels)} and the plate {size[1]}x{size[0]}.")
    for name, plane in extra.items():
        if plane.shape != size:
            raise InputError(f"{target}: the layer {name} is {_shape(plane)} and the plate {size[1]}x{size[0]}.")
    held = frame.passthrough
    if isinstance(held, PictureFrame) and held.picture.format == kind:
        parts = _changed_parts(held, pixels, extra, chosen)
    else:
        parts = [_new_part(kind, frame, pixels, extra, chosen, info)]
    with whole_file(target, chosen.fsync) as temporary:
        if kind in _DEAF:
            temporary.write_bytes(_encode(target, kind, parts))
        else:
            _write_parts(str(temporary), kind, target, parts)
            _verify_on_full_disk(temporary, target)


def _shape(pixels: AnyArray | None) -> str:
    return (
        "missing" if pixels is None else f"{pixels.shape[1]}x{pixels.shape[0]}" if pixels.ndim > 1 else "not a picture"
    )


def _verify_on_full_disk(temporary: Path, target: Path) -> None:
    """Where next to no space is left, read the file back: a library may have lost its last bytes in silence."""
    space = free_space(target)
    if space is not None and space < 1 << 20:
        try:
            _check_readable(temporary)
        except InputError as error:
            raise write_error(target, "No space left on device") from error


def _check_readable(path: Path) -> None:
    check_whole(path)
    source = oiio.ImageInput.open(str(path))
    if not source:
        raise _unreadable(path, oiio.geterror())
    try:
        _read_parts(source, path, pixels=True)
    finally:
        source.close()


def _encode(target: Path, kind: str, parts: list[Part]) -> bytes:
    """The bytes of a file whose library does not notice a full disk, put together in memory."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("picture")
        try:
            _write_parts(f"/proc/self/fd/{handle}", kind, target, parts)
            with open(f"/proc/self/fd/{handle}", "rb") as file:
                data = file.read()
        finally:
            os.close(handle)
    else:
        with tempfile.TemporaryDirectory() as folder:
            scratch = Path(folder) / f"picture{target.suffix}"
            _write_parts(str(scratch), kind, target, parts)
            data = scratch.read_bytes()
    if _DEAF[kind] not in data[-64:]:
        raise write_error(target, "the picture could not be put together in memory")
    return data


def _write_parts(name: str, kind: str, target: Path, parts: list[Part]) -> None:
    """Write parts with the library to ``name``; messages speak of ``target``."""
    out = oiio.ImageOutput.create(_LIBRARY_NAMES.get(kind, kind))
    if not out:
        raise write_error(target, oiio.geterror())
    if len(parts) > 1 and not out.supports("multiimage"):
        raise InputError(f"{target} can hold one picture and the plate has {len(parts)} parts; write EXR or TIFF.")
    specs = [part.spec for part in parts]
    done = out.open(name, tuple(specs)) if len(parts) > 1 and kind == "exr" else out.open(name, specs[0])
    for number, part in enumerate(parts):
        if done and number:
            done = out.open(name, part.spec, "AppendSubimage")
        done = done and out.write_image(part.pixels)
    problem = out.geterror() if not done else ""
    if not out.close() or not done:
        raise write_error(target, problem or out.geterror() or "the disk refused it")


def _clean_spec(spec: Any) -> Any:
    copy = oiio.ImageSpec(spec)
    for name in _NOT_COPIED:
        copy.erase_attribute(name)
    if str(copy.format) == "half":
        copy.attribute("tiff:half", 1)  # else the library widens it
    if part_compression(copy) in _LOSSY:
        copy.attribute("compression", _LOSSY[part_compression(copy)])
    return copy


def _changed_parts(
    held: PictureFrame, pixels: FloatArray | None, layers: Mapping[str, FloatArray], settings: SinkSettings
) -> list[Part]:
    """The parts of the plate's own file with new colour and layers; everything else the very same arrays."""
    picture = held.picture
    parts = []
    for number, part in enumerate(picture.parts):
        if part.pixels is None:
            raise InputError(f"{picture.path} was opened without its pixels.")
        if number != picture.colour.part:
            if settings.content != "layers":
                parts.append(Part(_clean_spec(part.spec), part.pixels))
            continue
        planes = {name: place(plane, held.canvas, picture.data) for name, plane in layers.items()}
        colour = None
        if settings.content == "colour" and pixels is not None:
            colour = pixels if picture.data == held.canvas else place(pixels, held.canvas, picture.data)
        parts.append(_changed_part(picture, part, colour, planes, settings))
    return parts


def _changed_part(
    picture: Picture,
    part: Part,
    colour: FloatArray | None,
    layers: Mapping[str, FloatArray],
    settings: SinkSettings,
) -> Part:
    assert part.pixels is not None
    spec, where = _clean_spec(part.spec), picture.colour
    types = list(spec.channelformats) or [spec.format] * spec.nchannels
    names = list(spec.channelnames)
    grow = colour is not None and where.grey
    depth = _other_depth(picture, settings) if colour is not None else None
    if depth is not None:
        _set_depth(spec, picture.format, depth)
        # EXR keeps a type for every channel; the others have one for all.
        changing = where.indexes if picture.format == "exr" else range(len(types))
        types = [oiio.TypeDesc(_DEPTHS[depth]) if index in changing else kind for index, kind in enumerate(types)]
    if colour is not None and not grow and not layers and depth is None:
        if picture.format == "jpeg":
            _jpeg_settings(spec, settings)
        changed = part.pixels.copy()
        _put(changed, where.indexes, colour)
        return Part(spec, changed)

    # Channels come or go: put the part together afresh, in a type that holds all of them.
    kept = [index for index in range(len(names)) if settings.content != "layers" and names[index] not in layers]
    if grow:
        kept.remove(where.indexes[0])
    columns: list[tuple[str, Any, AnyArray]] = []
    if grow:
        assert colour is not None
        for channel, plane in zip("RGB", np.moveaxis(colour, -1, 0), strict=True):
            columns.append((layer_name(where.layer, channel), types[where.indexes[0]], plane))
    planes = {index: part.pixels[..., index] for index in kept}
    if colour is not None and not grow:
        planes |= {index: colour[..., channel] for channel, index in enumerate(where.indexes)}
    columns += [(names[index], types[index], planes[index]) for index in kept]
    layer_type = oiio.TypeDesc(settings.layer_type)
    columns += [(name, layer_type, plane) for name, plane in layers.items()]
    return _assemble(spec, columns, part.pixels.dtype if depth is None else _NUMPY[depth])


def _other_depth(picture: Picture, settings: SinkSettings) -> str | None:
    """The pixel type asked for, where the colour of the plate's own file has another one."""
    if settings.pixel_type is None:
        return None
    bits = depth_name(picture.spec, picture.colour.indexes[0])
    wanted = output_depth(picture.format, bits, settings)
    return None if wanted == bits else wanted


def _set_depth(spec: Any, kind: str, depth: str) -> None:
    """Note in a header how deep the pixels of its channels are, where the type alone does not say it."""
    spec.erase_attribute("tiff:half")
    spec.erase_attribute("oiio:BitsPerSample")
    if depth == "half" and kind == "tiff":
        spec.attribute("tiff:half", 1)  # else the library widens it
    if depth == "uint10":
        spec.attribute("oiio:BitsPerSample", 10)


def _assemble(spec: Any, columns: list[tuple[str, Any, AnyArray]], dtype: npt.DTypeLike) -> Part:
    kinds = {str(kind) for _, kind, _ in columns}
    if len(kinds) > 1:
        dtype = np.float32 if kinds <= {"half", "float"} else np.float64
    elif np.issubdtype(np.dtype(dtype), np.floating):
        dtype = np.float16 if kinds == {"half"} else np.float32
    height, width = columns[0][2].shape
    pixels = np.empty((height, width, len(columns)), dtype=dtype)
    for index, (_, _, plane) in enumerate(columns):
        pixels[..., index] = _as_type(plane, pixels.dtype)
    spec.nchannels = len(columns)
    spec.channelnames = tuple(name for name, _, _ in columns)
    spec.format = columns[0][1]
    spec.channelformats = [kind for _, kind, _ in columns] if len(kinds) > 1 else []
    lower = [name.lower() for name in spec.channelnames]
    spec.alpha_channel = next((index for index, name in enumerate(lower) if name in ("a", "alpha")), -1)
    spec.z_channel = -1
    return Part(spec, pixels)


def _as_type(plane: AnyArray, dtype: np.dtype[Any]) -> AnyArray:
    if plane.dtype == dtype:
        return plane
    return from_float(plane if np.issubdtype(plane.dtype, np.floating) else to_float(plane), dtype)


def _put(pixels: AnyArray, indexes: tuple[int, ...], colour: FloatArray) -> None:
    """Write colour (H, W, 3) into channels of a native array."""
    if indexes == (0, 1, 2):
        pixels[..., :3] = from_float(colour, pixels.dtype)
        return
    for channel, index in enumerate(indexes):
        pixels[..., index] = from_float(colour[..., channel], pixels.dtype)


def _jpeg_settings(spec: Any, settings: SinkSettings) -> None:
    spec.attribute("compression", f"jpeg:{settings.quality}")
    spec.attribute("jpeg:subsampling", "4:4:4")


def output_depth(kind: str, bits: str, settings: SinkSettings) -> str:
    """The pixel type of a picture in another format than its plate.

    Raises:
        InputError: the format cannot hold the type asked for.
    """
    if settings.pixel_type is not None:
        if settings.pixel_type not in _CAN_HOLD[kind]:
            able = ", ".join(_CAN_HOLD[kind])
            raise InputError(f"{kind.upper()} cannot hold {settings.pixel_type} pixels; choose one of {able}.")
        return settings.pixel_type
    floating = bits in ("half", "float")
    if kind == "exr":
        return "float" if bits in ("float", "uint32") else "half"
    if kind == "tiff":
        return "float" if floating else "uint8" if bits == "uint8" else "uint16"
    if kind == "png":
        return "uint8" if bits == "uint8" else "uint16"
    return "uint10" if kind == "dpx" else "uint8"


def _new_part(
    kind: str,
    frame: PlateFrame,
    pixels: FloatArray | None,
    layers: Mapping[str, FloatArray],
    settings: SinkSettings,
    info: MediaInfo | None,
) -> Part:
    """A picture in another format than the plate's: colour, alpha and layers, the header's facts that both can hold."""
    held = frame.passthrough
    height, width = frame.pixels.shape[:2]
    canvas = display = Window(0, 0, width, height)
    alpha: FloatArray | None = None
    bits, aspect, rate, code = "uint16", 1.0, None, None
    stored_alone = False  # alpha not multiplied into the colour
    if isinstance(held, PictureFrame):
        picture, canvas = held.picture, held.canvas
        display = picture.display
        alpha = alpha_of(held)
        stored_alone = bool(picture.spec.get_int_attribute("oiio:UnassociatedAlpha", 0))
        own = picture_info(picture, "", "sequence", canvas)
        bits, aspect, rate, code = own.bits, own.pixel_aspect, own.frame_rate, own.timecode
    else:
        alpha = getattr(held, "alpha", None)
        code = getattr(held, "timecode", None)
        stored_alone = True
        if info is not None:
            bits, aspect, rate = info.bits, info.pixel_aspect, info.frame_rate

    depth = output_depth(kind, bits, settings)
    colour = pixels if settings.content == "colour" else frame.pixels if settings.content == "plate" else None
    if kind != "exr" and colour is not None and canvas != display:
        # Only EXR knows a data window: the others hold the display window.
        colour = place(colour, canvas, display)
        alpha = None if alpha is None else place(alpha, canvas, display)
        canvas = display
    if alpha is not None and colour is not None:
        if kind == "exr" and stored_alone:
            colour = colour * alpha[..., None]
        elif kind not in ("exr", "jpeg") and not stored_alone:  # JPEG holds no alpha: the picture is that over black
            colour = divided(colour, alpha)

    spec = oiio.ImageSpec(canvas.width, canvas.height, 3, oiio.TypeDesc(_DEPTHS[depth]))
    if kind == "exr":
        spec.x, spec.y = canvas.x, canvas.y
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = (
            display.x,
            display.y,
            display.width,
            display.height,
        )
        spec.attribute("compression", "zip")
    else:
        spec.full_width, spec.full_height = spec.width, spec.height
        spec.attribute("oiio:UnassociatedAlpha", 1)
    if kind == "jpeg":
        _jpeg_settings(spec, settings)
    _set_depth(spec, kind, depth)
    if aspect != 1.0:
        spec.attribute("PixelAspectRatio", float(aspect))
    if rate is not None:
        if kind == "exr":
            spec.attribute("framesPerSecond", oiio.TypeRational, (rate.numerator, rate.denominator))
        elif kind == "dpx":
            spec.attribute("dpx:FrameRate", float(rate))
    if code is not None and kind in ("exr", "dpx"):
        spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, timecode_words(code))

    base = spec.format
    columns: list[tuple[str, Any, AnyArray]] = []
    if colour is not None:
        columns += [(name, base, colour[..., index]) for index, name in enumerate("RGB")]
        if alpha is not None and kind != "jpeg":
            columns.append(("A", base, alpha))
    columns += [(name, oiio.TypeDesc(settings.layer_type), plane) for name, plane in layers.items()]
    if not columns:
        raise InputError("There is nothing to write: neither colour nor layers were asked for.")
    return _assemble(spec, columns, _NUMPY[depth])


def same_geometry(info: MediaInfo, picture: Picture) -> bool:
    """Whether a picture has the size of the footage: the display window, and without one to speak of the pixels."""
    if picture.format == "exr":
        return picture.display == info.display
    return (picture.data.width, picture.data.height) == (info.width, info.height)


def with_canvas(info: MediaInfo, canvas: Window, note: str | None = None) -> MediaInfo:
    """The facts with another canvas."""
    notes = info.notes if note is None else (*info.notes, note)
    return replace(info, width=canvas.width, height=canvas.height, data=canvas, notes=notes)
