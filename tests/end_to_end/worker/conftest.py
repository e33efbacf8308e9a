"""Workers and plates for the tests below; the same file serves tests/unit/worker and tests/unit/host_client."""

import importlib.util
import sys
from pathlib import Path

import pytest

RIG = Path(__file__).parents[2] / "end_to_end" / "worker" / "rig.py"


def _rig():
    if "worker_rig" not in sys.modules:
        spec = importlib.util.spec_from_file_location("worker_rig", RIG)
        module = importlib.util.module_from_spec(spec)
        sys.modules["worker_rig"] = module
        spec.loader.exec_module(module)
    return sys.modules["worker_rig"]


@pytest.fixture(scope="session")
def rig():
    return _rig()


@pytest.fixture(scope="session")
def fork_server(rig):
    return rig.fork_server()


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A place of its own for a worker; also for the launchers of this process."""
    monkeypatch.setenv("COLORMNET_RUNTIME", str(tmp_path / "w" / "run"))
    return tmp_path / "w"


@pytest.fixture
def launcher(rig, fork_server, places):
    """Starts workers quickly; none is left when the test ends."""
    found = rig.ForkLauncher(fork_server, places)
    yield found
    fork_server.kill()


@pytest.fixture(scope="session")
def shot(rig, tmp_path_factory):
    """Twelve plates, an exemplar, and what `colormnet colorize` makes of them."""
    return rig.twelve_frames(tmp_path_factory.getbasetemp() / "worker shot")
