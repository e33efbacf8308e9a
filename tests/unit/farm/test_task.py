import json
import random
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from colormnet.errors import InputError, InterruptedRun
from colormnet.farm.task import Selection, Task, from_openjd, kept_request, run_task
from colormnet.job_state import JobState
from colormnet.media.notation import frames_text
from colormnet.pipeline import run

from .conftest import FIRST, FRAMES, StopAfter, content, content_of

ALL = list(range(FIRST, FIRST + FRAMES))


@pytest.fixture(scope="module")
def whole_run(clip_folder, random_lite, tmp_path_factory):
    """The frames of `colormnet colorize`, straight through."""
    from colormnet.job import ColorizeJob, ExemplarSpec

    folder = tmp_path_factory.mktemp("whole")
    run(
        ColorizeJob(
            plate=str(clip_folder / "plate" / "plate.####.png"),
            exemplars=(ExemplarSpec(str(clip_folder / "key.png"), frame=FIRST),),
            output=str(folder / "shot.####.png"),
            weights=random_lite,
            device="cpu",
            working_size=48,
        )
    )
    return content(folder)


def go(job, models, progress=None, **selection):
    watch = progress or StopAfter()
    return run_task(Task(job, Selection(**selection)), watch, watch.stop, models)


def cuts(size):
    return [frames_text(ALL[place : place + size]) for place in range(0, FRAMES, size)]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_wherever_the_scheduler_cuts_the_frames_are_those_of_colorize(job, models, whole_run, size):
    for part in cuts(size):
        go(job, models, part=part)
    assert content_of(job) == whole_run
    assert not JobState.beside(job.output).snapshots(), "states are cleared away when the last frame is done"


def test_any_order_gives_the_same_frames(job, models, whole_run):
    parts = cuts(6)
    random.Random(3).shuffle(parts)
    for part in parts:
        go(job, models, part=part)
    assert content_of(job) == whole_run


def test_a_chain_colours_every_frame_once(job, models):
    watch = StopAfter()
    for part in cuts(7):
        go(job, models, watch, part=part)
    assert watch.numbers == ALL


def test_twice_at_once_ends_in_the_same_files(job, models, whole_run):
    with ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(go, job, models, part=part) for part in ("1001-1012", "1001-1012", "1005-1020")]
        for task in tasks:
            task.result()
    assert content_of(job) == whole_run
    state = JobState.beside(job.output)
    assert all(state.recorded(number) for number in ALL)


def test_a_stopped_task_leaves_a_state_and_goes_on_from_it(job, models, whole_run):
    with pytest.raises(InterruptedRun):
        go(job, models, StopAfter(9))
    assert list(JobState.beside(job.output).snapshots()) == [6, 9]
    watch = StopAfter()
    report = go(job, models, watch)
    assert watch.numbers == ALL[9:]
    assert (report.written, report.skipped) == (11, 9)
    assert content_of(job) == whole_run


def test_a_stop_before_the_beginning_begins_nothing(job, models):
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRun):
        run_task(Task(job), StopAfter(), stop, models)
    assert not Path(job.output).parent.exists()


def test_finished_frames_are_left_alone(job, models):
    go(job, models)
    before = {path: path.stat().st_mtime_ns for path in Path(job.output).parent.glob("*.png")}
    report = go(job, models, part="1003-1009")
    assert (report.written, report.skipped) == (0, 7)
    assert before == {path: path.stat().st_mtime_ns for path in Path(job.output).parent.glob("*.png")}


def test_a_damaged_state_is_passed_over(job, models, whole_run):
    go(job, models, part="1001-1007")
    go(job, models, part="1008-1014")
    snapshots = JobState.beside(job.output).snapshots()
    newest = snapshots[14]
    newest.write_bytes(newest.read_bytes()[:1000])
    watch = StopAfter()
    go(job, models, watch, part="1015-1020")
    assert content_of(job) == whole_run
    assert "damaged" in watch.notes[-1]


@pytest.mark.parametrize(
    ("change", "item"),
    [
        ({"saturation": 0.5}, "saturation"),
        ({"working_size": 32}, "working size"),
        ({"frames": "1001-1010"}, "frames"),
        ({"prepass_every": 7}, "memory from"),
    ],
)
def test_another_job_in_the_same_place_is_refused(job, models, change, item):
    go(job, models, part="1001-1003")
    before = content_of(job)
    with pytest.raises(InputError, match=f"belongs to another job.*{item}"):
        go(replace(job, **change), models)
    assert content_of(job) == before


def test_frames_of_unknown_origin_are_never_replaced(job, models):
    stranger = Path(job.output.replace("####", "1004"))
    stranger.parent.mkdir()
    stranger.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists already"):
        go(job, models)
    assert stranger.read_bytes() == b"mine"


def test_a_record_of_another_fingerprint_counts_as_unfinished(job, models, whole_run):
    go(job, models)
    record = JobState.beside(job.output).folder / "frames" / "1005.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "fingerprint": "older"}))
    Path(job.output.replace("####", "1005")).write_bytes(whole_run["shot.1004.png"])
    report = go(job, models)
    assert report.written == 1
    assert content_of(job) == whole_run


def test_the_request_is_kept_beside_the_output(job, models):
    go(job, models, part="1001-1002")
    assert kept_request(JobState.beside(job.output)) == job


# --- parallel ---------------------------------------------------------------------------------------------------------


def parallel(job, name):
    output = str(Path(job.output).parent.parent / name / "shot.####.png")
    return replace(job, prepass_every=7, output=output)


def test_parallel_does_not_depend_on_cuts_and_order_either(job, models, whole_run):
    results = []
    for name, size in (("a", 1000), ("b", 7), ("c", 3)):
        mine = parallel(job, name)
        go(mine, models, prepass=True)
        for part in reversed(cuts(size)):
            go(mine, models, part=part)
        results.append(content_of(mine))
    assert results[0] == results[1] == results[2]
    assert results[0].keys() == whole_run.keys()
    first = {f"shot.{number}.png" for number in ALL[:7]}
    assert all(results[0][name] == whole_run[name] for name in first), "before the first start nothing differs"
    assert results[0] != whole_run, "if this held, the mode would be identical and should be called so"


def test_parallel_needs_its_prepass(job, models):
    mine = parallel(job, "a")
    with pytest.raises(InputError, match="run the job's pre-pass task first"):
        go(mine, models, part="1008-1014")
    go(mine, models, part="1001-1007")


def test_a_prepass_can_be_stopped_and_run_twice(job, models):
    straight, stopped = parallel(job, "a"), parallel(job, "b")
    watch = StopAfter()
    go(straight, models, watch, prepass=True)
    assert watch.numbers == [1001, 1006, 1007, 1011, 1014], "memory frames, and the frame before each start"
    with pytest.raises(InterruptedRun):
        go(stopped, models, StopAfter(4), prepass=True)
    again = StopAfter()
    go(stopped, models, again, prepass=True)
    assert again.numbers == [1011, 1014]
    nothing = StopAfter()
    go(stopped, models, nothing, prepass=True)
    assert not nothing.numbers
    for mine in (straight, stopped):
        go(mine, models)
    assert content_of(straight) == content_of(stopped)


def test_parallel_in_segments_stopped_and_resumed(job, models):
    straight, stopped = parallel(job, "a"), parallel(job, "b")
    for mine in (straight, stopped):
        go(mine, models, prepass=True)
    go(straight, models)
    for after in (3, 5, 4):
        with pytest.raises(InterruptedRun):
            go(stopped, models, StopAfter(after))
    go(stopped, models)
    assert content_of(straight) == content_of(stopped)


def test_prepass_without_the_mode_is_refused(job, models):
    with pytest.raises(InputError, match="prepass-every"):
        go(job, models, prepass=True)


# --- selections -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "written"),
    [
        ({"between": (990, 1002)}, 2),
        ({"chunk": "1001-1005:2"}, 3),
        ({"part": "1001-1003,1005"}, 4),
    ],
)
def test_selections(job, models, selection, written):
    assert go(job, models, **selection).written == written


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"between": (2000, 2010)}, "no frame between 2000 and 2010"),
        ({"part": "1001-1030"}, "1021"),
        ({"chunk": "1001-1005x2"}, "steps are written"),
        ({"part": "1001-1005:2"}, "step as x"),
    ],
)
def test_selections_that_mean_nothing_are_refused(job, models, selection, message):
    with pytest.raises(InputError, match=message):
        go(job, models, **selection)


def test_contradicting_selections_are_refused():
    with pytest.raises(InputError, match="contradict"):
        Selection(part="1", chunk="1")
    with pytest.raises(InputError, match="nothing between"):
        Selection(between=(5, 1))


def test_openjd_ranges_are_translated():
    assert from_openjd("1-9:2, 20") == "1-9x2,20"


def test_a_movie_is_written_by_one_task_only(job, models):
    with pytest.raises(InputError, match="one movie"):
        go(replace(job, output=job.output.replace("shot.####.png", "shot.mov")), models, part="1001-1005")


def test_a_vanished_output_folder_is_made_again(job, models, whole_run):
    go(job, models, part="1001-1007")
    shutil.rmtree(Path(job.output).parent)
    go(job, models)
    assert content_of(job) == whole_run
