import numpy as np
import OpenImageIO as oiio  # noqa: N813 - the name its own documentation uses
import pytest

from colormnet.errors import InputError
from colormnet.media.frames import SinkSettings, Window, open_sink, open_source
from colormnet.media.images import read_image_frame, write_image_frame
from colormnet.media.integrity import ends_early

from .conftest import common_header, load, save

# Attributes the library writes for the file itself.
OF_THE_FILE = {"openexr:chunkCount", "oiio:RowsPerChunk"}


def header(spec):
    return {entry.name: (str(entry.type), entry.value) for entry in spec.extra_attribs if entry.name not in OF_THE_FILE}


def test_everything_but_the_colour_passes_bit_for_bit(tmp_path, rich_exr):
    source, target = tmp_path / "plate.exr", tmp_path / "out.exr"
    rich_exr(source)
    frame = read_image_frame(source, 1001)
    coloured = frame.pixels * np.float32([1.5, 1.0, 0.25])
    write_image_frame(target, frame, coloured)

    before, after = load(source), load(target)
    assert len(after) == 2
    for number, ((old, old_channels), (new, new_channels)) in enumerate(zip(before, after, strict=True)):
        assert list(new_channels) == list(old_channels)
        assert [str(kind) for kind in new.channelformats] == [str(kind) for kind in old.channelformats]
        for window in ("x", "y", "width", "height", "full_x", "full_y", "full_width", "full_height"):
            assert getattr(new, window) == getattr(old, window)
        assert header(new) == header(old)
        for name, values in old_channels.items():
            if number == 0 and name in "RGB":
                assert np.array_equal(new_channels[name], coloured[..., "RGB".index(name)].astype(np.float16))
            else:
                assert new_channels[name].dtype == values.dtype
                assert np.array_equal(new_channels[name], values)


def test_unchanged_pixels_give_the_same_picture_with_nan_and_infinity(tmp_path, picture):
    pixels = np.random.default_rng(1).normal(0, 3, (12, 17, 3)).astype(np.float16)
    pixels[0, 0], pixels[1, 1], pixels[2, 2] = np.nan, np.inf, -np.inf
    picture(tmp_path / "a.exr", pixels)
    frame = read_image_frame(tmp_path / "a.exr")
    write_image_frame(tmp_path / "b.exr", frame, frame.pixels)
    (_, channels), *_ = load(tmp_path / "b.exr")
    assert np.array_equal(np.dstack([channels[name] for name in "RGB"]), pixels, equal_nan=True)


def test_facts_of_a_plate(tmp_path, rich_exr):
    rich_exr(tmp_path / "plate.1001.exr")
    info = open_source(tmp_path / "plate.1001.exr").info
    assert (info.width, info.height, info.data, info.display) == (60, 40, Window(-6, -4, 60, 40), Window(0, 0, 48, 32))
    assert (info.pixel_aspect, info.timecode, info.bits, info.alpha) == (2.0, "01:02:03:04", "half", True)
    assert (info.frame_rate.numerator, info.frame_rate.denominator) == (24000, 1001)
    assert info.hint.chromaticities == pytest.approx((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290))
    assert any("square" in note for note in info.notes)


def test_layers_are_added_and_replaced_beside_the_colour(tmp_path, rich_exr):
    rich_exr(tmp_path / "plate.exr")
    frame = read_image_frame(tmp_path / "plate.exr")
    size = frame.pixels.shape[:2]
    names = ("colormnet.a", "colormnet.b", "colormnet.confidence")
    random = np.random.default_rng(0)
    for _ in range(2):  # the second time onto a file that has the layers already
        layers = {name: random.normal(size=size).astype(np.float32) for name in names}
        write_image_frame(tmp_path / "plate2.exr", frame, frame.pixels, layers, SinkSettings(layers=names))
        (_, channels), (_, depth) = load(tmp_path / "plate2.exr")
        assert set(channels) == {"R", "G", "B", "A", "Z", "matte.x", *names}
        for name in names:
            assert channels[name].dtype == np.float16
            assert np.array_equal(channels[name], layers[name].astype(np.float16))
        assert channels["Z"].dtype == np.float32
        assert "depth.Z" in depth
        frame = read_image_frame(tmp_path / "plate2.exr")


@pytest.mark.parametrize("content", ["plate", "layers"])
def test_chroma_only_output_leaves_the_colour_alone(tmp_path, rich_exr, content):
    rich_exr(tmp_path / "plate.exr")
    frame = read_image_frame(tmp_path / "plate.exr")
    chroma = np.full(frame.pixels.shape[:2], 0.1, np.float32)
    settings = SinkSettings(content=content, layers=("colormnet.a",), layer_type="float")
    write_image_frame(tmp_path / "out.exr", frame, None, {"colormnet.a": chroma}, settings)
    parts = load(tmp_path / "out.exr")
    spec, channels = parts[0]
    assert np.array_equal(channels["colormnet.a"], chroma)
    assert channels["colormnet.a"].dtype == np.float32
    assert (spec.x, spec.full_width) == (-6, 48)
    if content == "layers":
        assert list(channels) == ["colormnet.a"]
        assert len(parts) == 1
    else:
        (_, old), _ = load(tmp_path / "plate.exr")
        assert all(np.array_equal(channels[name], old[name]) for name in old)
        assert len(parts) == 2


def one_part(path, names, pixels, **attributes):
    kind = {"float16": oiio.HALF, "float32": oiio.FLOAT, "uint32": oiio.UINT32}[str(pixels.dtype)]
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], len(names), kind)
    spec.channelnames = names
    for name, value in attributes.items():
        spec.attribute(name, value)
    save(path, (spec, pixels))


def test_colour_in_a_named_layer_is_found(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(9, 11, 5)).astype(np.float32)
    names = ("diffuse.A", "rgba.B", "rgba.G", "rgba.R", "rgba.A")
    one_part(tmp_path / "a.exr", names, pixels)
    frame = read_image_frame(tmp_path / "a.exr")
    (_, channels), *_ = load(tmp_path / "a.exr")
    for index, name in enumerate(("rgba.R", "rgba.G", "rgba.B")):
        assert np.array_equal(frame.pixels[..., index], channels[name])
    write_image_frame(tmp_path / "b.exr", frame, frame.pixels * 2)
    (_, doubled), *_ = load(tmp_path / "b.exr")
    assert np.array_equal(doubled["rgba.G"], channels["rgba.G"] * 2)
    assert np.array_equal(doubled["diffuse.A"], channels["diffuse.A"])


def test_plain_channels_come_before_layers_and_a_layer_can_be_asked_for(tmp_path):
    pixels = np.random.default_rng(0).normal(size=(9, 11, 6)).astype(np.float32)
    one_part(tmp_path / "a.exr", ("R", "G", "B", "spec.R", "spec.G", "spec.B"), pixels)
    (_, channels), *_ = load(tmp_path / "a.exr")
    assert np.array_equal(read_image_frame(tmp_path / "a.exr").pixels[..., 0], channels["R"])
    assert np.array_equal(read_image_frame(tmp_path / "a.exr", layer="spec").pixels[..., 0], channels["spec.R"])
    with pytest.raises(InputError, match='called "nothere"'):
        read_image_frame(tmp_path / "a.exr", layer="nothere")


def test_luminance_only_plate_becomes_rgb(tmp_path):
    grey = np.random.default_rng(0).uniform(-1, 9, (8, 10, 2)).astype(np.float16)
    one_part(tmp_path / "a.exr", ("Y", "A"), grey)
    (_, before), *_ = load(tmp_path / "a.exr")
    frame = read_image_frame(tmp_path / "a.exr")
    assert frame.pixels.shape == (8, 10, 3)
    assert np.array_equal(frame.pixels[..., 2], before["Y"].astype(np.float32))
    write_image_frame(tmp_path / "b.exr", frame, frame.pixels)
    (_, after), *_ = load(tmp_path / "b.exr")
    assert set(after) == {"R", "G", "B", "A"}
    assert all(np.array_equal(after[name], before["Y"]) for name in "RGB")
    assert np.array_equal(after["A"], before["A"])


def test_views_in_parts_pass_through(tmp_path):
    parts = []
    for seed, view in enumerate(("left", "right")):
        spec = oiio.ImageSpec(48, 32, 3, oiio.HALF)
        common_header(spec)
        spec.attribute("name", view)
        spec.attribute("view", view)
        parts.append((spec, np.random.default_rng(seed).normal(size=(32, 48, 3)).astype(np.float16)))
    save(tmp_path / "a.exr", *parts)
    source = open_source(tmp_path / "a.exr")
    assert any("left is coloured" in note for note in source.info.notes)
    frame = read_image_frame(tmp_path / "a.exr", layer="right")
    write_image_frame(tmp_path / "b.exr", frame, frame.pixels + 1)
    (left_spec, left), (right_spec, right) = load(tmp_path / "b.exr")
    assert np.array_equal(left["G"], parts[0][1][..., 1])
    assert np.array_equal(right["G"], (parts[1][1][..., 1].astype(np.float32) + 1).astype(np.float16))
    assert (left_spec.get_string_attribute("view"), right_spec.get_string_attribute("view")) == ("left", "right")


def test_tiled_plate_stays_tiled(tmp_path):
    spec = oiio.ImageSpec(70, 50, 3, oiio.HALF)
    spec.tile_width = spec.tile_height = 32
    pixels = np.random.default_rng(0).normal(size=(50, 70, 3)).astype(np.float16)
    save(tmp_path / "a.exr", (spec, pixels))
    frame = read_image_frame(tmp_path / "a.exr")
    write_image_frame(tmp_path / "b.exr", frame, frame.pixels)
    ((after, channels),) = load(tmp_path / "b.exr")
    assert (after.tile_width, after.tile_height) == (32, 32)
    assert np.array_equal(channels["B"], pixels[..., 2])


def test_mip_mapped_and_deep_files_are_refused(tmp_path):
    image = oiio.ImageBuf(np.random.default_rng(0).random((64, 64, 3)).astype(np.float32))
    oiio.ImageBufAlgo.make_texture(oiio.MakeTxTexture, image, str(tmp_path / "mip.exr"))
    with pytest.raises(InputError, match="mip-mapped"):
        read_image_frame(tmp_path / "mip.exr")
    spec = oiio.ImageSpec(4, 4, 2, oiio.FLOAT)
    spec.channelnames = ("A", "Z")
    spec.deep = True
    data = oiio.DeepData()
    data.init(16, 2, (oiio.TypeFloat, oiio.TypeFloat), ("A", "Z"))
    out = oiio.ImageOutput.create(str(tmp_path / "deep.exr"))
    assert out.open(str(tmp_path / "deep.exr"), spec), out.geterror()
    assert out.write_deep_image(data), out.geterror()
    out.close()
    with pytest.raises(InputError, match="deep"):
        read_image_frame(tmp_path / "deep.exr")


def test_integer_channels(tmp_path):
    random = np.random.default_rng(0)
    rgb = random.normal(size=(8, 8, 3)).astype(np.float16)
    spec = oiio.ImageSpec(8, 8, 3, oiio.HALF)
    spec.attribute("name", "rgb")
    identifiers = oiio.ImageSpec(8, 8, 1, oiio.UINT32)
    identifiers.channelnames = ("id",)
    identifiers.attribute("name", "id")
    big = random.integers(0, 2**32, (8, 8, 1)).astype(np.uint32)
    save(tmp_path / "own.exr", (spec, rgb), (identifiers, big))
    frame = read_image_frame(tmp_path / "own.exr")
    write_image_frame(tmp_path / "out.exr", frame, frame.pixels)
    assert np.array_equal(load(tmp_path / "out.exr")[1][1]["id"], big[..., 0])

    mixed = oiio.ImageSpec(8, 8, 4, oiio.HALF)
    mixed.channelnames = ("R", "G", "B", "id")
    mixed.channelformats = [oiio.TypeHalf] * 3 + [oiio.TypeUInt]
    for top, fine in ((1 << 20, True), (1 << 32, False)):
        numbers = random.integers(top // 2, top, (8, 8, 1))
        save(tmp_path / "mixed.exr", (mixed, np.concatenate([rgb.astype(np.float64), numbers / 4294967295.0], axis=-1)))
        if fine:
            frame = read_image_frame(tmp_path / "mixed.exr")
            write_image_frame(tmp_path / "out.exr", frame, frame.pixels)
            after, before = load(tmp_path / "out.exr")[0][1], load(tmp_path / "mixed.exr")[0][1]
            assert np.array_equal(after["id"], before["id"])
            assert np.array_equal(after["R"], rgb[..., 0])
        else:
            with pytest.raises(InputError, match="large integers in channel id"):
                read_image_frame(tmp_path / "mixed.exr")


def test_lossy_compression_is_replaced_and_said_so(tmp_path, rich_exr):
    rich_exr(tmp_path / "plate.exr", compression="dwaa")
    assert any("DWAA" in note for note in open_source(tmp_path / "plate.exr").info.notes)
    frame = read_image_frame(tmp_path / "plate.exr")
    write_image_frame(tmp_path / "out.exr", frame, frame.pixels)
    spec, channels = load(tmp_path / "out.exr")[0]
    assert spec.get_string_attribute("compression") == "zip"
    assert np.array_equal(channels["R"].astype(np.float32), frame.pixels[..., 0])


@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "dwaa"])
@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.995])
def test_truncated_exr_is_never_read_as_black(tmp_path, picture, compression, share):
    pixels = np.random.default_rng(0).normal(size=(64, 64, 3)).astype(np.float16)
    picture(tmp_path / "a.exr", pixels, compression=compression)
    data = (tmp_path / "a.exr").read_bytes()
    (tmp_path / "a.exr").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match="truncated"):
        read_image_frame(tmp_path / "a.exr")


def test_exr_whose_tail_is_zeros_is_refused(tmp_path, picture):
    picture(tmp_path / "a.exr", np.ones((64, 64, 3), np.float16), compression="none")
    data = bytearray((tmp_path / "a.exr").read_bytes())
    data[len(data) // 2 :] = bytes(len(data) - len(data) // 2)
    (tmp_path / "a.exr").write_bytes(data)
    with pytest.raises(InputError, match="truncated"):
        read_image_frame(tmp_path / "a.exr")


def test_files_that_are_not_what_they_say(tmp_path):
    (tmp_path / "text.exr").write_text("this is no picture")
    (tmp_path / "empty.exr").touch()
    for name in ("text.exr", "empty.exr"):
        with pytest.raises(InputError, match=name):
            read_image_frame(tmp_path / name)
    one_part(tmp_path / "z.exr", ("Z",), np.zeros((4, 4, 1), np.float32))
    with pytest.raises(InputError, match="no colour channels"):
        read_image_frame(tmp_path / "z.exr")


def test_changing_data_windows_come_back_as_they_were(tmp_path):
    display = (0, 0, 48, 32)
    windows = {1: (0, 0, 48, 32), 2: (10, 5, 20, 12), 3: (-4, -3, 30, 40)}
    for number, (x, y, width, height) in windows.items():
        spec = oiio.ImageSpec(width, height, 4, oiio.HALF)
        spec.x, spec.y = x, y
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = display
        pixels = np.random.default_rng(number).normal(1, 0.1, (height, width, 4)).astype(np.float16)
        save(tmp_path / f"p.{number:04d}.exr", (spec, pixels))
    source = open_source(f"{tmp_path}/p.####.exr")
    assert source.info.data == Window(-4, -3, 52, 40)
    assert any("data window" in note for note in source.info.notes)
    assert open_source(f"{tmp_path}/p.####.exr", "1").info.data == source.info.data  # a part of the range, same canvas
    with open_sink(f"{tmp_path}/out/p.####.exr", source) as sink:
        for number in source.frames:
            frame = source.read(number)
            assert frame.pixels.shape == (40, 52, 3)
            sink.write(frame, frame.pixels)
            assert sink.has(number)
    for number, (x, y, width, height) in windows.items():
        ((before, old),), ((after, new),) = (
            load(tmp_path / f"p.{number:04d}.exr"),
            load(tmp_path / f"out/p.{number:04d}.exr"),
        )
        assert (after.x, after.y, after.width, after.height) == (x, y, width, height)
        assert (after.full_width, after.full_height) == (before.full_width, before.full_height)
        assert all(np.array_equal(old[name], new[name]) for name in old)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("compression", ["none", "rle", "zips", "zip", "piz", "pxr24", "b44", "dwaa", "dwab"])
def test_a_cut_exr_is_told_without_decoding_it_and_a_whole_one_is_not(tmp_path, compression, tiled):
    spec = oiio.ImageSpec(70, 300, 3, oiio.HALF)
    spec.attribute("compression", compression)
    if tiled:
        spec.tile_width = spec.tile_height = 32
    save(tmp_path / "a.exr", (spec, np.random.default_rng(0).random((300, 70, 3), np.float32)))
    assert not ends_early(tmp_path / "a.exr")
    data = (tmp_path / "a.exr").read_bytes()
    for kept in (len(data) - 1, len(data) * 2 // 3):
        (tmp_path / "a.exr").write_bytes(data[:kept])
        assert ends_early(tmp_path / "a.exr")


def test_a_cut_exr_of_several_parts_and_a_long_header_is_told(tmp_path, rich_exr):
    rich_exr(tmp_path / "a.exr")
    assert not ends_early(tmp_path / "a.exr")
    (tmp_path / "b.exr").write_bytes((tmp_path / "a.exr").read_bytes()[:-1])
    assert ends_early(tmp_path / "b.exr")
    spec = oiio.ImageSpec(8, 8, 3, oiio.HALF)
    spec.attribute("comment", "x" * 200_000)
    save(tmp_path / "c.exr", (spec, np.ones((8, 8, 3), np.float32)))
    assert not ends_early(tmp_path / "c.exr")
    (tmp_path / "c.exr").write_bytes((tmp_path / "c.exr").read_bytes()[:-1])
    assert ends_early(tmp_path / "c.exr")
