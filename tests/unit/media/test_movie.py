import itertools
import subprocess
import threading
from fractions import Fraction

import numpy as np
import pytest

from colormnet.errors import InputError, InterruptedRun
from colormnet.media.ffmpeg_tools import _last_line, add_frames, find_ffmpeg, probe
from colormnet.media.frames import SinkSettings, open_sink, open_source

TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"


def ffmpeg(*arguments):
    subprocess.run([find_ffmpeg(), "-hide_banner", "-v", "error", "-nostdin", "-y", *map(str, arguments)], check=True)


@pytest.fixture(scope="session")
def clips(tmp_path_factory):
    """One clip in each container: 23.976 with sound and timecode, ProRes, DNxHR, FFV1, and a variable rate."""
    folder = tmp_path_factory.mktemp("clips")
    picture = ("-f", "lavfi", "-i", "testsrc2=s=256x144:r=24000/1001:d=1")
    sound = ("-f", "lavfi", "-i", "sine=d=1:sample_rate=48000")
    ffmpeg(*picture, *sound, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-timecode", "01:00:00:00",
           "-metadata", "title=A test", "-vf", f"{TAGS},setsar=2/1", folder / "a.mp4")  # fmt: skip
    ffmpeg("-i", folder / "a.mp4", "-c:v", "prores_ks", "-profile:v", 3, "-pix_fmt", "yuv422p10le", "-c:a", "pcm_s16le",
           "-vf", TAGS, "-timecode", "10:00:00:00", folder / "a.mov")  # fmt: skip
    ffmpeg("-i", folder / "a.mov", "-c:v", "dnxhd", "-profile:v", "dnxhr_hqx", "-c:a", "copy", "-vf", TAGS,
           "-timecode", "10:00:00:00", folder / "a.mxf")  # fmt: skip
    ffmpeg("-i", folder / "a.mp4", "-c:v", "ffv1", "-vf", TAGS, folder / "a.mkv")
    ffmpeg(
        "-i",
        folder / "a.mp4",
        "-an",
        "-vf",
        "setpts='(N+floor(N/5))*1001/24000/TB'",
        "-fps_mode",
        "vfr",
        folder / "vfr.mp4",
    )
    return folder


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mxf", "a.mkv"])
def test_facts_without_ffprobe(clips, name):
    facts = probe(clips / name)
    assert (facts.width, facts.height, len(facts.times)) == (256, 144, 24)
    assert facts.rate == Fraction(24000, 1001)
    assert not facts.variable
    assert facts.audio == 1
    assert facts.sample_aspect == (1 if name == "a.mxf" else 2)  # lost by the ffmpeg that wrote the fixture
    assert (facts.colorspace, facts.primaries, facts.transfer) == ("bt709",) * 3
    assert facts.bits == (10 if name in ("a.mov", "a.mxf") else 8)
    if name != "a.mkv":
        assert facts.timecode == ("01:00:00:00" if name == "a.mp4" else "10:00:00:00")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mxf", "a.mkv"])
def test_any_order_gives_the_same_frames(clips, name):
    with open_source(clips / name) as source:
        straight = [source.read(number).pixels for number in source.frames]
        assert source.frames == list(range(1, 25))
    assert straight[0].dtype == np.float32
    assert 0.0 <= straight[0].min() < 0.05
    assert 0.9 < straight[0].max() <= 1.0
    with open_source(clips / name) as source:
        for number in (20, 3, 24, 1, 2, 13):
            assert np.array_equal(source.read(number).pixels, straight[number - 1]), number
    assert not np.array_equal(straight[4], straight[5])


def test_a_range_with_a_step(clips):
    source = open_source(clips / "a.mp4", "5-20x5")
    assert source.frames == [5, 10, 15, 20]
    assert source.info.timecode == "01:00:00:04"
    with pytest.raises(InputError, match="25"):
        open_source(clips / "a.mp4", "20-25")


@pytest.mark.parametrize(
    ("source_name", "target_name", "codec", "bits"),
    [
        ("a.mp4", "out.mp4", "h264", 8),
        ("a.mov", "out.mov", "prores", 10),
        ("a.mxf", "out.mxf", "dnxhd", 10),
        ("a.mkv", "out.mkv", "prores", 10),
        ("a.mp4", "out.mxf", "dnxhd", 10),
        ("a.mov", "out.mp4", "h264", 8),
    ],
)
def test_picture_sound_time_and_tags_survive(clips, tmp_path, source_name, target_name, codec, bits):
    with open_source(clips / source_name) as source:
        before = source.facts
        with open_sink(tmp_path / target_name, source, SinkSettings(segment_frames=10)) as sink:
            frames = []
            for number in source.frames:
                frame = source.read(number)
                frames.append(frame.pixels)
                sink.write(frame, frame.pixels)
            assert not (tmp_path / target_name).exists()
    assert [entry.name for entry in tmp_path.iterdir()] == [target_name]
    with open_source(tmp_path / target_name) as result:
        facts = result.facts
        assert (facts.codec, facts.bits) == (codec, bits)
        assert len(facts.times) == 24
        assert (facts.rate, facts.sample_aspect, facts.audio) == (before.rate, before.sample_aspect, 1)
        assert (facts.colorspace, facts.primaries, facts.transfer) == ("bt709",) * 3
        assert not facts.full_range
        assert facts.timecode == before.timecode
        luma = np.array([0.2126, 0.7152, 0.0722], np.float32)
        for number in (1, 10, 11, 24):
            error = (result.read(number).pixels - frames[number - 1]) @ luma
            assert -10 * np.log10(np.mean(error**2)) > 38, number


def sound_of(path):
    done = subprocess.run([find_ffmpeg(), "-v", "error", "-i", path, "-map", "0:a", "-c", "copy", "-f", "md5", "-"],
                          capture_output=True, check=True)  # fmt: skip
    return done.stdout


def test_sound_is_copied_bit_for_bit_and_left_out_for_a_part(clips, tmp_path):
    with open_source(clips / "a.mp4") as source, open_sink(tmp_path / "whole.mp4", source) as sink:
        for number in source.frames:
            frame = source.read(number)
            sink.write(frame, frame.pixels)
    assert sound_of(tmp_path / "whole.mp4") == sound_of(clips / "a.mp4")
    with open_source(clips / "a.mp4", "3-8") as source, open_sink(tmp_path / "part.mov", source) as sink:
        assert any("sound is left out" in note for note in sink.notes)
        for number in source.frames:
            frame = source.read(number)
            sink.write(frame, frame.pixels)
    facts = probe(tmp_path / "part.mov")
    assert (facts.audio, len(facts.times), facts.timecode) == (0, 6, "01:00:00:02")


def test_ten_bit_grey_ramp_keeps_its_levels(tmp_path):
    """A ProRes plate written back as ProRes differs by less than a 10-bit code on average, black and white included."""
    ffmpeg("-f", "lavfi", "-i", "gradients=s=512x128:c0=black:c1=white:x0=0:x1=511:y0=0:y1=0:d=0.1:r=25",
           "-vf", f"format=yuv422p10le,hue=s=0,{TAGS}", "-c:v", "prores_ks", tmp_path / "ramp.mov")  # fmt: skip
    with open_source(tmp_path / "ramp.mov") as source:
        frame = source.read(1)
        assert np.abs(frame.pixels - frame.pixels.mean(-1, keepdims=True)).max() < 2 / 1023
        with open_sink(tmp_path / "out.mov", source) as sink:
            for number in source.frames:
                held = source.read(number)
                sink.write(held, held.pixels)
    with open_source(tmp_path / "out.mov") as result:
        assert np.abs(result.read(1).pixels - frame.pixels).mean() < 1 / 1023


def test_alpha_of_prores_4444_is_kept(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=128x96:r=25:d=0.2",
           "-vf", f"format=yuva444p10le,geq=lum='lum(X,Y)':a='X*8',{TAGS}",
           "-c:v", "prores_ks", "-profile:v", 4, "-pix_fmt", "yuva444p10le", tmp_path / "a.mov")  # fmt: skip
    with open_source(tmp_path / "a.mov") as source:
        assert source.info.alpha
        alpha = source.read(2).passthrough.alpha
        with open_sink(tmp_path / "b.mov", source) as sink:
            for number in source.frames:
                frame = source.read(number)
                sink.write(frame, frame.pixels)
        with open_sink(tmp_path / "b.mp4", source, SinkSettings(codec="h264")) as sink:
            assert any("alpha" in note for note in sink.notes)
            sink.abort()
    with open_source(tmp_path / "b.mov") as result:
        assert result.info.alpha
        assert np.abs(result.read(2).passthrough.alpha - alpha).max() < 0.01


def test_interrupted_movie_goes_on_where_it_stopped(clips, tmp_path):
    target = tmp_path / "out.mov"
    written = []

    def run(stop=None, resume=False):
        settings = SinkSettings(segment_frames=5, resume=resume)
        with open_source(clips / "a.mov") as source, open_sink(target, source, settings) as sink:
            for number in source.frames:
                if sink.has(number):
                    continue
                if number == stop:
                    raise InterruptedRun("stopped by the user")
                frame = source.read(number)
                sink.write(frame, frame.pixels)
                written.append(number)

    with pytest.raises(InterruptedRun):
        run(stop=13)
    assert not target.exists()
    run(resume=True)
    assert written == list(range(1, 25))  # nothing written twice
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.mov"]
    run(resume=True)
    assert len(written) == 24  # a finished movie has all its frames
    resumed = target.read_bytes()
    run()
    assert len(written) == 48
    with open_source(target) as straight:
        again = [straight.read(number).pixels for number in straight.frames]
    target.write_bytes(resumed)
    with open_source(target) as first:
        assert all(np.array_equal(first.read(number).pixels, again[number - 1]) for number in first.frames)


def test_segments_of_another_job_are_not_taken(clips, tmp_path):
    with open_source(clips / "a.mov") as source:
        sink = open_sink(tmp_path / "o.mov", source, SinkSettings(segment_frames=2))
        for number in (1, 2):
            frame = source.read(number)
            sink.write(frame, frame.pixels)
        sink.suspend()
    with open_source(clips / "a.mov", "2-9") as source:
        sink = open_sink(tmp_path / "o.mov", source, SinkSettings(resume=True))
        assert not any(sink.has(number) for number in source.frames)
        sink.abort()
    assert list(tmp_path.iterdir()) == []


def test_failed_movie_leaves_nothing_and_keeps_the_old_one(clips, tmp_path):
    target = tmp_path / "out.mov"
    target.write_bytes(b"the result of yesterday")
    with open_source(clips / "a.mov") as source:
        frame = source.read(1)
        sink = open_sink(target, source)
        sink.write(frame, frame.pixels)
        sink.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
        with pytest.raises(InputError, match="frame 2"), open_sink(target, source) as sink:
            sink.write(frame, frame.pixels)
        with pytest.raises(InputError, match="expects frame 1"), open_sink(target, source) as sink:
            sink.write(source.read(2), frame.pixels)
    assert target.read_bytes() == b"the result of yesterday"
    assert list(tmp_path.iterdir()) == [target]


def test_two_writers_of_one_movie_do_not_mix(clips, tmp_path):
    with open_source(clips / "a.mov") as source:
        sink = open_sink(tmp_path / "o.mov", source)
        with pytest.raises(InputError, match="another process"):
            open_sink(tmp_path / "o.mov", source)
        sink.abort()
        open_sink(tmp_path / "o.mov", source).abort()


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mxf", "a.mkv", "fast.mp4"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.9])
def test_truncated_movie_is_named(clips, tmp_path, name, share):
    whole = clips / name
    if name == "fast.mp4":
        ffmpeg("-i", clips / "a.mp4", "-c", "copy", "-movflags", "+faststart", whole)
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=name):
        open_source(tmp_path / name)


def test_the_reason_given_is_the_damage_and_not_what_ffmpeg_says_beside_it():
    said = "[in#0 @ 0x1] Packet corrupt (stream = 1, dts = NOPTS).\n[aist#0:1 @ 0x2] Guessed Channel Layout: mono\n"
    assert _last_line(said) == "Packet corrupt (stream = 1, dts = NOPTS)"
    assert _last_line("one\n[x @ 0x1] two.\n") == "two"


def test_damaged_stream_does_not_pass_for_a_frame(clips, tmp_path):
    """Bytes lost in the middle of a movie whose index is whole."""
    data = bytearray((clips / "a.mov").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20000] = bytes(20000)
    (tmp_path / "hole.mov").write_bytes(data)
    with open_source(tmp_path / "hole.mov") as source, pytest.raises(InputError, match=r"hole\.mov"):
        _ = [source.read(number) for number in source.frames]


def test_what_is_no_movie(tmp_path):
    (tmp_path / "x.mov").write_bytes(b"no movie at all" * 100)
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.2", tmp_path / "sound.mov")
    for name in ("x.mov", "sound.mov", "missing.mov"):
        with pytest.raises(InputError, match=name):
            open_source(tmp_path / name)


def test_variable_rate_is_read_one_for_one_and_said_so(clips):
    with open_source(clips / "vfr.mp4") as source:
        assert source.facts.variable
        assert len(source.frames) == 24
        assert any("varies" in note for note in source.info.notes)
        frames = [source.read(number).pixels for number in source.frames]
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(frames))


def test_full_range_and_other_matrices_are_read_as_tagged(tmp_path):
    """One red picture, four codings: the decoded red is the same."""
    reds = []
    codings = (("bt709", "tv"), ("bt709", "pc"), ("smpte170m", "tv"), ("bt2020nc", "tv"))
    for number, (matrix, extent) in enumerate(codings):
        scale = {"bt709": "bt709", "smpte170m": "smpte170m", "bt2020nc": "bt2020"}[matrix]
        ffmpeg("-f", "lavfi", "-i", "color=c=0xC03020:s=64x64:r=25:d=0.1,format=rgb24", "-vf",
               f"scale=out_color_matrix={scale}:out_range={extent}:flags=accurate_rnd+full_chroma_int,format=yuv444p12le,"
               f"setparams=range={extent}:color_primaries=bt709:color_trc=bt709:colorspace={matrix}",
               "-c:v", "ffv1", tmp_path / f"{number}.mkv")  # fmt: skip
        with open_source(tmp_path / f"{number}.mkv") as source:
            reds.append(source.read(1).pixels[32, 32] * 255)
            if matrix != "bt709":
                with open_sink(tmp_path / "back.mkv", source) as sink:
                    for frame in map(source.read, source.frames):
                        sink.write(frame, frame.pixels)
                assert probe(tmp_path / "back.mkv").colorspace == matrix
                with open_source(tmp_path / "back.mkv") as back:
                    assert back.read(1).pixels[32, 32] * 255 == pytest.approx(reds[-1], abs=0.6)
    for red in reds:
        assert red == pytest.approx([0xC0, 0x30, 0x20], abs=1.0)


def test_rotated_phone_footage_comes_upright(clips, tmp_path):
    ffmpeg("-display_rotation", 90, "-i", clips / "a.mp4", "-c", "copy", tmp_path / "r.mp4")
    with open_source(tmp_path / "r.mp4") as source:
        assert (source.info.width, source.info.height) == (144, 256)
        assert source.read(1).pixels.shape == (256, 144, 3)


def test_sizes_and_codecs_that_do_not_fit_are_refused_before_work(clips, tmp_path):
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=66x50:r=25:d=0.1",
        "-vf",
        "format=rgb24,crop=65:49:0:0:exact=1,format=yuv422p",
        "-c:v",
        "ffv1",
        tmp_path / "odd.mkv",
    )
    with open_source(tmp_path / "odd.mkv") as source:
        with pytest.raises(InputError, match="even sizes"):
            open_sink(tmp_path / "o.mp4", source)
        with pytest.raises(InputError, match="256x120"):
            open_sink(tmp_path / "o.mxf", source)
        with pytest.raises(InputError, match="not prores"):
            open_sink(tmp_path / "o.mp4", source, SinkSettings(codec="prores"))
        with pytest.raises(InputError, match="layers"):
            open_sink(tmp_path / "o.mov", source, SinkSettings(layers=("colormnet.a",)))
        with open_sink(tmp_path / "o.mov", source) as sink:
            for frame in map(source.read, source.frames):
                sink.write(frame, frame.pixels)
    assert (probe(tmp_path / "o.mov").width, probe(tmp_path / "o.mov").height) == (65, 49)


def test_output_over_input_is_refused(clips, tmp_path):
    movie = tmp_path / "a.mov"
    movie.write_bytes((clips / "a.mov").read_bytes())
    (tmp_path / "link.mov").symlink_to(movie)
    (tmp_path / "hard.mov").hardlink_to(movie)
    with open_source(movie) as source:
        for name in ("a.mov", "link.mov", "hard.mov"):
            with pytest.raises(InputError, match="is a file of the input"):
                open_sink(tmp_path / name, source)


def test_several_threads_may_read(clips):
    with open_source(clips / "a.mp4") as source:
        expected = [source.read(number).pixels for number in source.frames]
        found = {}
        threads = [
            threading.Thread(target=lambda n=number: found.update({n: source.read(n).pixels})) for number in (9, 2, 17)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(np.array_equal(found[number], expected[number - 1]) for number in (9, 2, 17))


@pytest.mark.parametrize(
    ("start", "frames", "rate", "expected"),
    [
        ("01:00:00:00", 24, Fraction(24), "01:00:01:00"),
        ("23:59:59:24", 1, Fraction(25), "00:00:00:00"),
        ("00:00:59;29", 1, Fraction(30000, 1001), "00:01:00;02"),
        ("00:09:59;29", 1, Fraction(30000, 1001), "00:10:00;00"),
        ("00:00:00;00", 17982, Fraction(30000, 1001), "00:10:00;00"),
        ("00:00:59;59", 1, Fraction(60000, 1001), "00:01:00;04"),
        ("01:02:03:04", 0, Fraction(24000, 1001), "01:02:03:04"),
    ],
)
def test_timecode_arithmetic(start, frames, rate, expected):
    assert add_frames(start, frames, rate) == expected
