import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenImageIO as oiio  # noqa: N813
import pytest

from colormnet.errors import InputError, InterruptedRun, WeightsError
from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.job_state import JobState
from colormnet.media.frames import open_source
from colormnet.pipeline import Progress, planned, run


def read(path):
    """(pixels, channel names)."""
    file = oiio.ImageInput.open(str(path))
    assert file, oiio.geterror()
    pixels, names = file.read_image("float"), list(file.spec().channelnames)
    file.close()
    return pixels, names


def content(folder):
    """Name -> bytes of every visible file; fails on debris."""
    names = [path for path in Path(folder).iterdir() if path.is_file()]
    assert not [path for path in names if path.name.startswith(".") or path.suffix in (".tmp", ".part")]
    return {path.name: path.read_bytes() for path in names}


class Stopper(Progress):
    """Asks for a stop after so many frames, and keeps what it was told."""

    def __init__(self, after=None):
        self.stop = threading.Event()
        self.after = after
        self.numbers = []
        self.notes = []

    def frame_done(self, number, done, total):
        self.numbers.append(number)
        if len(self.numbers) == self.after:
            self.stop.set()

    def note(self, sentence):
        self.notes.append(sentence)


@pytest.fixture
def job(tmp_path, write_plate, write_exemplar, random_lite):
    """Eight EXR frames; the exemplar is the first frame's own."""
    return ColorizeJob(
        plate=write_plate(8),
        exemplars=(ExemplarSpec(write_exemplar(0), frame=1001),),
        output=str(tmp_path / "out" / "shot.####.exr"),
        weights=random_lite,
        device="cpu",
        snapshot_every=3,
    )


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def test_a_shot_goes_through(job, out):
    told = Stopper()
    report = run(job, told)
    assert (report.written, report.skipped) == (8, 0)
    assert told.numbers == list(range(1001, 1009))
    assert sorted(content(out)) == [f"shot.{number}.exr" for number in range(1001, 1009)]
    assert set(report.confidence) == set(range(1001, 1009))
    assert report.least_sure in report.confidence
    for number in range(1001, 1009):
        plate, _ = read(Path(job.plate).parent / f"plate.{number}.exr")
        coloured, _ = read(out / f"shot.{number}.exr")
        weights = np.float32([0.2126, 0.7152, 0.0722])
        np.testing.assert_allclose(coloured @ weights, plate @ weights, rtol=2e-3, atol=1e-4)
    assert plate.max() > 1.0
    assert plate.min() < 0.0


def test_a_frames_own_exemplar_gives_it_its_very_colours(job, tmp_path, out, demo_frames, write_exemplar):
    from colormnet.colour.lab import display_to_lab
    from colormnet.colour.spaces import ColourSpace

    linear = ColourSpace("scene-linear Rec.709")

    def errors(folder):
        """Mean chroma error of each frame in units of Lab, where the plate is neither black nor clipped."""
        found = {}
        for number in range(1001, 1009):
            _, got = display_to_lab(linear.to_display(read(folder / f"shot.{number}.exr")[0]))
            light, want = display_to_lab(demo_frames[number - 1001])
            usable = (light > -0.4) & (light < 0.6)
            found[number] = float(np.abs(got - want)[:, usable].mean() * 110)
        return found

    late = ExemplarSpec(write_exemplar(5, "late.png"), frame=1006)
    run(replace(job, exemplars=(*job.exemplars, late)))
    own = errors(out)
    elsewhere = tuple(replace(spec, frame=None) for spec in (*job.exemplars, late))
    run(replace(job, exemplars=elsewhere, output=str(tmp_path / "elsewhere" / "shot.####.exr")))
    remembered = errors(tmp_path / "elsewhere")
    for number in (1001, 1006):
        assert own[number] < 3.0, (own, remembered)
        assert own[number] < 0.7 * remembered[number], (own, remembered)  # random weights: remembering is not enough
    assert own[1006] < min(own[1005], own[1007]), own


def test_an_exemplar_of_another_frame_is_not_carried_and_that_is_said(job, write_exemplar):
    wrong = replace(job, exemplars=(ExemplarSpec(write_exemplar(11), frame=1001),))
    told = Stopper()
    run(wrong, told)
    assert any("does not show the plate's frame 1001" in note for note in told.notes)


def test_exemplars_of_another_size_and_without_colour_are_named(job, write_exemplar):
    big = ExemplarSpec(write_exemplar(0, "big.png", size=(256, 144)))
    square = ExemplarSpec(write_exemplar(0, "square.png", size=(90, 90)))
    dull = ExemplarSpec(write_exemplar(0, "dull.png", colour=False))
    with planned(replace(job, exemplars=(big, square, dull))) as plan:
        notes = " | ".join(plan.notes)
    assert "big.png is 256x144 and was resized to the plate's frame 128x72 (same shape)" in notes
    assert "square.png is 90x90 and was resized to the plate's frame 128x72 (another shape" in notes
    assert "dull.png has no colour" in notes


def test_layers(job, out):
    run(replace(job, outputs="both", confidence=True))
    pixels, names = read(out / "shot.1003.exr")
    assert names[:3] == ["R", "G", "B"]
    assert {"colormnet.a", "colormnet.b", "colormnet.confidence"} <= set(names)
    confidence = pixels[..., names.index("colormnet.confidence")]
    assert confidence.min() >= 0.0
    assert confidence.max() <= 1.0
    run(replace(job, outputs="chroma", output=str(out / "chroma.####.exr")))
    chroma, names = read(out / "chroma.1003.exr")
    assert sorted(names) == ["colormnet.a", "colormnet.b"]
    np.testing.assert_array_equal(
        chroma[..., names.index("colormnet.a")], pixels[..., read(out / "shot.1003.exr")[1].index("colormnet.a")]
    )


@pytest.mark.parametrize("after", [1, 3, 4, 7])
def test_stopping_and_going_on_equals_never_having_stopped(job, tmp_path, out, after):
    straight = replace(job, output=str(tmp_path / "straight" / "shot.####.exr"))
    run(straight)
    stopper = Stopper(after)
    with pytest.raises(InterruptedRun, match="--resume"):
        run(job, stopper, stopper.stop)
    assert len(content(out)) == after
    told = Stopper()
    report = run(replace(job, resume=True), told)
    assert told.numbers == list(range(1001 + after, 1009)), told.notes  # not one frame is done twice
    assert (report.written, report.skipped) == (8 - after, after)
    assert content(out) == content(tmp_path / "straight")


def test_a_stop_on_the_last_frame_is_no_interruption(job):
    stopper = Stopper(8)
    assert run(job, stopper, stopper.stop).written == 8


def test_a_killed_run_goes_on_from_its_last_snapshot(job, tmp_path, out):
    straight = replace(job, output=str(tmp_path / "straight" / "shot.####.exr"))
    run(straight)
    stopper = Stopper(5)
    with pytest.raises(InterruptedRun):
        run(job, stopper, stopper.stop)
    state = JobState.beside(job.output)
    state.snapshots()[5].unlink()  # as if there had been no time for it
    told = Stopper()
    report = run(replace(job, resume=True), told)
    assert told.numbers[0] == 1004, (told.notes, state.snapshots())
    assert report.written == 3
    assert content(out) == content(tmp_path / "straight")


def test_resuming_a_finished_job_does_nothing_and_a_missing_frame_is_made_again(job, out):
    run(replace(job, keep_state=True))
    before = content(out)
    report = run(replace(job, resume=True, keep_state=True))
    assert (report.written, report.skipped) == (0, 8)
    (out / "shot.1005.exr").unlink()
    (out / "shot.1008.exr").write_bytes(before["shot.1008.exr"][:500])
    report = run(replace(job, resume=True, keep_state=True))
    assert (report.written, report.skipped) == (2, 6)
    assert content(out) == before


def test_parts_in_any_order_equal_the_whole(job, tmp_path, out):
    straight = replace(job, output=str(tmp_path / "straight" / "shot.####.exr"))
    run(straight)
    parts = replace(job, resume=True, keep_state=True)
    for part in ("1007-1008", "1001-1003", "1004-1006", "1004-1006"):
        run(replace(parts, part=part))
    assert content(out) == content(tmp_path / "straight")
    assert 6 in JobState.beside(job.output).snapshots()


@pytest.mark.parametrize(
    ("change", "named"),
    [({"saturation": 0.5}, "saturation"), ({"working_size": 48}, "working size"), ({"frames": "1001-1006"}, "frames")],
)
def test_another_job_is_kept_out_of_an_output_until_told_to_overwrite(job, out, change, named):
    stopper = Stopper(2)
    with pytest.raises(InterruptedRun):
        run(job, stopper, stopper.stop)
    before = content(out)
    other = replace(job, **change)
    for attempt in (other, replace(other, resume=True)):
        with pytest.raises(InputError, match=named):
            run(attempt)
    assert content(out) == before
    assert run(replace(other, overwrite=True)).skipped == 0


def test_a_changed_plate_is_another_job(job, out):
    stopper = Stopper(2)
    with pytest.raises(InterruptedRun):
        run(job, stopper, stopper.stop)
    path = Path(job.plate).parent / "plate.1004.exr"
    os.utime(path, ns=(1, 1))
    with pytest.raises(InputError, match="plate"):
        run(replace(job, resume=True))


def test_existing_output_is_never_replaced_unasked(job, out):
    run(job)
    before = content(out)
    with pytest.raises(InputError, match=r"shot\.1001\.exr exists already; give --resume"):
        run(job)
    assert content(out) == before
    stranger = replace(job, output=str(out / "other.####.exr"))
    (out / "other.1003.exr").write_bytes(b"not ours")
    with pytest.raises(InputError, match=r"other\.1003\.exr exists already; give --overwrite"):
        run(stranger)
    assert (out / "other.1003.exr").read_bytes() == b"not ours"


@pytest.mark.parametrize("how", ["pattern", "printf", "folder", "link"])
def test_the_plate_is_never_the_output(job, tmp_path, how):
    folder = Path(job.plate).parent
    before = content(folder)
    outputs = {"pattern": job.plate, "printf": str(folder / "plate.%04d.exr"), "folder": str(folder)}
    if how == "link":
        (tmp_path / "link").symlink_to(folder)
        outputs["link"] = str(tmp_path / "link" / "plate.####.exr")
    with pytest.raises(InputError):
        run(replace(job, output=outputs[how], overwrite=True))
    assert content(folder) == before


def test_the_exemplar_is_never_the_output(job, tmp_path, write_plate, write_exemplar):
    exemplar = write_exemplar(0, "only.png")
    before = Path(exemplar).read_bytes()
    with pytest.raises(InputError, match="input"):
        run(replace(job, exemplars=(ExemplarSpec(exemplar),), frames="1001", output=exemplar, overwrite=True))
    keys = write_exemplar(0, "key.1003.png")
    for named in (keys, keys.replace("1003", "####")):
        clash = replace(job, exemplars=(ExemplarSpec(named, frame=1003),), overwrite=True)
        with pytest.raises(InputError, match="input"):  # noqa: SIM117 - the plan alone has to refuse
            with planned(replace(clash, output=str(tmp_path / "key.####.png"))):
                pass
    assert Path(exemplar).read_bytes() == Path(keys).read_bytes() == before


def test_an_unreadable_frame_stops_the_run_and_leaves_whole_frames_only(job, out):
    path = Path(job.plate).parent / "plate.1005.exr"
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3 :] = bytes(len(data) - len(data) * 2 // 3)
    path.write_bytes(data)
    with pytest.raises(InputError, match="1005"):
        run(job)
    assert sorted(content(out)) == [f"shot.{number}.exr" for number in range(1001, 1005)]
    for name in content(out):
        assert read(out / name)[0].shape == (72, 128, 3)


def test_missing_frames_are_named_before_work_starts(job, out):
    (Path(job.plate).parent / "plate.1004.exr").unlink()
    for frames in (None, "1001-1008"):
        with pytest.raises(InputError, match="1004"):
            run(replace(job, frames=frames))
    assert not out.exists()
    assert run(replace(job, frames="1001-1003,1005-1008")).written == 7


def test_a_frame_of_another_size_is_named(job, out, tmp_path):
    path = Path(job.plate).parent / "plate.1006.exr"
    image = oiio.ImageBuf(oiio.ImageSpec(100, 60, 3, "half"))
    assert image.write(str(path))
    with pytest.raises(InputError, match="1006"):
        run(job)


def test_non_finite_pixels_are_counted_and_contained(job, out):
    path = Path(job.plate).parent / "plate.1003.exr"
    image = oiio.ImageBuf(str(path))
    pixels = image.get_pixels("float")
    pixels[5:7, 9] = np.nan
    pixels[50, 60] = np.inf
    broken = oiio.ImageBuf(oiio.ImageSpec(128, 72, 3, "half"))
    broken.set_pixels(oiio.ROI(), pixels)
    assert broken.write(str(path))
    report = run(job)
    assert report.non_finite == {1003: 3}
    assert (~np.isfinite(read(out / "shot.1003.exr")[0]).all(axis=2)).sum() == 3
    assert np.isfinite(read(out / "shot.1004.exr")[0]).all()


def test_frames_with_a_step_and_other_notations(job, tmp_path, out):
    assert run(replace(job, frames="1001-1008x2")).written == 4
    assert sorted(content(out)) == [f"shot.{number}.exr" for number in (1001, 1003, 1005, 1007)]
    folder = str(Path(job.plate).parent)
    assert run(replace(job, plate=folder, output=str(tmp_path / "whole"))).written == 8
    assert len(content(tmp_path / "whole")) == 8


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"space": "Rec.707"}, "709"),
        ({"exemplar_space": "srgbb"}, "(?i)srgb"),
        ({"plate": "nowhere.####.exr"}, "nowhere"),
        ({"exemplars": (ExemplarSpec("nowhere.png"),)}, r"nowhere\.png"),
        ({"frames": "1001:1004"}, ":"),
        ({"frames": "2000-2010"}, "2000"),
        ({"part": "1001-1009"}, "1009"),
        ({"output": "out.xyz"}, "xyz"),
        ({"output": "a" * 300 + ".####.exr"}, "too long"),
        ({"output": "a" * 300 + ".mov"}, "too long"),
        ({"output": "a" * 300}, "too long"),
        ({"model": "big"}, "released"),
        ({"device": "abacus"}, "cpu"),
        ({"frame_rate": "fast", "output": "x.mov"}, "24000/1001"),
        ({"frame_rate": "0", "output": "x.mov"}, "24000/1001"),
        ({"frame_rate": "-24", "output": "x.mov"}, "24000/1001"),
        ({"part": "1001", "output": "x.mov"}, "sequence"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence_before_work_starts(job, tmp_path, monkeypatch, change, word):
    monkeypatch.chdir(tmp_path)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InputError, match=word) as caught:
        run(replace(job, **change))
    assert "\n" not in str(caught.value)
    assert sorted(os.listdir(tmp_path)) == before


def test_exemplar_for_a_frame_outside_the_shot(job):
    with pytest.raises(InputError, match="frame 2000"):
        run(replace(job, exemplars=(replace(job.exemplars[0], frame=2000),)))


def test_an_exemplar_among_several_pictures_has_to_be_chosen(job, demo_clip, write_plate, tmp_path):
    refs = write_plate(3, "png", 1, "refs")
    with pytest.raises(InputError, match="#1"):
        run(replace(job, exemplars=(ExemplarSpec(refs),)))
    with planned(replace(job, exemplars=(ExemplarSpec(refs, picture=2),))) as plan:
        assert len(plan.exemplars) == 1
    with planned(replace(job, exemplars=(ExemplarSpec(str(demo_clip), picture=1, frame=1001),))) as plan:
        assert plan.exemplars[0].carried_by == 1001
        assert any("640x360" in note for note in plan.notes)


def test_wrong_and_truncated_checkpoints(job, tmp_path, random_lite):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(random_lite.read_bytes()[:100_000])
    for weights in (cut, tmp_path / "none.safetensors"):
        with pytest.raises(WeightsError):
            run(replace(job, weights=weights))


@pytest.mark.parametrize(
    ("suffix", "done_again"),
    [("mov", []), ("mp4", [4, 5])],  # an unfinished stretch of a codec that looks at other frames is encoded again
)
def test_movies_resume_bit_for_bit(job, tmp_path, demo_clip, suffix, done_again):
    movie = replace(
        job,
        plate=str(demo_clip),
        exemplars=(ExemplarSpec(str(demo_clip), picture=1, frame=1),),
        frames="1-8",
        output=str(tmp_path / f"straight.{suffix}"),
    )
    run(movie)
    broken = replace(movie, output=str(tmp_path / f"broken.{suffix}"))
    stopper = Stopper(5)
    with pytest.raises(InterruptedRun):
        run(broken, stopper, stopper.stop)
    assert not Path(broken.output).exists()
    with pytest.raises(InputError, match="--resume"):
        run(broken)
    told = Stopper()
    run(replace(broken, resume=True), told)
    assert told.numbers == [*done_again, 6, 7, 8]

    with open_source(movie.output) as one, open_source(broken.output) as other:
        assert one.frames == other.frames == list(range(1, 9))
        for number in one.frames:
            np.testing.assert_array_equal(one.read(number).pixels, other.read(number).pixels)


@pytest.mark.parametrize(
    "lost", ["the last record", "a record in the middle", "the state", "a finished movie's record"]
)
def test_a_movie_whose_records_are_behind_its_frames_goes_on(job, tmp_path, lost):
    """As after a kill between the writing of a frame and its record."""
    straight = replace(job, output=str(tmp_path / "straight.mov"), frame_rate="24")
    run(straight)
    broken = replace(straight, output=str(tmp_path / "broken.mov"))
    state = JobState.beside(broken.output)
    if lost == "a finished movie's record":
        run(broken)
        (state.folder / "frames" / "1004.json").unlink()
    else:
        stopper = Stopper(6)
        with pytest.raises(InterruptedRun):
            run(broken, stopper, stopper.stop)
        if lost == "the state":
            shutil.rmtree(state.folder)
        else:
            (state.folder / "frames" / f"{1006 if 'last' in lost else 1002}.json").unlink()
    report = run(replace(broken, resume=True))
    assert report.written + report.skipped == 8
    assert Path(broken.output).read_bytes() == Path(straight.output).read_bytes()
    assert not (tmp_path / ".broken.mov.segments").exists()


@pytest.mark.parametrize("kind", ["sequence", "mov", "mp4"])
def test_a_plate_that_cannot_be_read_in_the_middle_loses_nothing(job, tmp_path, kind):
    """Back where it was, as after a fault of the network, the run goes on and ends as one that was never broken."""
    target = "shot.####.exr" if kind == "sequence" else f"shot.{kind}"
    straight = replace(job, output=str(tmp_path / "straight" / target), frame_rate="24")
    run(straight)
    broken = replace(straight, output=str(tmp_path / "broken" / target))
    lost = Path(job.plate).parent / "plate.1006.exr"

    class Fault(Progress):
        def planned(self, plan):
            lost.rename(tmp_path / "lost.exr")

    with pytest.raises(InputError, match=r"plate\.1006\.exr does not exist"):
        run(broken, Fault())
    (tmp_path / "lost.exr").rename(lost)
    there = 3 if kind == "mp4" else 5
    with planned(replace(broken, resume=True)) as plan:
        assert plan.finished() == set(range(1001, 1001 + there))
        assert ("done already", f"{there} of 8 frames") in plan.lines()
    report = run(replace(broken, resume=True))
    assert (report.written, report.skipped) == (8 - there, there)
    if kind == "sequence":
        assert content(tmp_path / "broken") == content(tmp_path / "straight")
        return
    with open_source(straight.output) as one, open_source(broken.output) as other:
        assert one.frames == other.frames
        for number in one.frames:
            np.testing.assert_array_equal(one.read(number).pixels, other.read(number).pixels)


def test_a_run_goes_on_in_another_notation(job, out):
    run(replace(job, frames="1001-1002"))
    again = run(replace(job, frames="1001-1002", output=str(out / "shot.%04d.exr"), resume=True))
    assert (again.written, again.skipped) == (0, 2)


@pytest.mark.parametrize("suffix", ["gif", "webp", "bmp"])
def test_exemplars_of_the_web(job, tmp_path, write_exemplar, suffix):
    """Formats that no plate has; GIF has few colours, and is still known for the plate's frame."""
    png = oiio.ImageBuf(write_exemplar(0))
    still = tmp_path / f"still.{suffix}"
    assert png.write(str(still)), png.geterror()
    with planned(replace(job, exemplars=(ExemplarSpec(str(still), frame=1001),))) as plan:
        assert plan.exemplars[0].carried_by == 1001
        assert "sRGB" in plan.exemplars[0].space
        assert not plan.exemplars[0].notes


def test_options_without_a_part_in_the_output_are_named(job, tmp_path):
    with planned(replace(job, codec="prores", frame_rate="25")) as plan:
        assert [word for note in plan.notes for word in ("prores", "25") if f"{word} is not used" in note] == [
            "prores",
            "25",
        ]
    with planned(replace(job, output=str(tmp_path / "a.mov"), pixel_type="uint8", frame_rate="25")) as plan:
        assert [note for note in plan.notes if "is not used" in note and "uint8" in note]
        assert not [note for note in plan.notes if "frame rate" in note]


def test_a_movies_name_is_no_pattern(job, tmp_path):
    with planned(replace(job, output=str(tmp_path / "take#2 %04d.x####.mov"))) as plan:
        assert "take#2" in plan.job.output


@pytest.mark.parametrize(("orientation", "turns"), [(6, 1), (8, -1), (3, 2)])
def test_a_picture_that_its_camera_stored_on_its_side_is_taken_upright(job, tmp_path, demo_frames, orientation, turns):
    stored = np.ascontiguousarray(np.rot90(demo_frames[0], turns))
    spec = oiio.ImageSpec(stored.shape[1], stored.shape[0], 3, oiio.UINT8)
    spec.attribute("Orientation", orientation)
    file = oiio.ImageOutput.create(str(tmp_path / "phone.jpg"))
    assert file.open(str(tmp_path / "phone.jpg"), spec)
    assert file.write_image(stored)
    file.close()
    with planned(replace(job, exemplars=(ExemplarSpec(str(tmp_path / "phone.jpg"), frame=1001),))) as plan:
        assert plan.exemplars[0].carried_by == 1001


def test_another_kind_of_file_holds_the_plates_space_and_says_so_or_is_converted(job, tmp_path):
    """A linear plate written to PNG as it is looks dark; the note says so, and --output-space mends it."""
    told, quiet = Stopper(), Stopper()
    as_it_is = replace(job, frames="1001", output=str(tmp_path / "plain" / "shot.####.png"), pixel_type="uint16")
    run(as_it_is, told)
    note = next(note for note in told.notes if "--output-space" in note)
    assert "sRGB" in note
    assert "Linear Rec.709" in note
    run(replace(as_it_is, output=str(tmp_path / "seen" / "shot.####.png"), output_space="sRGB"), quiet)
    assert not any("--output-space" in note for note in quiet.notes)
    linear, _ = read(tmp_path / "plain" / "shot.1001.png")
    seen, _ = read(tmp_path / "seen" / "shot.1001.png")
    decoded = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    inside = (linear > 0.0) & (linear < 1.0)
    assert inside.mean() > 0.5
    np.testing.assert_allclose(decoded[inside], linear[inside], atol=4e-5)
    with pytest.raises(InputError, match="same kind of file"):
        run(replace(job, output=str(tmp_path / "x" / "shot.####.exr"), output_space="sRGB"))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("exemplar", ["display", "cropped"])
def test_an_exemplar_of_the_plates_format_lies_where_it_belongs_under_overscan(
    job, tmp_path, out, demo_frames, exemplar
):
    """A plate with overscan and a still of its display window, or one with a bounding box, show the same frame."""
    from colormnet.colour.spaces import ColourSpace

    linear = ColourSpace("scene-linear Rec.709")
    height, width = demo_frames[0].shape[:2]

    def write(path, pixels, kind, data=(0, 0)):
        path.parent.mkdir(exist_ok=True)
        spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 3, kind)
        spec.x, spec.y = data
        spec.full_x, spec.full_y, spec.full_width, spec.full_height = 0, 0, width - 24, height - 12
        file = oiio.ImageOutput.create(str(path))
        assert file.open(str(path), spec), oiio.geterror()
        assert file.write_image(np.ascontiguousarray(pixels))
        file.close()

    for number, frame in enumerate(demo_frames[:2], 1001):
        light = linear.from_display(frame) @ np.float32([[0.2126], [0.7152], [0.0722]])
        write(tmp_path / "over" / f"p.{number}.exr", np.repeat(light, 3, axis=-1), "half", (-16, -8))
    if exemplar == "display":
        still = tmp_path / "still.png"
        write(still, demo_frames[0][8 : 8 + height - 12, 16 : 16 + width - 24], "uint16")
    else:
        still = tmp_path / "still.exr"
        write(still, linear.from_display(demo_frames[0][4:-4, 10:-10]), "float", (-6, -4))
    told = Stopper()
    spec = ExemplarSpec(str(still), frame=1001)
    run(replace(job, plate=str(tmp_path / "over" / "p.####.exr"), exemplars=(spec,)), told)
    assert any("lies on the plate's display window" in note for note in told.notes), told.notes
    assert not any("does not show" in note or "stretched" in note for note in told.notes), told.notes
    coloured, _ = read(out / "shot.1001.exr")
    got = linear.to_display(coloured)[8:-4, 16:-8]
    assert np.abs(got - demo_frames[0][8:-4, 16:-8]).mean() < 0.02


@pytest.fixture
def plate_with_alpha(tmp_path, demo_frames):
    """``plate_with_alpha(**attributes)``: two half EXR frames, grey multiplied by an alpha, and a depth channel."""

    def write(overscan=0):
        folder = tmp_path / "matte"
        folder.mkdir()
        for number, frame in enumerate(demo_frames[:2], 1001):
            height, width = frame.shape[:2]
            alpha = np.tile(np.linspace(0.0, 1.0, width, dtype=np.float32), (height, 1))
            alpha[:, :8] = 0.0
            light = (frame @ np.float32([0.2126, 0.7152, 0.0722])) ** 2.2 * alpha
            planes = np.stack([light, light, light, alpha, light * 50], axis=-1).astype(np.float32)
            spec = oiio.ImageSpec(width, height, 5, "float")
            spec.channelnames = ("R", "G", "B", "A", "depth.Z")
            spec.full_width, spec.full_height = width - overscan, height - overscan
            spec.attribute("smpte:TimeCode", oiio.TypeTimeCode, (0x01020304, 0))
            file = oiio.ImageOutput.create(str(folder / f"m.{number}.exr"))
            assert file.open(str(folder / f"m.{number}.exr"), spec), oiio.geterror()
            assert file.write_image(np.ascontiguousarray(planes))
            file.close()
        return str(folder / "m.####.exr")

    return write


@pytest.mark.parametrize(
    ("output", "said", "unsaid"),
    [
        ("o.####.jpg", ["alpha", "depth.Z", "timecode 01:02:03:04", "display window"], []),
        ("o.####.png", ["depth.Z", "timecode", "display window"], ["alpha"]),
        ("o.####.dpx", ["depth.Z", "display window"], ["alpha", "timecode"]),
        ("o.mp4", ["alpha", "depth.Z", "display window"], ["timecode"]),
        ("o.mov", ["depth.Z", "display window"], ["alpha", "timecode"]),
        ("o.####.exr", [], ["alpha", "depth.Z", "timecode", "display window", "left out"]),
    ],
)
def test_what_the_output_cannot_hold_is_said_before_work_starts(job, tmp_path, plate_with_alpha, output, said, unsaid):
    wanted = replace(job, plate=plate_with_alpha(overscan=8), output=str(tmp_path / "new" / output), frame_rate="24")
    with planned(wanted) as plan:
        left = [note for note in plan.notes if "left out" in note]
    text = " | ".join(left)
    assert len(left) == len(said), left
    for word in said:
        assert word in text
    for word in unsaid:
        assert word not in text.replace("EXR, TIFF, PNG and ProRes", "").replace("EXR, DPX and movies", "")
    assert not (tmp_path / "new").exists()  # looking makes nothing
    told = Stopper()
    run(wanted, told)
    assert [note for note in told.notes if "left out" in note] == left  # once


def test_a_plan_finds_what_the_output_would_refuse(job, tmp_path, out):
    """A dry run is as strict as the run, and makes nothing."""
    for output, word in ((out / "one.jpg", "is one picture"), (out / "o.####.jpg", "cannot hold layers")):
        change = {"output": str(output), "confidence": "layers" in word}
        with pytest.raises(InputError, match=word), planned(replace(job, **change)):
            pass
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"file is a file and cannot hold o\.1001\.exr"):
        run(replace(job, output=str(tmp_path / "file" / "deeper" / "o.####.exr")))
    with planned(replace(job, output=str(tmp_path / "file" / "o.####.exr"), overwrite=True)):
        pass  # as `farm verify` looks at a job: nothing is to be written
    assert not out.exists()
    run(replace(job, frames="1001-1002"))
    with pytest.raises(InputError, match="exists already; give --resume"), planned(replace(job, frames="1001-1002")):
        pass


@pytest.mark.parametrize("suffix", ["png", "tif", "dpx", "mov"])
def test_a_conversion_leaves_alpha_out_of_the_curve(job, tmp_path, plate_with_alpha, suffix):
    """Colour multiplied by alpha is divided before an encoding curve, as OpenImageIO's colorconvert with unpremult."""
    target = tmp_path / "converted" / ("o.mov" if suffix == "mov" else f"o.####.{suffix}")
    grey = replace(
        job, plate=plate_with_alpha(), output=str(target), output_space="sRGB", saturation=0.0, frame_rate="24"
    )
    if suffix != "mov":
        grey = replace(grey, pixel_type="uint16")
    run(grey)
    plate, _ = read(tmp_path / "matte" / "m.1001.exr")
    light, alpha = plate[..., :3].astype(np.float64), plate[..., 3:4].astype(np.float64)
    straight = light / np.maximum(alpha, 1e-6)
    expected = np.where(straight <= 0.0031308, straight * 12.92, 1.055 * np.maximum(straight, 0) ** (1 / 2.4) - 0.055)
    if suffix == "mov":
        with open_source(target) as source:
            frame = source.read(1)
        got, kept = frame.pixels, frame.passthrough.alpha[..., None]
    else:
        pixels = oiio.ImageBuf(str(tmp_path / "converted" / f"o.1001.{suffix}"), 0, 0, _as_stored())
        got, kept = pixels.get_pixels("float")[..., :3], pixels.get_pixels("float")[..., 3:4]
    inside = (alpha[..., 0] > 0.05) & (expected.max(axis=-1) < 0.99)
    assert inside.mean() > 0.5
    tolerance = 6e-3 if suffix == "mov" else 2e-4  # ten bits of luma
    np.testing.assert_allclose(kept, alpha, atol=tolerance)
    np.testing.assert_allclose(got[inside], expected[inside], atol=tolerance)


def test_without_alpha_the_picture_is_that_over_black(job, tmp_path, plate_with_alpha):
    target = str(tmp_path / "flat" / "o.####.jpg")
    run(replace(job, plate=plate_with_alpha(), output=target, output_space="sRGB", saturation=0.0))
    plate, _ = read(tmp_path / "matte" / "m.1001.exr")
    light = np.clip(plate[..., :3], 0, 1)
    seen = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    got, _ = read(tmp_path / "flat" / "o.1001.jpg")
    assert got.shape[-1] == 3
    assert np.abs(got - seen).mean() < 0.01
    assert np.abs(got[:, :8]).max() < 0.05  # nothing shines where alpha is zero


def _as_stored():
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)
    return config
