"""What the tests of the Fuse share; also used by tests/end_to_end/resolve."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))


@pytest.fixture(scope="session", autouse=True)
def _luajit() -> None:
    if shutil.which("luajit") is None:
        pytest.skip("luajit is not installed (Debian package luajit): the Fuse is not run")
