"""Loaded by Nuke in every mode when this folder is on NUKE_PATH: puts the packages in reach, registers callbacks."""

import os
import sys

import nuke

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (HERE, os.path.join(os.path.dirname(HERE), "plugin")):
    if folder not in sys.path:
        sys.path.append(folder)
nuke.pluginAppendPath(os.path.join(HERE, "icons").replace("\\", "/"), addToSysPath=False)

from colormnet_nuke import callbacks  # noqa: E402 - found by the lines above

callbacks.register()
