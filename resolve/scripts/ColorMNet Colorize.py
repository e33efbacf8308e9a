"""Workspace > Scripts > ColorMNet Colorize: colour the clip under the playhead from a reference picture."""

import os
import sys

# Written by `install.py host resolve`; `__file__` does not exist when Resolve runs a script from its menu.
HOME = r"@COLORMNET_HOME@"
PYTHON = r"@COLORMNET_PYTHON@"


def _main():
    folders = [os.path.join(HOME, "resolve"), os.path.join(HOME, "plugin")]
    missing = [folder for folder in folders if not os.path.isdir(folder)]
    if missing:
        print(
            "ColorMNet: {0} is missing: run 'install.py host resolve' again from where ColorMNet is now.".format(
                missing[0]
            )
        )
        return
    for name in [n for n in sys.modules if n.split(".")[0] in ("colormnet_resolve", "colormnet_host")]:
        del sys.modules[name]  # Resolve keeps its Python alive: an update would otherwise not be seen
    for folder in folders:
        if folder not in sys.path:
            sys.path.insert(0, folder)
    if os.path.isfile(PYTHON):
        os.environ.setdefault("COLORMNET_PYTHON", PYTHON)  # the engine's, never Resolve's own
    from colormnet_resolve import menu

    menu.run(globals())


_main()
