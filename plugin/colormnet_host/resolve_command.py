"""The ``colormnet-resolve`` command: finds the ``resolve`` folder beside this package's and runs the pass in it."""

import importlib
import os
import sys
from typing import List, Optional


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command; the exit code (see ``colormnet-resolve --help``)."""
    top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    folder = os.environ.get("COLORMNET_RESOLVE") or os.path.join(top, "resolve")
    if not os.path.isdir(os.path.join(folder, "colormnet_resolve")):
        sys.stderr.write(
            "colormnet-resolve: {0} has no Resolve pass: run it from a checkout, or set COLORMNET_RESOLVE to its "
            "'resolve' folder.\n".format(folder)
        )
        return 2
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return int(importlib.import_module("colormnet_resolve.cli").main(argv))


if __name__ == "__main__":
    sys.exit(main())
