import json
from pathlib import Path

import pytest

from colormnet.errors import InputError
from colormnet.farm.shots import ShotOrder, read_shot_list, refuse_clashes, resolve
from colormnet.job import ExemplarSpec


@pytest.fixture
def order(clip_folder, tmp_path):
    return ShotOrder(
        plate=str(clip_folder / "plate" / "plate.####.png"),
        exemplars=(f"{clip_folder / 'key.png'}@1001",),
        output=str(tmp_path / "out" / "{name}.####.png"),
        segment=7,
    )


def changed(order, **fields):
    from dataclasses import replace

    return replace(order, **fields)


def test_shot_is_one_task(order):
    shot = resolve(order)
    (stage,) = shot.stages()
    assert stage.parts() == [tuple(range(1001, 1021))]
    assert shot.name == "plate"
    assert Path(shot.job.output).name == "plate.####.png"
    assert shot.job.exemplars == (ExemplarSpec(order.exemplars[0].removesuffix("@1001"), frame=1001),)


def test_segments_are_a_chain_that_covers_every_frame_once(order):
    stages = resolve(changed(order, mode="segments")).stages()
    assert [stage.name for stage in stages] == ["segment_001", "segment_002", "segment_003"]
    assert [len(stage.parts()) for stage in stages] == [1, 1, 1]
    assert [number for stage in stages for number in stage.frames] == list(range(1001, 1021))


def test_parallel_is_a_prepass_and_then_tasks_at_once_on_its_starts(order):
    shot = resolve(changed(order, mode="parallel"))
    prepass, colour = shot.stages()
    assert prepass.is_prepass
    assert [part[0] for part in colour.parts()] == [1001, 1008, 1015]
    assert shot.job.prepass_every == 7


def test_parallel_of_one_segment_needs_no_prepass(order):
    shot = resolve(changed(order, mode="parallel", segment=50))
    assert [stage.is_prepass for stage in shot.stages()] == [False]


def test_steps_between_frames_are_kept(order):
    shot = resolve(changed(order, frames="1001-1019x2", mode="segments"))
    assert shot.stages()[1].frames == (1015, 1017, 1019)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "fast"}, "mode 'fast'"),
        ({"segment": 0}, "Segments of 0"),
        ({"mode": "segments", "output": "shot.mov"}, "cannot write one movie"),
        ({"frames": "1001-1030"}, "1021"),
        ({"frames": "1001-1010:2"}, "step as x"),
        ({"output": "a\nb.####.png"}, "control character"),
        ({"exemplars": ()}, "No exemplar"),
    ],
)
def test_what_cannot_be_is_refused(order, fields, message):
    with pytest.raises(InputError, match=message):
        resolve(changed(order, **fields))


def test_a_csv_list(order, clip_folder, tmp_path):
    path = tmp_path / "shots.csv"
    path.write_text(
        "name, plate, exemplar, frames, mode, working_size, confidence\n"
        f"sh010,{clip_folder}/plate/plate.####.png,{clip_folder}/key.png@1001,1001-1010,segments,64,no\n"
        f'sh020,"{clip_folder}/plate/plate.####.png",{clip_folder}/key.png;{clip_folder}/key.png@1005,,,,\n'
    )
    one, two = read_shot_list(path, order)
    assert (one.name, len(one.frames), one.mode, one.job.working_size) == ("sh010", 10, "segments", 64)
    assert (two.name, len(two.frames), two.mode, two.job.working_size) == ("sh020", 20, "shot", None)
    assert [spec.frame for spec in two.job.exemplars] == [None, 1005]
    assert Path(two.job.output).name == "sh020.####.png"


def test_a_json_list_with_paths_from_its_own_folder(order, clip_folder, tmp_path):
    path = clip_folder / "shots.json"
    path.write_text(json.dumps({"shots": [{"name": "a b", "plate": "plate/plate.####.png", "exemplars": ["key.png"]}]}))
    (shot,) = read_shot_list(path, changed(order, exemplars=()))
    assert shot.name == "a_b"
    assert shot.job.plate == str(clip_folder / "plate" / "plate.####.png")
    path.unlink()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no shots"),
        ("name,plates\nx,y\n", "Shot 1 .*column 'plates' is unknown"),
        ("name,working_size\nx,big\n", "'big' is not a number for working_size"),
        ("name,confidence\nx,maybe\n", "neither yes nor no"),
        ("name,plate\nx,/nowhere/p.####.exr\n", "Shot 1 .*no file"),
    ],
)
def test_bad_lists_are_refused_by_line(order, tmp_path, text, message):
    path = tmp_path / "shots.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_shot_list(path, order)


def test_shots_that_would_overwrite_each_other_are_refused(order):
    one = resolve(changed(order, name="a"))
    with pytest.raises(InputError, match="name a"):
        refuse_clashes([one, one])
    two = resolve(changed(order, name="b", output=one.job.output))
    with pytest.raises(InputError, match="output"):
        refuse_clashes([one, two])
