"""One real worker with the lite model for the tests of Resolve and Fusion, and the stand-ins of both hosts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
for folder in (ROOT / "tests/hosts/resolve", ROOT / "tests/hosts/fusion", ROOT / "resolve", ROOT / "plugin"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import resolve_support  # noqa: E402 - needs the paths above

from colormnet_host.client import Client  # noqa: E402
from colormnet_host.launcher import Launcher  # noqa: E402


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> resolve_support.Footage:
    """Real frames of the bundled clip: grey EXR plates and coloured stills."""
    return resolve_support.make_footage(tmp_path_factory.mktemp("footage"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """A worker of this test's own, in folders of its own, gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLORMNET_RUNTIME", str(tmp_path_factory.mktemp("run")))
        patch.setenv("COLORMNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        launcher = Launcher(device="cpu", python=sys.executable)
        with Client(launcher, name="tests") as client:
            client.connect(timeout=300)
            yield launcher
            client.stop()
