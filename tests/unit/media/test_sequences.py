import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name its own documentation uses
import pytest

from colormnet.errors import InputError
from colormnet.media.frames import SinkSettings, open_sink, open_source
from colormnet.media.images import read_image_frame, read_picture, timecode_of, timecode_words, write_image_frame

from .conftest import load


def noise(kind, channels=3, size=(24, 32), seed=0):
    random = np.random.default_rng(seed)
    if np.issubdtype(np.dtype(kind), np.integer):
        return random.integers(0, np.iinfo(kind).max + 1, (*size, channels)).astype(kind)
    return random.normal(0.5, 0.5, (*size, channels)).astype(kind)


@pytest.fixture
def plates(tmp_path, picture):
    (tmp_path / "in").mkdir()
    for number in range(1001, 1007):
        picture(tmp_path / f"in/plate.{number}.exr", noise(np.float16, seed=number))
    return tmp_path / "in"


@pytest.mark.parametrize("text", ["plate.####.exr", "plate.%04d.exr", "plate.$F4.exr", "plate.@@@@.exr", ""])
def test_all_notations_open_the_same_frames(plates, text):
    with open_source(f"{plates}/{text}") as source:
        assert source.frames == list(range(1001, 1007))
        assert source.info.kind == "sequence"
        frame = source.read(1003)
        assert np.array_equal(frame.pixels, noise(np.float16, seed=1003).astype(np.float32))


def test_one_picture(plates):
    source = open_source(plates / "plate.1002.exr")
    assert (source.frames, source.info.kind) == ([1002], "still")
    with pytest.raises(InputError, match="one picture"):
        open_source(plates / "plate.1002.exr", "1001-1006")


def test_missing_frames_are_named_before_work_starts(plates):
    (plates / "plate.1003.exr").unlink()
    (plates / "plate.1005.exr").unlink()
    with pytest.raises(InputError, match=r"2 frames.*1003,1005"):
        open_source(f"{plates}/plate.####.exr", "1001-1006")
    with pytest.raises(InputError, match="1003,1005"):
        open_source(f"{plates}/plate.####.exr")
    assert open_source(f"{plates}/plate.####.exr", "1001,1002,1004").frames == [1001, 1002, 1004]
    with pytest.raises(InputError, match="1007-1010"):
        open_source(f"{plates}/plate.####.exr", "1006-1010")


def test_a_regular_step_on_disk_is_no_gap(plates):
    for number in (1002, 1004, 1006):
        (plates / f"plate.{number}.exr").unlink()
    assert open_source(f"{plates}/plate.####.exr").frames == [1001, 1003, 1005]


@pytest.mark.parametrize("spec", ["nothing.####.exr", "nothing.exr", "empty", "plate.txt", "nofolder/plate.####.exr"])
def test_nothing_there(tmp_path, spec):
    (tmp_path / "empty").mkdir()
    (tmp_path / "plate.txt").write_text("x")
    with pytest.raises(InputError, match=Path(spec).name):
        open_source(tmp_path / spec)


def test_wrong_sized_frame_is_named_before_work_and_when_it_comes_later(plates, picture):
    source = open_source(f"{plates}/plate.####.exr")
    picture(plates / "plate.1004.exr", noise(np.float16, size=(24, 30)))
    with pytest.raises(InputError, match=r"1004\.exr is 30x24 and the sequence 32x24"):
        open_source(f"{plates}/plate.####.exr")
    with pytest.raises(InputError, match=r"1004\.exr"):
        source.read(1004)
    assert open_source(f"{plates}/plate.####.exr", "1001-1003").frames == [1001, 1002, 1003]


def test_another_pixel_aspect_is_named_before_work_and_when_it_comes_later(plates, picture):
    source = open_source(f"{plates}/plate.####.exr")
    pixels = noise(np.float16, seed=1004)
    picture(plates / "plate.1004.exr", pixels, PixelAspectRatio=2.0)
    with pytest.raises(InputError, match=r"1004\.exr are 2 times as wide as high and those of the sequence 1 times"):
        open_source(f"{plates}/plate.####.exr")
    with pytest.raises(InputError, match=r"1004\.exr.*one pixel aspect"):
        source.read(1004)
    assert open_source(f"{plates}/plate.####.exr", "1001-1003").frames == [1001, 1002, 1003]
    picture(plates / "plate.1004.exr", pixels, PixelAspectRatio=0.9999)  # rounded by another program
    assert len(open_source(f"{plates}/plate.####.exr").frames) == 6


@pytest.mark.parametrize("extension", ["png", "dpx", "jpg", "tif"])
@pytest.mark.parametrize("stated", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_aspect_that_cannot_be_is_none(tmp_path, picture, extension, stated):
    """As programs leave it in fields that they do not set; the library makes 4294967296 of some."""
    picture(tmp_path / f"a.{extension}", noise("uint8"), PixelAspectRatio=stated)
    assert open_source(tmp_path / f"a.{extension}").info.pixel_aspect == 1.0


@pytest.mark.parametrize("extension", ["exr", "png", "tif", "dpx", "jpg", "gif", "webp", "bmp"])
def test_an_empty_file_is_called_that(tmp_path, extension):
    (tmp_path / f"a.{extension}").touch()
    with pytest.raises(InputError, match=rf"a\.{extension} cannot be read \(the file is empty\)"):
        open_source(tmp_path / f"a.{extension}", exemplar=True)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text there")
def test_names_that_are_no_text_are_refused(plates, tmp_path, picture):
    picture(tmp_path / "a.png", noise("uint8"))
    odd = tmp_path / os.fsdecode(b"\xff a.png")
    (tmp_path / "a.png").rename(odd)
    with pytest.raises(InputError, match=r"The name .*\ufffd a\.png is not UTF-8; rename the file or its folder"):
        open_source(odd)
    for name in (b"\xff.####.png", b"\xff.mov"):
        with pytest.raises(InputError, match="is not UTF-8"):
            open_sink(tmp_path / os.fsdecode(name), open_source(plates))


@pytest.mark.parametrize("suffix", [".exr", ".####.exr", ".mov"])
def test_names_that_are_too_long_are_refused(plates, tmp_path, suffix):
    name = tmp_path / ("a" * 300 + suffix)
    with pytest.raises(InputError, match="aaa"):
        open_source(name)
    with pytest.raises(InputError, match="aaa"):
        open_sink(name, open_source(f"{plates}/plate.####.exr", "1001"))


def test_unreadable_frame_is_named_before_work(plates):
    (plates / "plate.1004.exr").write_bytes(b"")
    with pytest.raises(InputError, match=r"1004\.exr"):
        open_source(f"{plates}/plate.####.exr")
    assert open_source(f"{plates}/plate.####.exr", "1001-1003").frames == [1001, 1002, 1003]


@pytest.mark.parametrize("extension", ["exr", "png", "dpx", "jpg"])
def test_truncated_frame_is_named_before_work(tmp_path, picture, extension):
    for number in (1, 2, 3):
        picture(tmp_path / f"p.{number}.{extension}", noise("float16" if extension == "exr" else "uint8", 3))
    cut = tmp_path / f"p.2.{extension}"
    cut.write_bytes(cut.read_bytes()[:-40])
    with pytest.raises(InputError, match=rf"p\.2\.{extension}.*truncated"):
        open_source(f"{tmp_path}/p.#.{extension}")
    assert open_source(f"{tmp_path}/p.#.{extension}", "1,3").frames == [1, 3]


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("how", ["one strip", "strips", "tiles", "compressed", "pages"])
def test_truncated_tiff_is_named_before_work(tmp_path, byteorder, big, how):
    """Written by another library, which puts the table of contents first: the file opens well when its end is gone."""
    tifffile = pytest.importorskip("tifffile")
    layout = {
        "one strip": {"rowsperstrip": 64},
        "strips": {"rowsperstrip": 7},
        "tiles": {"tile": (32, 32)},
        "compressed": {"compression": "zlib", "rowsperstrip": 5},
        "pages": {"rowsperstrip": 7},
    }[how]
    pixels = noise("uint16", 3, (64, 80))
    for number in (1, 2, 3):
        with tifffile.TiffWriter(tmp_path / f"p.{number}.tif", bigtiff=big, byteorder=byteorder) as file:
            for _ in range(2 if how == "pages" else 1):
                file.write(pixels, photometric="rgb", **layout)
    assert np.array_equal(open_source(f"{tmp_path}/p.#.tif").read(2).pixels, pixels / np.float32(65535))
    cut = tmp_path / "p.2.tif"
    whole = cut.read_bytes()
    for left in (len(whole) - 1, len(whole) * 2 // 3, 300, 20, 9):
        cut.write_bytes(whole[:left])
        with pytest.raises(InputError, match=r"p\.2\.tif.*truncated"):
            open_source(f"{tmp_path}/p.#.tif")
    assert open_source(f"{tmp_path}/p.#.tif", "1,3").frames == [1, 3]


def test_a_tiff_that_states_too_much_for_its_only_strip_is_whole(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    pixels = noise("uint8", 3)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", rowsperstrip=24)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as file:
        file.pages[0].tags["StripByteCounts"].overwrite(pixels.size + 5000)
    assert np.array_equal(open_source(tmp_path / "a.tif").read(1).pixels, pixels / np.float32(255))


@pytest.mark.parametrize("extension", ["gif", "webp", "bmp"])
def test_formats_of_exemplars_are_read_but_are_no_plates(tmp_path, extension):
    ramp = np.linspace(0, 255, 32).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[None], 255 - ramp[None], np.uint8(90)), axis=-1).repeat(24, axis=0)
    path = tmp_path / f"still.{extension}"
    assert oiio.ImageBuf(np.ascontiguousarray(pixels)).write(str(path))
    source = open_source(path, exemplar=True)
    assert (source.info.format, source.info.hint.floating, source.frames) == (extension, False, [1])
    assert np.abs(source.read(1).pixels - pixels / 255).mean() < 0.03
    with pytest.raises(InputError, match=f"still.{extension} is not a picture"):
        open_source(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(InputError, match=f"still.{extension} cannot be read"):
        open_source(path, exemplar=True).read(1)


def test_of_an_animated_picture_the_first_is_taken(tmp_path):
    from PIL import Image

    frames = [Image.fromarray(np.full((20, 30, 3), colour, np.uint8)) for colour in ((200, 30, 60), (0, 250, 0))]
    for name, options in (("a.gif", {}), ("a.webp", {"lossless": True})):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        source = open_source(tmp_path / name, exemplar=True)
        assert source.frames == [1]
        assert source.read(1).pixels[10, 10] * 255 == pytest.approx([200, 30, 60], abs=4)


def test_a_picture_under_another_formats_name_is_judged_by_what_it_is(tmp_path, picture):
    picture(tmp_path / "a.png", noise("uint8", 3))
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    assert open_source(tmp_path / "a.jpg").read(1).pixels.shape[2] == 3


def test_a_range_in_the_name_is_kept_to(plates):
    text = f"{plates}/plate.1002-1005x3####.exr"
    assert open_source(text).frames == [1002, 1005]
    assert open_source(text, "1005").frames == [1005]
    with pytest.raises(InputError, match="leave out one"):
        open_source(text, "1001-1003")


def test_an_existing_file_is_no_pattern(tmp_path, picture):
    picture(tmp_path / "take#2.png", noise("uint8", 3))
    assert open_source(tmp_path / "take#2.png").frames == [1]


@pytest.mark.parametrize(
    ("extension", "kind", "bits"),
    [("png", "uint8", 0), ("png", "uint16", 0), ("tif", "uint8", 0), ("tif", "uint16", 0), ("tif", "float32", 0),
     ("tif", "float16", 0), ("dpx", "uint8", 0), ("dpx", "uint16", 10), ("dpx", "uint16", 12), ("dpx", "uint16", 16)],
)  # fmt: skip
@pytest.mark.parametrize("channels", [3, 4])
def test_other_formats_keep_every_code_value_depth_and_alpha(tmp_path, picture, extension, kind, bits, channels):
    before = noise(kind, channels)
    if 8 < bits < 16:
        before = ((before >> (16 - bits)) << (16 - bits)) | (before >> bits)
    picture(tmp_path / f"a.{extension}", before, bits, tiff__half=1)
    before_spec, stored = load(tmp_path / f"a.{extension}")[0]
    with open_source(tmp_path / f"a.{extension}") as source:
        assert source.info.alpha == (channels == 4)
        frame = source.read(source.frames[0])
        assert source.info.bits == (f"uint{bits}" if bits else {"float32": "float", "float16": "half"}.get(kind, kind))
        with open_sink(tmp_path / f"b.{extension}", source) as sink:
            sink.write(frame, frame.pixels)
            assert sink.has(frame.number)
    after_spec, after = load(tmp_path / f"b.{extension}")[0]
    assert after_spec.get_int_attribute("oiio:BitsPerSample") == before_spec.get_int_attribute("oiio:BitsPerSample")
    assert str(after_spec.format) == str(before_spec.format)
    for name in stored:
        assert np.array_equal(after[name], stored[name]), name
    changed = np.clip(frame.pixels * 0.5, 0, 1)
    write_image_frame(tmp_path / f"c.{extension}", frame, changed)
    again = read_image_frame(tmp_path / f"c.{extension}")
    assert np.abs(again.pixels - changed).max() <= (1 / 255 if kind == "uint8" else 1 / 1023)
    if channels == 4:
        assert np.array_equal(load(tmp_path / f"c.{extension}")[0][1]["A"], stored["A"])


def test_jpeg_is_written_well_and_without_chroma_subsampling(tmp_path, picture):
    rows = np.linspace(0, 255, 64)
    pixels = np.stack(np.broadcast_arrays(rows[:, None], rows[None], 128.0), axis=-1).astype(np.uint8)
    picture(tmp_path / "a.jpg", pixels)
    frame = read_image_frame(tmp_path / "a.jpg")
    write_image_frame(tmp_path / "b.jpg", frame, frame.pixels)
    assert np.abs(read_image_frame(tmp_path / "b.jpg").pixels - frame.pixels).mean() < 1 / 255
    assert load(tmp_path / "b.jpg")[0][0].get_string_attribute("jpeg:subsampling") == "4:4:4"


def test_grey_png_becomes_colour_and_keeps_alpha(tmp_path, picture):
    pixels = picture(tmp_path / "a.png", noise(np.uint16, 2))
    frame = read_image_frame(tmp_path / "a.png")
    assert frame.pixels.shape == (24, 32, 3)
    write_image_frame(tmp_path / "b.png", frame, frame.pixels * [1.0, 0.5, 0.25])
    spec, channels = load(tmp_path / "b.png")[0]
    assert (spec.nchannels, str(spec.format)) == (4, "uint16")
    assert np.array_equal(channels["R"], pixels[..., 0])
    assert np.array_equal(channels["A"], pixels[..., 1])


def test_dpx_timecode_and_rate_are_kept(tmp_path):
    spec = oiio.ImageSpec(32, 24, 3, oiio.UINT16)
    spec.attribute("oiio:BitsPerSample", 10)
    spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, timecode_words("10:11:12:13"))
    spec.attribute("dpx:FrameRate", 24.0)
    spec.attribute("dpx:Transfer", "Printing density")
    out = oiio.ImageOutput.create(str(tmp_path / "a.dpx"))
    assert out.open(str(tmp_path / "a.dpx"), spec)
    assert out.write_image(noise(np.uint16))
    out.close()
    source = open_source(tmp_path / "a.dpx")
    assert (source.info.timecode, source.info.frame_rate) == ("10:11:12:13", 24)
    assert "ensity" in source.info.hint.tag
    frame = source.read(source.frames[0])
    write_image_frame(tmp_path / "b.dpx", frame, frame.pixels)
    after = open_source(tmp_path / "b.dpx").info
    assert (after.timecode, after.frame_rate, after.hint.tag) == ("10:11:12:13", 24, source.info.hint.tag)
    write_image_frame(tmp_path / "c.exr", frame, frame.pixels)
    assert timecode_of(load(tmp_path / "c.exr")[0][0]) == "10:11:12:13"


def test_timecode_words_come_back():
    for text in ("00:00:00:00", "23:59:59:29", "01:02:03;04"):
        spec = oiio.ImageSpec(1, 1, 3, oiio.HALF)
        spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, timecode_words(text))
        assert timecode_of(spec) == text
    assert spec.get_string_attribute("smpte:TimeCode").replace(";", ":") == "01:02:03:04"


def test_exr_to_png_holds_the_display_window_and_clips(tmp_path, rich_exr):
    rich_exr(tmp_path / "plate.exr")
    with open_source(tmp_path / "plate.exr") as source, open_sink(tmp_path / "o.png", source) as sink:
        frame = source.read(1)
        sink.write(frame, np.full_like(frame.pixels, 250.0))
    spec, channels = load(tmp_path / "o.png")[0]
    assert (spec.width, spec.height, str(spec.format), set(channels)) == (48, 32, "uint16", set("RGBA"))
    opaque = channels["A"] == 65535
    assert opaque.any()
    assert (channels["R"][opaque] == 65535).all()


def test_png_to_exr_is_premultiplied_half(tmp_path, picture):
    pixels = noise(np.uint8, 4)
    picture(tmp_path / "a.png", pixels)
    frame = read_image_frame(tmp_path / "a.png")
    write_image_frame(tmp_path / "a.exr", frame, frame.pixels, settings=SinkSettings(pixel_type="float"))
    _, channels = load(tmp_path / "a.exr")[0]
    assert channels["G"].dtype == np.float32
    assert np.allclose(channels["G"], pixels[..., 1] / 255 * pixels[..., 3] / 255, atol=1e-6)


def test_another_pixel_type_in_the_plates_own_format(tmp_path, picture, rich_exr):
    """The type that was asked for is written, with the precision it has; an EXR's other channels keep theirs."""
    rich_exr(tmp_path / "plate.exr")
    frame = read_image_frame(tmp_path / "plate.exr")
    fine = np.full_like(frame.pixels, 0.1)
    write_image_frame(tmp_path / "o.exr", frame, fine, settings=SinkSettings(pixel_type="float"))
    before, after = load(tmp_path / "plate.exr"), load(tmp_path / "o.exr")
    colour = read_picture(tmp_path / "plate.exr").colour
    spec, channels = after[colour.part]
    for index, name in enumerate(before[colour.part][0].channelnames):
        if index in colour.indexes:
            assert channels[name].dtype == np.float32
            assert (channels[name] == np.float32(0.1)).all()
        else:
            assert channels[name].dtype == before[colour.part][1][name].dtype
            assert np.array_equal(channels[name], before[colour.part][1][name], equal_nan=True)

    pixels = noise(np.uint8, 4)
    picture(tmp_path / "a.png", pixels)
    frame = read_image_frame(tmp_path / "a.png")
    fine = np.full_like(frame.pixels, 0.1)
    write_image_frame(tmp_path / "b.png", frame, fine, settings=SinkSettings(pixel_type="uint16"))
    spec, channels = load(tmp_path / "b.png")[0]
    assert str(spec.format) == "uint16"
    assert (channels["G"] == round(0.1 * 65535)).all()
    assert np.array_equal(channels["A"], pixels[..., 3] * np.uint16(257))


def test_directory_as_output_keeps_the_names(plates, tmp_path):
    with open_source(plates) as source, open_sink(tmp_path / "new/deep/folder", source) as sink:
        for number in source.frames:
            frame = source.read(number)
            assert not sink.has(number)
            sink.write(frame, frame.pixels)
            assert sink.has(number)
    names = sorted(entry.name for entry in (tmp_path / "new/deep/folder").iterdir())
    assert names == [f"plate.{number}.exr" for number in range(1001, 1007)]


def test_output_over_the_input_is_refused_also_through_links(plates, tmp_path):
    (tmp_path / "link").symlink_to(plates)
    (tmp_path / "hard").mkdir()
    (tmp_path / "hard/x.1004.exr").hardlink_to(plates / "plate.1004.exr")
    with open_source(f"{plates}/plate.####.exr") as source:
        for spec in (
            plates,
            f"{plates}/plate.%04d.exr",
            f"{tmp_path}/link/plate.####.exr",
            f"{tmp_path}/hard/x.####.exr",
        ):
            with pytest.raises(InputError, match="is a file of the input"):
                open_sink(spec, source)
        open_sink(f"{plates}/other.####.exr", source)


def test_outputs_that_cannot_be(plates, tmp_path):
    source = open_source(plates)
    (tmp_path / "file").write_text("x")
    (tmp_path / "o.1003.png").mkdir()
    (tmp_path / "o.mov").mkdir()
    for spec in ("o.####.png", "o.mov"):
        with pytest.raises(InputError, match="is a folder and cannot be written"):
            open_sink(tmp_path / spec, source)
    for spec, why in [("o.exr", "one picture"), ("o.####.gif", "not a picture format"), ("o.bmp", "not a format"),
                      ("file/o.####.exr", "is a file")]:  # fmt: skip
        with pytest.raises(InputError, match=why):
            open_sink(tmp_path / spec, source)
    with pytest.raises(InputError, match="layers"):
        open_sink(tmp_path / "q.####.png", source, SinkSettings(layers=("colormnet.a",)))
    with pytest.raises(InputError, match="cannot hold float"):
        open_sink(tmp_path / "q.####.png", source, SinkSettings(pixel_type="float"))
    sink = open_sink(tmp_path / "o.####.exr", source, SinkSettings(layers=("colormnet.a",)))
    frame = source.read(1001)
    with pytest.raises(InputError, match="layers"):
        sink.write(frame, frame.pixels)
    with pytest.raises(InputError, match="16x24"):
        sink.write(frame, frame.pixels, {"colormnet.a": np.zeros((24, 16), np.float32)})
    with pytest.raises(InputError, match="is 8x8"):
        sink.write(frame, np.zeros((8, 8, 3), np.float32), {"colormnet.a": np.zeros((24, 32), np.float32)})
    assert [path for path in tmp_path.glob("[oq].*") if not path.is_dir()] == []


@pytest.mark.parametrize("extension", ["png", "tif", "dpx", "jpg"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_pictures_are_refused(tmp_path, picture, extension, share):
    path = tmp_path / f"a.{extension}"
    picture(path, noise(np.uint8, size=(128, 128)))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=path.name):
        read_image_frame(path)


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_no_permission(plates, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(InputError, match="permission"):
        open_sink(closed / "o.####.exr", open_source(plates))


def test_read_only_disk_is_told_from_other_failures(tmp_path):
    from colormnet.files import write_error

    assert "permission" in str(write_error(tmp_path / "x", OSError(13, "Permission denied")))
    assert "permission" in str(write_error(tmp_path / "x", OSError(30, "Read-only file system")))
    assert "disk is full" in str(write_error(tmp_path / "x", OSError(28, "No space left on device")))
    assert str(write_error(tmp_path / "x", OSError(5, "Input/output error", "hidden name"))) == (
        f"{tmp_path / 'x'} could not be written (Input/output error); mend that and resume."
    )


LIMITED = """
import resource, signal, sys
import numpy as np
from colormnet.errors import InputError
from colormnet.media.frames import SinkSettings, open_sink, open_source
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write past the limit fails as on a full disk
source = open_source(sys.argv[1])
frame = source.read(source.frames[0])
sink = open_sink(sys.argv[2], source, SinkSettings(pixel_type=None))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    with sink:
        sink.write(frame, frame.pixels)
except InputError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits on Windows")
@pytest.mark.parametrize("extension", ["exr", "png", "tif", "dpx", "mov"])
def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path, picture, extension):
    picture(tmp_path / "plate.1.exr", np.abs(noise(np.float16, size=(256, 300))))
    target = tmp_path / "out" / f"o.{extension}"
    target.parent.mkdir()
    target.write_bytes(b"the result of yesterday")
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "plate.1.exr", target, "20000"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert target.name in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == b"the result of yesterday"


@pytest.mark.parametrize("extension", ["exr", "png", "tif", "dpx", "jpg", "mov"])
def test_full_disk(tmp_path, picture, small_disk, extension):
    picture(tmp_path / "plate.1.exr", np.abs(noise(np.float16, size=(700, 800))))
    disk = small_disk(1024)
    (disk.place / "ballast").write_bytes(bytes(800_000))
    with open_source(tmp_path / "plate.1.exr") as source:
        frame = source.read(1)
        target = disk.place / f"o.{extension}"
        with pytest.raises(InputError, match="disk is full"), open_sink(target, source) as sink:
            sink.write(frame, frame.pixels)
    assert [entry.name for entry in disk.place.iterdir()] == ["ballast"]


@pytest.mark.parametrize("extension", ["exr", "png", "tif", "dpx", "jpg"])
def test_frames_that_are_written_stay_when_the_disk_fills_up(tmp_path, picture, small_disk, extension):
    for number in range(1, 9):
        picture(tmp_path / f"plate.{number}.exr", np.abs(noise(np.float16, size=(160, 200), seed=number)))
    disk = small_disk(300 if extension != "jpg" else 100)
    written = []

    def run(target):
        with open_source(f"{tmp_path}/plate.#.exr") as source, open_sink(target, source) as sink:
            for number in source.frames:
                if not sink.has(number):
                    frame = source.read(number)
                    sink.write(frame, frame.pixels)
                    written.append(number)

    with pytest.raises(InputError, match="disk is full"):
        run(disk.place / f"o.#.{extension}")
    assert 1 <= len(written) < 8
    assert disk.files() == [f"o.{number}.{extension}" for number in written]
    disk.grow(8000)
    run(disk.place / f"o.#.{extension}")
    assert written == list(range(1, 9))
    run(tmp_path / "straight" / f"o.#.{extension}")
    for name in disk.files():
        before, after = (load(folder / name)[0][1] for folder in (tmp_path / "straight", disk.place))
        assert all(np.array_equal(before[channel], after[channel]) for channel in before), name


def test_many_writers_of_one_file_leave_one_whole_file(plates, tmp_path):
    source = open_source(plates)
    frames = [source.read(number) for number in source.frames]
    target = tmp_path / "same.exr"
    threads = [threading.Thread(target=write_image_frame, args=(target, frame, frame.pixels)) for frame in frames * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read_image_frame(target).pixels
    assert any(np.array_equal(found, frame.pixels) for frame in frames)
    assert [entry for entry in tmp_path.iterdir() if entry.is_file()] == [target]


def test_a_movie_from_a_sequence_and_back(plates, tmp_path, picture):
    from fractions import Fraction

    for number in range(1, 5):
        picture(tmp_path / f"wide.{number}.png", np.full((120, 256, 3), number * 50, np.uint8))
    settings = SinkSettings(frame_rate=Fraction(25))
    with open_source(tmp_path / "wide.#.png") as source, open_sink(tmp_path / "o.mov", source, settings) as sink:
        for number in source.frames:
            frame = source.read(number)
            sink.write(frame, frame.pixels)
    with open_source(tmp_path / "o.mov") as movie:
        assert (movie.frames, movie.info.frame_rate) == ([1, 2, 3, 4], 25)
        with open_sink(tmp_path / "back", movie) as sink:
            for number in movie.frames:
                frame = movie.read(number)
                assert frame.pixels.mean() == pytest.approx(number * 50 / 255, abs=2e-3)
                sink.write(frame, frame.pixels)
    assert sorted(entry.name for entry in (tmp_path / "back").iterdir()) == [
        f"o.{number:04d}.png" for number in range(1, 5)
    ]
    with open_source(plates) as source, open_sink(tmp_path / "p.mov", source) as sink:
        assert any("24 frames a second" in note for note in sink.notes)
        sink.abort()
