import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from colormnet.errors import InputError
from colormnet.farm.session import ENDPOINT, LOG, folder_of, run_remotely, start, stop
from colormnet.farm.task import Selection, Task, run_task
from colormnet_host.endpoint import process_start, read_endpoint

from .conftest import StopAfter, content_of


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    """A running process; stopped at the end."""
    folder = tmp_path_factory.mktemp("session")
    with pytest.MonkeyPatch.context() as patch:  # as many threads as here: sums may be rounded otherwise with others
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
        start(folder, 600.0)
    yield folder
    stop(folder)


class Heard(list):
    def __call__(self, stream, text):
        self.append((stream, text))

    def text(self, stream):
        return "".join(text for where, text in self if where == stream)


def send(session, job, stop_event=None, report="openjd", **selection):
    heard = Heard()
    endpoint = str(folder_of(session) / ENDPOINT)
    code = run_remotely(endpoint, Task(job, Selection(**selection)), report, stop_event or threading.Event(), heard)
    return code, heard


def test_tasks_of_a_session_load_the_network_once_and_give_the_same_pixels(session, job, models, tmp_path):
    from dataclasses import replace

    codes = [send(session, job, part=part)[0] for part in ("1001-1009", "1010-1020")]
    assert codes == [0, 0]
    log = (folder_of(session) / LOG).read_text()
    assert log.count("loaded lite") == 1
    alone = replace(job, output=str(tmp_path / "alone" / "shot.####.png"))
    run_task(Task(alone), StopAfter(), threading.Event(), models)
    assert content_of(job) == content_of(alone)


def test_progress_errors_and_exit_codes_come_through(session, job):
    from dataclasses import replace

    code, heard = send(session, job, part="1001-1002")
    assert code == 0
    assert "openjd_progress: 100.0" in heard.text("stdout")
    code, heard = send(session, replace(job, saturation=0.2), part="1003")
    assert code == 2
    assert "openjd_fail: " in heard.text("stdout")
    assert "belongs to another job" in heard.text("stderr")
    code, _ = send(session, replace(job, weights=Path("/nowhere.safetensors")), part="1003")
    assert code == 3


def test_a_stop_is_passed_on_and_exits_with_5(session, job):
    event = threading.Event()
    event.set()
    code, heard = send(session, job, event)
    assert code in (0, 5), heard  # 0 where all was done before the word came
    if code == 5:
        assert "Stopped" in heard.text("stderr")
    assert send(session, job)[0] == 0


def test_a_task_that_is_killed_does_not_go_on_in_the_session(session, job):
    """The client vanishes; the next task of the session finds a free process and a consistent output."""
    from dataclasses import replace

    big = replace(job, working_size=160)
    words = "import sys, threading, pickle; from colormnet.farm import session; a = pickle.load(sys.stdin.buffer)\n"
    words += "session.run_remotely(*a, threading.Event(), lambda *_: None)"
    client = subprocess.Popen([sys.executable, "-c", words], stdin=subprocess.PIPE)
    import pickle

    client.stdin.write(pickle.dumps((str(folder_of(session) / ENDPOINT), Task(big), "plain")))
    client.stdin.close()
    first = Path(job.output.replace("####", "1001"))
    deadline = time.monotonic() + 120
    while not first.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    client.kill()
    client.wait()
    assert send(session, big)[0] == 0
    assert len(content_of(job)) == 20


def test_without_the_process_the_task_is_told_to_run_by_itself(tmp_path, job):
    heard = Heard()
    answer = run_remotely(str(tmp_path / ENDPOINT), Task(job), "plain", threading.Event(), heard)
    assert answer is None
    assert "the task runs by itself" in heard.text("stderr")


def test_strangers_are_not_let_in(session, job, tmp_path):
    endpoint = read_endpoint(str(folder_of(session) / ENDPOINT))
    forged = tmp_path / "private"
    forged.mkdir(mode=0o700)
    (forged / ENDPOINT).write_text(endpoint._replace(token="0" * 64).to_json())
    (forged / ENDPOINT).chmod(0o600)
    heard = Heard()
    assert run_remotely(str(forged / ENDPOINT), Task(job), "plain", threading.Event(), heard) is None
    assert "does not know the token" in heard.text("stderr")
    code, heard = send(session, job, part="1001")
    assert code == 0, (heard, "the process goes on serving those who belong to it")


def test_starting_twice_is_one_process_and_stopping_ends_it(session):
    path = start(session, 120.0)
    endpoint = read_endpoint(str(path))
    assert start(session, 120.0) == path
    assert read_endpoint(str(path)) == endpoint
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
    assert stop(session)
    assert process_start(endpoint.pid) is None
    assert not stop(session)
    assert sorted(os.listdir(path.parent)) == [LOG]


def test_a_place_that_cannot_hold_a_session_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="choose another"):
        start(tmp_path / "file", 1.0)
