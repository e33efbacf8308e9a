"""`colormnet` that stops before a step of the network until it may go on, so that a test has its time to interrupt it.

COLORMNET_TEST_HOLD in the environment is "n:folder": it waits before its n-th step until there is a file folder/go.
"""

import os
import time
from pathlib import Path

from colormnet import pipeline
from colormnet.cli.main import run

_COUNT, _, _FOLDER = os.environ["COLORMNET_TEST_HOLD"].partition(":")
_step, _came = pipeline.step_session, [0]


def _held(*given, **named):
    _came[0] += 1
    while _came[0] == int(_COUNT) and not Path(_FOLDER, "go").exists():
        time.sleep(0.01)
    return _step(*given, **named)


pipeline.step_session = _held
run()
