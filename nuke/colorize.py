"""Run by ``nuke -t``: colorize the ColorMNet nodes of a script. See colormnet_nuke/batch.py for the options."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, os.path.join(os.path.dirname(HERE), "plugin")):
    if folder not in sys.path:
        sys.path.append(folder)

from colormnet_nuke import batch  # noqa: E402 - found by the lines above

sys.exit(batch.main(sys.argv[1:]))
