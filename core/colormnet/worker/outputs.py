"""Which output files are being written, so that what a killed worker left unfinished is found and removed."""

import json
import logging
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path

from ..media.atomic import PARTIAL

log = logging.getLogger(__name__)


class Outputs:
    """A folder with a note for every output under way. Notes of an earlier worker are followed up at the start."""

    def __init__(self, folder: Path) -> None:
        """``folder``: private to this worker; only one worker may use it at a time."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for note in folder.iterdir():
            self._follow_up(note)

    def _follow_up(self, note: Path) -> None:
        try:
            output, pid = json.loads(note.read_text())
            path = Path(output)
            for leftover in path.parent.glob(f".{escape(path.stem)}.{int(pid)}-*{PARTIAL}{escape(path.suffix)}"):
                log.info("removing %s, which was left unfinished", leftover)
                leftover.unlink(missing_ok=True)
        except (OSError, ValueError, TypeError) as error:
            log.warning("the note %s is of no use: %s", note, error)
        note.unlink(missing_ok=True)

    @contextmanager
    def writing(self, path: Path) -> Iterator[None]:
        """While the block runs ``path`` is being written."""
        note = self._folder / uuid.uuid4().hex
        try:
            note.write_text(json.dumps([str(path), os.getpid()]))
        except OSError as error:  # a full disk: the output may lie elsewhere and still be written
            log.warning("no note could be made of writing %s (%s)", path, error)
        try:
            yield
        finally:
            note.unlink(missing_ok=True)
