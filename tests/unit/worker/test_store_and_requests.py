"""Files that are whole or absent and bounded; requests checked at the edge; names of results."""

import errno
import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colormnet.errors import InputError
from colormnet.worker import requests
from colormnet.worker.chain import extend
from colormnet.worker.limits import WorkerLimits
from colormnet.worker.outputs import Outputs
from colormnet.worker.planes import pack, plane_digest, unpack
from colormnet.worker.store import Store
from colormnet_host.session import runs


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_what_is_kept_is_found_again_also_by_the_next_worker(tmp_path):
    store = Store(tmp_path, 10**6)
    assert store.put("shot", "results", "a", b"content")
    assert store.get("shot", "results", "a") == b"content"
    again = Store(tmp_path, 10**6)
    assert again.get("shot", "results", "a") == b"content"
    assert again.total_bytes == store.total_bytes == 7
    assert list(again.keys("shot", "results")) == ["a"]
    assert again.get("shot", "results", "b") is None


@pytest.mark.parametrize(
    "harm", [lambda c: c[:-1], lambda c: b"", lambda c: c[:3] + b"X" + c[4:], lambda c: c + b"more"]
)
def test_damaged_files_are_not_used_and_go(tmp_path, harm):
    store = Store(tmp_path, 10**6)
    store.put("shot", "snapshots", "a", b"0123456789")
    (path,) = files(tmp_path)
    path.write_bytes(harm(path.read_bytes()))
    again = Store(tmp_path, 10**6)
    assert again.path("shot", "snapshots", "a") is None
    assert again.damaged == 1
    for opened in (store, again):
        assert opened.get("shot", "snapshots", "a") is None
        assert not opened.has("shot", "snapshots", "a")
    assert files(tmp_path) == []


def test_leftovers_of_a_killed_worker_go(tmp_path):
    store = Store(tmp_path, 10**6)
    store.put("shot", "results", "a", b"x")
    (tmp_path / "shot" / "results" / ".part-99-1").write_bytes(b"half")
    (tmp_path / "shot" / "results" / ".sess.tmp").write_bytes(b"half")
    Store(tmp_path, 10**6)
    assert len(files(tmp_path)) == 1


def test_the_least_recently_used_session_loses_its_cheapest_files_first(tmp_path):
    store = Store(tmp_path, 60)
    for session in ("old", "new"):
        for kind in ("plates", "snapshots", "results"):
            assert store.put(session, kind, "a", b"0123456789")
    assert store.total_bytes == 60
    store.put("new", "results", "b", b"0123456789")
    assert not store.has("old", "results", "a")
    assert store.has("old", "snapshots", "a")
    store.put("new", "results", "c", b"0123456789")
    assert not store.has("old", "snapshots", "a")
    assert store.has("old", "plates", "a")
    for key in "defgh":
        store.put("new", "results", key, b"0123456789")
    assert store.total_bytes <= 60
    assert not store.has("old", "plates", "a")
    assert store.has("new", "plates", "a")
    assert store.has("new", "results", "h")


def test_a_smaller_limit_holds_from_the_next_start_on(tmp_path):
    store = Store(tmp_path, 60)
    for session in ("old", "new"):
        for kind in ("plates", "snapshots", "results"):
            store.put(session, kind, "a", b"0123456789")
    (tmp_path / "new" / "results" / "a folder of somebody's").mkdir()
    os.utime(next((tmp_path / "old" / "plates").iterdir()), (1, 1))
    again = Store(tmp_path, 30)
    assert again.total_bytes == sum(path.stat().st_size for path in files(tmp_path)) == 30


def test_thinning_keeps_the_ends_and_spreads_the_rest(tmp_path):
    store = Store(tmp_path, 10**6)
    for index in range(12):
        store.put("shot", "snapshots", f"{index:02}", b"x" * (index + 1))
        store._sessions["shot"].entries["snapshots", f"{index:02}"].made = float(index)
    store.thin("shot", "snapshots", 4)
    left = sorted(int(key) for key in store.keys("shot", "snapshots"))
    assert len(left) == 4
    assert {left[0], left[-1]} == {0, 11}
    assert max(b - a for a, b in pairwise(left)) <= 6
    assert len(files(tmp_path)) == 4


def test_a_disk_that_cannot_be_written_is_told_and_tried_again(tmp_path):
    store = Store(tmp_path, 10**6)
    tries = []

    def full(path):
        tries.append(path)
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store.put("shot", "results", "old", b"something to give up")
    assert not store.save("shot", "snapshots", "a", full)
    assert "No space left" in store.note
    assert len(tries) == 2  # the second after making room
    assert not store.has("shot", "results", "old")
    assert files(tmp_path) == []
    assert store.put("shot", "results", "b", b"x")
    assert "No space left" in store.note  # snapshots still cannot be written, as far as is known
    assert store.put("shot", "snapshots", "a", b"x")
    assert store.note == ""


def test_forgetting_leaves_nothing(tmp_path):
    store = Store(tmp_path, 10**6)
    store.put("one", "results", "a", b"x")
    store.put("two", "results", "a", b"y")
    store.forget("one")
    assert [path.parent.parent.name for path in files(tmp_path)] == ["two"]
    assert store.total_bytes == 1


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=3), st.integers(0, 2**32 - 1))
def test_planes_come_back_bit_for_bit(shapes, seed):
    chance = np.random.default_rng(seed)
    planes = [chance.integers(0, 2**32, shape, np.uint32).view(np.float32) for shape in shapes]
    head, back = unpack(pack({"mean": 0.5}, *planes))
    assert head["mean"] == 0.5
    assert [plane.tobytes() for plane in planes] == [plane.tobytes() for plane in back]
    assert plane_digest(*planes) == plane_digest(*back)


def test_names_tell_places_and_luminances_apart():
    names = {extend(start, digest, place) for start in "ab" for digest in ("1", "11") for place in (1, 11)}
    assert len(names) == 8


@settings(max_examples=60)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=40, unique=True))
def test_frames_in_any_order_survive_the_way(frames):
    assert requests.parse_frames(runs(frames)) == tuple(frames)


def test_a_range_is_short_on_the_way():
    assert runs(range(1001, 1101)) == [[1001, 1100, 1]]
    assert runs(range(10, 0, -3)) == [[10, 1, -3]]


@pytest.mark.parametrize(
    "wrong", [None, [], "1-5", [1, 1], [[1, 5]], [[1, 5, 0]], [1.0], [True], [[1, 10**7, 1]], [10**12], [[5, 1, 1]]]
)
def test_frames_that_cannot_be_meant(wrong):
    with pytest.raises(InputError):
        requests.parse_frames(wrong)


@pytest.mark.parametrize("wrong", [None, "", "relative/a.exr", "a\0b", 5, "~/a.exr", "$HOME/a.exr"])
def test_paths_are_absolute_and_never_expanded(wrong):
    with pytest.raises(InputError):
        requests.parse_path(wrong, "the plate")
    assert str(requests.parse_path("/a/$(rm -rf x)/%04d ####.exr", "the plate")) == "/a/$(rm -rf x)/%04d ####.exr"


@pytest.mark.parametrize("wrong", [{"disk_bytes": 0}, {"idle_seconds": -1.0}, {"device_fraction": 1.5}, {"models": 0}])
def test_limits_under_which_nothing_works_are_refused(wrong):
    with pytest.raises(InputError):
        WorkerLimits(**wrong)


def test_notes_of_outputs_are_followed_up_and_nothing_else_is_touched(tmp_path):
    folder = tmp_path / "writing"
    target = tmp_path / "shot [v1].0001.exr"
    outputs = Outputs(folder)
    with outputs.writing(target):
        assert len(files(folder)) == 1
    assert files(folder) == []
    mine = tmp_path / f".shot [v1].0001.{os.getpid()}-abc.partial.exr"
    theirs = tmp_path / ".shot [v1].0001.1-abc.partial.exr"
    for path in (mine, theirs, target):
        path.write_bytes(b"x")
    (folder / "note").write_text(f'["{target}", {os.getpid()}]')
    (folder / "half").write_text('["')
    Outputs(folder)
    assert sorted(path.name for path in files(tmp_path)) == sorted([theirs.name, target.name])
