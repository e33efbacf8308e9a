"""Put coloured EXR frames into one movie, by the engine's own Python and ffmpeg; Resolve's Python has neither."""

import os
import subprocess
import sys
from typing import Dict, List, Optional, Tuple

from .errors import Cancelled, PassError
from .progress import Reporter

SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "engine", "encode_movie.py")


def quiet_flags() -> int:
    """Creation flags that keep a console window from popping up on Windows; 0 elsewhere."""
    return getattr(subprocess, "CREATE_NO_WINDOW", 0) if sys.platform.startswith("win") else 0


class Encoder:
    """Runs ``encode_movie.py`` in the engine's environment. ``python``: its interpreter; None = the launcher's."""

    def __init__(self, python: Optional[str] = None) -> None:
        self._python = python

    def _environment(self) -> Tuple[str, Dict[str, str]]:
        """(interpreter, environment without the host's own Python and libraries)."""
        from colormnet_host import launcher

        try:
            python = self._python or launcher.find_python()[0]
        except launcher.WorkerUnavailable as error:
            raise PassError(str(error), 4) from error
        return python, launcher.clean_environment(dict(os.environ), launcher.host_folder())

    def encode(
        self, pattern: str, first: int, count: int, movie: str, codec: str, rate: str, reporter: Reporter
    ) -> None:
        """Write ``movie`` whole or not at all; raises PassError with ffmpeg's reason, Cancelled."""
        reporter.stage("Writing {0}".format(os.path.basename(movie)))
        python, environment = self._environment()
        command: List[str] = [python, SCRIPT, pattern, str(first), str(count), movie, codec, rate]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            creationflags=quiet_flags(),
        )
        try:
            while process.poll() is None:
                if reporter.cancelled():
                    raise Cancelled()
                reporter.pause(0.1)
        finally:
            if process.poll() is None:
                process.terminate()
            said = (process.communicate()[0] or b"").decode("utf-8", "replace").strip()
        for line in said.splitlines():
            if line.startswith("warning: "):
                reporter.warn(line[len("warning: ") :])
        if process.returncode != 0 or not os.path.isfile(movie):
            reason = said.splitlines()[-1] if said else "no reason given"
            raise PassError("The movie {0} could not be written ({1}): use EXR delivery instead.".format(movie, reason))
