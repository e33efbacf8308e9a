"""Which weights a model has now: what the hosts compare before they call a result unchanged."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from colormnet_host.client import Client, WorkerError, WorkerStatus
from colormnet_host.launcher import WorkerUnavailable
from colormnet_host.weights import WeightsFile, find_weights, renew


def test_the_shipped_weights_are_those_the_engine_loads() -> None:
    from colormnet.network.checkpoint import LITE_FILE

    found = find_weights("lite", sys.executable)
    assert Path(found.path) == LITE_FILE
    assert found.sha256 == hashlib.sha256(LITE_FILE.read_bytes()).hexdigest()


def test_the_released_weights_are_found_as_the_engine_finds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from colormnet.network.checkpoint import RELEASED_FILE

    monkeypatch.setenv("COLORMNET_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    with pytest.raises(WorkerError, match="not installed") as caught:
        find_weights("released", sys.executable)
    assert caught.value.code == "weights"
    file = tmp_path / RELEASED_FILE.name
    file.write_bytes(b"first")
    first = find_weights("released", sys.executable)
    assert (first.path, first.sha256) == (str(file), hashlib.sha256(b"first").hexdigest())
    file.write_bytes(b"another")
    assert find_weights("released", sys.executable).sha256 == hashlib.sha256(b"another").hexdigest()


def test_a_python_without_the_engine_says_so(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named colormnet' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(WorkerUnavailable, match=r"No module named colormnet.*run install"):
        find_weights("lite", str(broken))
    with pytest.raises(WorkerUnavailable, match="could not be started"):
        find_weights("lite", str(tmp_path / "nothing"))


class Worker(Client):
    """A worker that has run for ``uptime`` seconds with these models loaded."""

    def __init__(self, pid: int, uptime: float, models: tuple[str, ...] = ("lite",)) -> None:
        super().__init__()
        self.freed = 0
        values: dict[str, Any] = dict.fromkeys(WorkerStatus._fields, 0)
        self._health = WorkerStatus(**{**values, "pid": pid, "uptime": uptime, "models": models})

    def status(self, launch: bool = False) -> WorkerStatus | None:
        return self._health

    def free_gpu(self) -> bool:
        self.freed += 1
        return True


def test_a_worker_that_read_older_weights_reads_again_once() -> None:
    pid = -os.getpid()  # no other test's
    now = WeightsFile("/w", "abc", time.time() - 5)
    assert not renew(Worker(pid, uptime=1.0), now), "it started after the file came"
    assert not renew(Worker(pid, uptime=60.0, models=()), now), "it has read nothing yet"
    worker = Worker(pid, uptime=60.0)
    assert renew(worker, now)
    assert not renew(worker, now)
    assert worker.freed == 1
    assert renew(worker, now._replace(changed=time.time()))
    assert not renew(Worker(pid - 1, uptime=1.0), now._replace(changed=time.time() - 2))
