import json
import os

import pytest

from colormnet.errors import InputError
from colormnet.job_state import FrameRecord, JobState, differences, fingerprint

ME = {"plate": "abc", "saturation": "1.0"}


def test_claiming_and_knowing_again(tmp_path):
    state = JobState.beside(str(tmp_path / "out" / "shot.####.exr"))
    assert state.identity() is None
    state.claim(ME)
    assert state.identity() == ME
    assert differences(ME, {"plate": "abc", "saturation": "0.5", "new": "x"}) == ["new", "saturation"]
    assert fingerprint(ME) == fingerprint(dict(reversed(ME.items())))
    assert fingerprint(ME) != fingerprint({**ME, "saturation": "0.5"})


def test_two_outputs_in_one_folder_do_not_mix(tmp_path):
    folders = {JobState.beside(str(tmp_path / name)).folder for name in ("a.####.exr", "b.####.exr", "a.mov")}
    assert len(folders) == 3
    assert JobState.beside(str(tmp_path)).folder.parent.parent == tmp_path


def test_records_survive_and_damage_counts_as_not_finished(tmp_path):
    state = JobState(tmp_path)
    record = FrameRecord("shot.1001.exr", 123, "00ff", 0.5, 2)
    state.record(1001, record)
    assert state.recorded(1001) == record
    assert state.recorded(1002) is None
    (tmp_path / "frames" / "1001.json").write_text('{"file": "sho')
    assert state.recorded(1001) is None


def test_snapshots_are_sorted_by_frames_and_the_oldest_go(tmp_path):
    state = JobState(tmp_path)
    for done in (100, 50, 9, 150):
        state.save_snapshot(done, lambda path: path.write_text("x"))
    assert list(state.snapshots()) == [9, 50, 100, 150]
    state.drop_snapshots(keep=2)
    assert list(state.snapshots()) == [100, 150]
    for keep in (3, 5):
        state.drop_snapshots(keep=keep)
        assert list(state.snapshots()) == [100, 150]
    state.clear()
    assert not state.snapshots()
    assert state.identity() is None


def test_a_failing_snapshot_leaves_the_old_one_and_no_debris(tmp_path):
    state = JobState(tmp_path)
    state.save_snapshot(50, lambda path: path.write_text("good"))

    def fail(path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        state.save_snapshot(50, fail)
    assert state.snapshots()[50].read_text() == "good"
    assert sorted(os.listdir(tmp_path)) == ["snapshot-50.ckpt"]


def test_a_damaged_identity_is_an_error_and_not_a_free_pass(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"identity": "nonsense"}))
    with pytest.raises(InputError, match="--overwrite"):
        JobState(tmp_path).identity()
