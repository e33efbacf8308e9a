import json
import os
import re
from pathlib import Path

import pytest

from colormnet.errors import InputError
from colormnet.files import partial_name
from colormnet.job_state import FrameRecord, JobState, differences, fingerprint
from colormnet.memory import snapshot

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


def test_a_failing_snapshot_leaves_the_old_one_and_no_debris_and_names_what_it_would_have_been(tmp_path, monkeypatch):
    state = JobState(tmp_path / "state")
    state.save_snapshot(50, lambda path: snapshot.write(path, {"good": 1}, {}))

    def full(self, data):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_bytes", full)
    target = state.folder / "snapshot-50.ckpt"
    expected = re.escape(f"The disk is full: {target} was not written; free some space and resume.")
    with pytest.raises(InputError, match=expected):
        state.save_snapshot(50, lambda path: snapshot.write(path, {"good": 2}, {}))
    assert snapshot.read(state.snapshots()[50]).header == {"good": 1}
    assert sorted(os.listdir(state.folder)) == ["snapshot-50.ckpt"]


def test_others_may_read_a_snapshot(tmp_path):
    """The tasks of a farm may run under several users."""
    other = tmp_path / "by the umask"
    other.touch()
    JobState(tmp_path).save_snapshot(1, lambda path: snapshot.write(path, {}, {}))
    assert JobState(tmp_path).snapshots()[1].stat().st_mode == other.stat().st_mode


def test_a_failing_record_names_itself(tmp_path, monkeypatch):
    (tmp_path / "frames").mkdir()

    def full(self, *given, **named):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    state = JobState(tmp_path)
    for act in (lambda: state.record(7, FrameRecord("a", 1, "", 1.0)), lambda: state.claim(ME)):
        with pytest.raises(InputError, match=r"The disk is full: .*(7|job)\.json was not written; free some space"):
            act()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_starting_afresh_leaves_alone_what_another_task_is_writing(tmp_path):
    state = JobState(tmp_path)
    state.record(1, FrameRecord("a", 1, "", 1.0))
    under_way = partial_name(tmp_path / "frames" / "2.json")
    under_way.touch()
    state.clear()
    assert list((tmp_path / "frames").iterdir()) == [under_way]


def test_a_damaged_identity_is_an_error_and_not_a_free_pass(tmp_path):
    (tmp_path / "job.json").write_text(json.dumps({"identity": "nonsense"}))
    with pytest.raises(InputError, match="--overwrite"):
        JobState(tmp_path).identity()
