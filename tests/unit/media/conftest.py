"""Real files to read: written with OpenImageIO and ffmpeg, never by the code under test."""

import subprocess
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name its own documentation uses
import pytest

CHROMATICITIES = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)


def common_header(spec, timecode=0x01020304):
    spec.attribute("PixelAspectRatio", 2.0)
    spec.attribute("framesPerSecond", oiio.TypeRational, (24000, 1001))
    spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, (timecode, 0))
    spec.attribute("chromaticities", oiio.TypeDesc("float[8]"), CHROMATICITIES)
    spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, 48, 32


def save(path: Path, *parts):
    """Write (spec, pixels) parts with the library alone."""
    out = oiio.ImageOutput.create(str(path))
    specs = [spec for spec, _ in parts]
    assert out.open(str(path), tuple(specs) if len(specs) > 1 else specs[0]), out.geterror()
    for number, (spec, pixels) in enumerate(parts):
        if number:
            assert out.open(str(path), spec, "AppendSubimage"), out.geterror()
        assert out.write_image(pixels), out.geterror()
    assert out.close()


def load(path: Path):
    """All parts of a file as (spec, {channel: array in its own type})."""
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # as stored
    source = oiio.ImageInput.open(str(path), config)
    assert source, oiio.geterror()
    parts = []
    while source.seek_subimage(len(parts), 0):
        spec = oiio.ImageSpec(source.spec())
        formats = list(spec.channelformats) or [spec.format] * spec.nchannels
        channels = {
            name: source.read_image(len(parts), 0, index, index + 1, formats[index].basetype)[..., 0]
            for index, name in enumerate(spec.channelnames)
        }
        parts.append((spec, channels))
    source.geterror()
    source.close()
    return parts


@pytest.fixture
def rich_exr():
    """A writer of an EXR with all that a studio plate may have; returns its pixels by part."""

    def write(path: Path, seed=0, compression="piz", timecode=0x01020304):
        random = np.random.default_rng(seed)
        spec = oiio.ImageSpec(60, 40, 6, oiio.HALF)
        spec.channelnames = ("R", "G", "B", "A", "Z", "matte.x")
        spec.channelformats = [oiio.TypeHalf] * 4 + [oiio.TypeFloat, oiio.TypeHalf]
        common_header(spec, timecode)
        spec.x, spec.y = -6, -4
        spec.attribute("name", "rgba")
        spec.attribute("compression", compression)
        spec.attribute("studio/shot", "sh010")
        spec.attribute("studio/take", 7)
        pixels = random.normal(0.5, 1.0, (40, 60, 6)).astype(np.float32)
        pixels[..., :3] = pixels[..., :1] * np.exp2(random.uniform(-6, 6, (40, 60, 1)))
        for index in (0, 1, 2, 3, 5):
            pixels[..., index] = pixels[..., index].astype(np.float16)
        depth = oiio.ImageSpec(20, 10, 1, oiio.FLOAT)
        depth.channelnames = ("depth.Z",)
        common_header(depth, timecode)
        depth.x, depth.y = 5, 6
        depth.attribute("name", "depth")
        depth.attribute("compression", "zips")
        far = random.uniform(0, 1e6, (10, 20, 1)).astype(np.float32)
        save(path, (spec, pixels), (depth, far))
        return pixels, far

    return write


@pytest.fixture
def picture():
    """A writer of a plain picture of any format, from an array of any type."""

    def write(path: Path, pixels, bits=None, **attributes):
        kinds = {"float16": oiio.HALF, "float32": oiio.FLOAT, "uint8": oiio.UINT8, "uint16": oiio.UINT16}
        spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], pixels.shape[2], kinds[str(pixels.dtype)])
        if bits:
            spec.attribute("oiio:BitsPerSample", bits)
        for name, value in attributes.items():
            spec.attribute(name.replace("__", ":"), value)
        if pixels.shape[2] in (2, 4):
            spec.attribute("oiio:UnassociatedAlpha", 1)
        save(path, (spec, pixels))
        return pixels

    return write


class SmallDisk:
    """A disk of its own, in memory, which may grow."""

    def __init__(self, place: Path, kilobytes: int):
        self.place = place
        place.mkdir()
        self._mount(f"size={kilobytes}k")

    def _mount(self, options):
        words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.place]
        try:
            done = subprocess.run(words, capture_output=True, check=False)
        except OSError:
            pytest.skip("a small disk needs the mount command")
        if done.returncode:
            pytest.skip("a small disk can only be mounted by root")

    def grow(self, kilobytes):
        self._mount(f"remount,size={kilobytes}k")

    def files(self):
        return sorted(str(path.relative_to(self.place)) for path in self.place.rglob("*") if path.is_file())


@pytest.fixture
def small_disk(tmp_path):
    """``small_disk(kilobytes)`` mounts one."""
    disks = []

    def mount(kilobytes):
        disks.append(SmallDisk(tmp_path / f"disk{len(disks)}", kilobytes))
        return disks[-1]

    yield mount
    for disk in disks:
        subprocess.run(["umount", disk.place], check=True)
