import itertools
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from colormnet.errors import InputError, InterruptedRun
from colormnet.media.ffmpeg_tools import _last_line, add_frames, find_ffmpeg, probe
from colormnet.media.frames import SinkSettings, open_sink, open_source, plan_sink

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


class Copy:
    """A movie written from another, frame for frame, as far as it gets."""

    def __init__(self, plate, target, segment_frames=5, codec=None):
        self.plate, self.target = plate, target
        self.segment_frames, self.codec = segment_frames, codec
        self.written = []

    def run(self, resume=False, before=lambda number, sink: None):
        settings = SinkSettings(segment_frames=self.segment_frames, resume=resume, codec=self.codec)
        with open_source(self.plate) as source, open_sink(self.target, source, settings) as sink:
            for number in source.frames:
                if not sink.has(number):
                    before(number, sink)
                    frame = source.read(number)
                    sink.write(frame, frame.pixels)
                    self.written.append(number)

    def stop_at(self, frame):
        """Run as far as the user lets it: frames before ``frame`` are written."""

        def stop(number, sink):
            if number == frame:
                raise InterruptedRun("stopped by the user")

        with pytest.raises(InterruptedRun):
            self.run(before=stop)

    def segments(self):
        folder = self.target.with_name(f".{self.target.name}.segments")
        return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else None


@pytest.fixture
def silent(clips, tmp_path):
    """a.mov without its sound: the size of its copy is that of the segments."""
    ffmpeg("-i", clips / "a.mov", "-an", "-c", "copy", tmp_path / "silent.mov")
    return tmp_path / "silent.mov"


@pytest.fixture
def straight(silent, tmp_path):
    """``straight(suffix)``: bytes of a copy of it that was never interrupted."""

    def make(suffix):
        whole = Copy(silent, tmp_path / f"straight.{suffix}")
        whole.run()
        return whole.target.read_bytes()

    return make


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_a_full_disk_keeps_the_finished_segments(silent, tmp_path, small_disk, straight, suffix):
    wanted = straight(suffix)
    disk = small_disk(len(wanted) * 2 // 3 // 1024)
    copy = Copy(silent, disk.place / f"o.{suffix}")
    with pytest.raises(InputError, match=rf"The disk is full: .*/o\.{suffix} was not written; free some"):
        copy.run()
    kept = copy.segments()
    assert "0000000-0000005.mov" in kept
    assert "job" in kept
    assert len(kept) < 6
    with pytest.raises(InputError, match="disk is full"):
        copy.run(resume=True)  # too early: nothing is lost by that
    assert copy.segments() == kept
    disk.grow(100_000)
    done = 5 * (len(kept) - 1)
    copy.written.clear()
    copy.run(resume=True)
    assert copy.written == list(range(done + 1, 25))
    assert disk.files() == [f"o.{suffix}"]
    assert frames_md5(copy.target) == frames_md5(tmp_path / f"straight.{suffix}")


def frames_md5(path):
    done = subprocess.run([find_ffmpeg(), "-v", "error", "-i", path, "-map", "0:v", "-f", "framemd5", "-"],
                          capture_output=True, check=True, text=True)  # fmt: skip
    return [line for line in done.stdout.splitlines() if not line.startswith("#")]


def test_a_disk_too_full_to_join_keeps_all_segments(silent, tmp_path, small_disk, straight):
    wanted = straight("mov")
    disk = small_disk(len(wanted) * 3 // 2 // 1024)
    copy = Copy(silent, disk.place / "o.mov")
    with pytest.raises(InputError, match="disk is full"):
        copy.run()
    assert copy.written == list(range(1, 25))
    assert len(copy.segments()) == 6
    assert not copy.target.exists()
    disk.grow(100_000)
    copy.run(resume=True)
    assert len(copy.written) == 24
    assert disk.files() == ["o.mov"]
    assert frames_md5(copy.target) == frames_md5(tmp_path / "straight.mov")


KILLED_WHILE_JOINING = """
import os, signal, sys
from colormnet.media.frames import SinkSettings, open_sink, open_source
rename = os.replace
def killed(source, target):
    if str(target) == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
os.replace = killed
settings = SinkSettings(segment_frames=5)
with open_source(sys.argv[1]) as source, open_sink(sys.argv[2], source, settings) as sink:
    for number in source.frames:
        frame = source.read(number)
        sink.write(frame, frame.pixels)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL on Windows")
def test_a_run_killed_while_it_joins_leaves_no_half_movie_behind(silent, tmp_path, straight):
    wanted = straight("mov")
    copy = Copy(silent, tmp_path / "out" / "o.mov")
    done = subprocess.run([sys.executable, "-c", KILLED_WHILE_JOINING, silent, copy.target], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len([name for name in copy.segments() if "-" in name]) == 5
    copy.run(resume=True)
    assert copy.written == []
    assert list(copy.target.parent.iterdir()) == [copy.target]
    assert copy.target.read_bytes() == wanted


@pytest.mark.parametrize(("suffix", "again"), [("mov", 13), ("mp4", 11)])
def test_a_plate_that_fails_in_the_middle_keeps_what_is_finished(silent, tmp_path, straight, suffix, again):
    """All of it where every frame stands for itself, whole segments where frames lean on each other (H.264)."""
    straight(suffix)
    copy = Copy(silent, tmp_path / f"o.{suffix}")

    def unreadable(number, sink):
        if number == 13:
            raise InputError("plate.1013.exr cannot be read")

    with pytest.raises(InputError, match="1013"):
        copy.run(before=unreadable)
    assert not copy.target.exists()
    copy.written.clear()
    copy.run(resume=True)
    assert copy.written == list(range(again, 25))
    assert copy.segments() is None
    assert frames_md5(copy.target) == frames_md5(tmp_path / f"straight.{suffix}")


def test_an_encoder_that_dies_keeps_the_finished_segments(silent, tmp_path, straight):
    straight("mov")
    copy = Copy(silent, tmp_path / "o.mov")

    def killed(number, sink):
        if number == 13:
            sink._encoder.kill()
            sink._encoder.wait()

    with pytest.raises(InputError, match=r"o\.mov could not be written \(ffmpeg was ended by signal 9\)"):
        copy.run(before=killed)
    assert copy.segments() == ["0000000-0000005.mov", "0000005-0000010.mov", "job"]
    copy.written.clear()
    copy.run(resume=True)
    assert copy.written == list(range(11, 25))
    assert frames_md5(copy.target) == frames_md5(tmp_path / "straight.mov")


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for ffmpeg")
def test_a_segment_that_is_cut_short_without_a_word_is_not_taken_for_whole(silent, tmp_path, straight, monkeypatch):
    """As by an ffmpeg that ends well though the disk was full when it wrote the table of contents."""
    straight("mov")
    copy = Copy(silent, tmp_path / "o.mov")
    deaf = tmp_path / "ffmpeg"
    deaf.write_text(
        f"""#!/bin/bash
{find_ffmpeg()} "$@" || exit
if [[ "$*" == *rawvideo*open.mov* && -e "{tmp_path}/full" ]]; then
    truncate -s -500 "{tmp_path}/.o.mov.segments/open.mov"
fi
"""
    )
    deaf.chmod(0o755)

    def fills_up(number, sink):
        if number == 8:
            (tmp_path / "full").touch()

    with monkeypatch.context() as patch:
        patch.setattr("colormnet.media.ffmpeg_tools.find_ffmpeg", lambda: str(deaf))
        with pytest.raises(InputError, match="the encoder left a broken segment"):
            copy.run(before=fills_up)
    assert copy.segments() == ["0000000-0000005.mov", "job"]
    copy.run(resume=True)
    assert frames_md5(copy.target) == frames_md5(tmp_path / "straight.mov")


def test_a_movie_that_fails_in_its_first_segment_leaves_nothing(silent, tmp_path, small_disk):
    disk = small_disk(32)
    copy = Copy(silent, disk.place / "o.mov", segment_frames=20)
    with pytest.raises(InputError, match="disk is full"):
        copy.run()
    assert list(disk.place.iterdir()) == []


def test_a_sink_that_is_only_planned_sees_finished_segments_and_changes_nothing(clips, tmp_path):
    copy = Copy(clips / "a.mov", tmp_path / "o.mov")
    copy.stop_at(13)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with open_source(copy.plate) as source:
        for settings, there in ((SinkSettings(resume=True), 12), (SinkSettings(), 0)):
            sink = plan_sink(copy.target, source, settings)
            assert sink.begun
            assert [number for number in source.frames if sink.has(number)] == list(range(1, there + 1))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_segments_behind_a_lost_one_are_made_again(clips, tmp_path):
    copy = Copy(clips / "a.mov", tmp_path / "o.mov")
    copy.stop_at(18)
    (tmp_path / ".o.mov.segments" / "0000005-0000010.mov").unlink()
    copy.written.clear()
    copy.run(resume=True)
    assert copy.written == list(range(6, 25))
    assert probe(copy.target).times[-1] == pytest.approx(23 * 1001 / 24000, abs=1e-3)


STOPPED_AND_CONTINUED = """
import sys
from colormnet.media.frames import open_sink, open_source
with open_source(sys.argv[1]) as source, open_sink(sys.argv[2], source) as sink:
    frames = [source.read(number) for number in source.frames]
    print("ready", flush=True)
    for frame in frames:
        sink.write(frame, frame.pixels)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no job control on Windows")
def test_a_run_that_is_stopped_and_continued_loses_no_byte(clips, tmp_path):
    """A signal in the middle of a write makes the system take a part of it only."""
    ffmpeg("-i", clips / "a.mov", "-an", "-vf", "scale=1024:576", "-c:v", "prores_ks", tmp_path / "big.mov")
    words = [sys.executable, "-c", STOPPED_AND_CONTINUED, tmp_path / "big.mov", tmp_path / "o.mov"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    while process.poll() is None:
        for sign in (signal.SIGSTOP, signal.SIGCONT):
            process.send_signal(sign)
            time.sleep(0.003)
    process.stdout.close()
    assert process.returncode == 0
    with open_source(tmp_path / "big.mov") as source, open_source(tmp_path / "o.mov") as copied:
        for number in source.frames:
            error = copied.read(number).pixels - source.read(number).pixels
            assert np.abs(error).mean() < 0.01, number


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
        sink.abort()
        settings = SinkSettings(codec="h264")
        with pytest.raises(InputError, match="frame 2"), open_sink(target, source, settings) as sink:
            sink.write(frame, frame.pixels)
        assert list(tmp_path.iterdir()) == [target, tmp_path / ".out.mov.segments"]
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


@pytest.mark.skipif(sys.platform == "win32", reason="no signals on Windows")
def test_a_decoder_that_is_killed_is_no_damaged_movie(clips):
    with open_source(clips / "a.mov") as source:
        source.read(1)
        source._decoder.kill()
        with pytest.raises(InputError, match=r"a\.mov could not be read at frame \d+: ffmpeg was ended by signal 9"):
            _ = [source.read(number) for number in source.frames[1:]]


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


@pytest.mark.skipif(sys.platform == "win32", reason="no colons in names on Windows")
@pytest.mark.parametrize("name", ["take:1.mov", "-take.mov", "it's 100% #1 [a] %03d.mov", "concat:a|b.mov"])
def test_names_that_mean_something_to_ffmpeg(clips, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes((clips / "a.mov").read_bytes())
    Path("out").mkdir()
    copy = Copy(name, Path("out") / name)
    copy.run()
    facts = probe(copy.target)
    assert (len(facts.times), facts.audio) == (24, 1)
    monkeypatch.chdir(tmp_path / "out")
    with open_source(Path("..") / name) as source, open_sink(name, source, SinkSettings(resume=True)) as sink:
        assert sink.has(24)


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
