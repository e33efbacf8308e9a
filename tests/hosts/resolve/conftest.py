"""What the tests of the Resolve pass share; also used by tests/end_to_end/resolve."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
for folder in (HERE, ROOT / "resolve", ROOT / "plugin"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import resolve_support  # noqa: E402 - needs the paths above
from resolve_standin import World  # noqa: E402


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> resolve_support.Footage:
    """Real frames of the bundled clip: grey EXR plates and one coloured still."""
    return resolve_support.make_footage(tmp_path_factory.mktemp("footage"))


@pytest.fixture
def world(footage: resolve_support.Footage) -> World:
    """A project with one timeline of three clips, the playhead on the second."""
    return resolve_support.three_clips(footage)
