"""Where the worker is found, who may have put it there, and the environment it is started in."""

import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from colormnet_host import endpoint, launcher
from colormnet_host.endpoint import Endpoint, UnsafeDirectory
from colormnet_host.launcher import Launcher, WorkerUnavailable

pytestmark = pytest.mark.skipif(os.name == "nt", reason="owners and modes are those of Unix")
AS_ROOT = pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of another user")


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    path = tmp_path / "run"
    monkeypatch.setenv("COLORMNET_RUNTIME", str(path))
    endpoint.make_private(str(path))
    return path


def some_endpoint(path="/nowhere.sock", pid=None, kind="unix"):
    return Endpoint(kind, str(path), os.getpid() if pid is None else pid, (1, 0), "t" * 64, "cpu", "0.1.0")


def written(runtime, found):
    path = endpoint.endpoint_path(str(runtime), "cpu")
    endpoint.write_private(path, found.to_json())
    return Path(path)


def test_an_endpoint_file_is_private_whole_and_read_back(runtime):
    path = written(runtime, some_endpoint())
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert endpoint.read_endpoint(str(path)) == some_endpoint()
    assert [entry.name for entry in runtime.iterdir()] == ["engine-cpu.json"]


def test_a_lax_directory_of_ours_is_closed(tmp_path):
    lax = tmp_path / "lax"
    lax.mkdir(mode=0o777)
    lax.chmod(0o777)
    endpoint.make_private(str(lax))
    assert stat.S_IMODE(lax.stat().st_mode) == 0o700


@pytest.mark.parametrize("content", ["", "{", "[]", '{"kind": "unix"}', "null", '{"pid": "x"}'])
def test_half_an_endpoint_file_counts_as_none(runtime, content):
    path = runtime / "engine-cpu.json"
    endpoint.write_private(str(path), content)
    assert endpoint.read_endpoint(str(path)) is None
    assert Launcher(device="cpu").find() is None


def test_a_link_in_place_of_the_directory_is_refused(tmp_path, monkeypatch):
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    monkeypatch.setenv("COLORMNET_RUNTIME", str(link))
    with pytest.raises(UnsafeDirectory, match="link"):
        endpoint.runtime_directory(create=True)
    with pytest.raises(WorkerUnavailable, match="not safe"):
        Launcher(device="cpu").connect("test")


def test_an_endpoint_file_others_can_read_is_refused(runtime):
    path = written(runtime, some_endpoint())
    path.chmod(0o644)
    with pytest.raises(WorkerUnavailable, match="other users"):
        Launcher(device="cpu").find()


@AS_ROOT
def test_another_users_directory_is_refused_by_both_sides(runtime):
    written(runtime, some_endpoint())
    os.chown(runtime, 12345, 12345)
    with pytest.raises(WorkerUnavailable, match="12345"):
        Launcher(device="cpu").connect("test")
    with pytest.raises(WorkerUnavailable, match="12345"):
        Launcher(device="cpu", python=sys.executable).start()
    from colormnet.errors import InputError
    from colormnet.worker.process import default_places

    with pytest.raises(InputError, match="12345"):
        default_places("cpu")


@AS_ROOT
def test_another_users_endpoint_file_is_refused(runtime):
    path = written(runtime, some_endpoint())
    os.chown(path, 12345, 12345)
    with pytest.raises(WorkerUnavailable, match="12345"):
        Launcher(device="cpu").find()


def test_the_endpoint_of_a_dead_worker_and_its_socket_are_removed(runtime):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    path = runtime / "w1.sock"
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.close()
    file = written(runtime, some_endpoint(path, dead.pid))
    assert Launcher(device="cpu").connect("test") is None
    assert not file.exists()
    assert not path.exists()


def test_nobody_is_dialled_but_this_machine():
    with pytest.raises(OSError, match="not this machine"):
        endpoint.dial(some_endpoint("192.0.2.1:80", kind="tcp"))
    with pytest.raises(OSError, match="unknown kind"):
        endpoint.dial(some_endpoint("x", kind="carrier pigeon"))


def test_the_socket_fits_where_the_runtime_directory_is_deep(tmp_path):
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    path = endpoint.socket_path(str(deep), "w123456.sock")
    assert len(os.fsencode(path)) <= endpoint.LONGEST_SOCKET_PATH
    assert path == endpoint.socket_path(str(deep), "w123456.sock")
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    os.rmdir(os.path.dirname(path))


def test_the_engine_gets_a_clean_environment():
    host = "/opt/Nuke15.1v3"
    dirty = {
        "PYTHONHOME": host, "PYTHONPATH": "/x", "PYTHONEXECUTABLE": "/x", "PYTHONSTARTUP": "/x", "NUKE_PATH": "/x",
        "QT_PLUGIN_PATH": "/x", "QT_QPA_PLATFORM_PLUGIN_PATH": "/x", "VIRTUAL_ENV": "/x", "CONDA_PREFIX": "/x",
        "CONDA_DEFAULT_ENV": "base", "HOME": "/home/artist", "OCIO": "/studio/config.ocio", "CUDA_VISIBLE_DEVICES": "1",
        "PATH": os.pathsep.join(["/usr/bin", host, host + "/bin", "/opt/Nuke15.1v3-tools"]),
        "LD_LIBRARY_PATH": host + "/lib",
    }  # fmt: skip
    clean = launcher.clean_environment(dirty, host)
    assert clean == {
        "HOME": "/home/artist",
        "OCIO": "/studio/config.ocio",
        "CUDA_VISIBLE_DEVICES": "1",
        "PATH": os.pathsep.join(["/usr/bin", "/opt/Nuke15.1v3-tools"]),
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
    }


def test_the_engines_python_is_found_in_the_order_that_is_promised(tmp_path, monkeypatch):
    monkeypatch.delenv("COLORMNET_PYTHON", raising=False)
    package = tmp_path / "plugin" / "colormnet_host"
    package.mkdir(parents=True)
    monkeypatch.setattr(launcher, "__file__", str(package / "launcher.py"))
    python = tmp_path / "python"
    python.write_text("")
    assert launcher.find_python()[1] == "this interpreter"
    venv = tmp_path / ".venv" / "bin" / "python"
    venv.parent.mkdir(parents=True)
    venv.write_text("")
    (tmp_path / "install.py").write_text("")
    assert launcher.find_python()[0] == str(venv)
    launcher.write_engine_config(str(package.parent), str(python))
    assert launcher.find_python()[0] == str(python)
    monkeypatch.setenv("COLORMNET_PYTHON", str(venv))
    assert launcher.find_python() == (str(venv), "COLORMNET_PYTHON")
    monkeypatch.setenv("COLORMNET_PYTHON", "/nowhere/python")
    with pytest.raises(WorkerUnavailable, match=r"install\.py"):
        launcher.find_python()


def test_an_engine_that_cannot_start_says_why(runtime, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'the roof is on fire' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(WorkerUnavailable, match="the roof is on fire"):
        Launcher(device="cpu", python=str(broken)).ensure("test", print, lambda: False, 120.0)
    with pytest.raises(WorkerUnavailable, match="could not be started"):
        Launcher(device="cpu", python=str(tmp_path / "absent")).ensure("test", print, lambda: False, 120.0)


def test_waiting_for_an_engine_can_be_cancelled_and_ends(runtime, tmp_path):
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 300\n")
    slow.chmod(0o755)
    starter = Launcher(device="cpu", python=str(slow))
    said = []
    with pytest.raises(WorkerUnavailable, match="cancelled"):
        starter.ensure("test", said.append, lambda: len(said) > 1, 120.0)
    with pytest.raises(WorkerUnavailable, match="did not answer"):
        starter.ensure("test", said.append, lambda: False, 0.3)
    assert "Starting" in said[0]
    assert starter.launches == 1
    starter.process.kill()
    starter.process.wait()
