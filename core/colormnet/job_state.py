"""What a run keeps beside its output: which job it belongs to, what is finished, and snapshots to go on from.

Everything lies in one folder, ``.colormnet/<name of the output>/`` beside the output:

- ``job.json``: the job's identity, item by item, and its fingerprint;
- ``frames/<number>.json``: size, SHA-256 and confidence of each finished picture file;
- ``snapshot-<n>.ckpt``: the session after n frames.

Each file appears whole or not at all, so several tasks of one job may share the folder.
"""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import InputError
from .files import temporary_beside, whole_file
from .media.atomic import prepare_folder
from .media.notation import has_pattern, is_movie, parse_pattern

STATE_FOLDER = ".colormnet"
_SNAPSHOT = re.compile(r"snapshot-(\d+)\.ckpt")


def write_whole(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file in the same folder (made if need be), then give it its name.

    Raises InputError.
    """
    prepare_folder(path.parent, path.name)
    with whole_file(path) as temporary:
        write(temporary)


def create_whole(path: Path, text: str) -> None:
    """Give ``path`` its content unless it exists: of several that try at once, the first wins. Raises InputError."""
    prepare_folder(path.parent, path.name)
    with temporary_beside(path) as temporary:
        _write_text(temporary, text)
        try:
            os.link(temporary, path)  # unlike a rename, it fails where the name is taken
        except FileExistsError:
            return
        except OSError:  # a file system without hard links
            if not path.exists():
                os.replace(temporary, path)


def file_identity(path: Path) -> str:
    """Name, size and time of change: cheap, and differs after every edit of a plate."""
    stat = path.stat()
    return f"{path.name} {stat.st_size} {stat.st_mtime_ns}"


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class FrameRecord:
    """A finished frame: the picture file's size in bytes and SHA-256, the mean confidence, the job's fingerprint."""

    file: str
    bytes: int
    sha256: str
    confidence: float
    non_finite: int = 0
    fingerprint: str = ""


class JobState:
    """The state folder of one output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @staticmethod
    def beside(output: str) -> "JobState":
        """The state folder for an output pattern, movie, picture or directory."""
        path = Path(output)
        if os.path.isdir(path) or not path.suffix:
            return JobState(path / STATE_FOLDER / "frames_in_folder")
        # Of all notations of one sequence the same folder: a run may be resumed with %04d that was begun with ####.
        name = str(parse_pattern(output)) if has_pattern(output) and not is_movie(output) else output
        safe = re.sub(r"[^\w.+-]+", "_", Path(name).name)
        return JobState(path.parent / STATE_FOLDER / safe)

    # --- identity -------------------------------------------------------------------------------------------------

    def identity(self) -> dict[str, str] | None:
        """The identity of the job that the folder belongs to, or None."""
        try:
            stored = json.loads((self.folder / "job.json").read_text(encoding="utf-8"))
            return {str(key): str(value) for key, value in stored["identity"].items()}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, AttributeError, OSError) as error:
            raise InputError(
                f"{self.folder / 'job.json'} cannot be read ({error}); start afresh with --overwrite."
            ) from error

    def claim(self, identity: Mapping[str, str]) -> None:
        """Make the folder this job's; of several that try at once, one job gets it.

        Raises InputError where it belongs to another job.
        """
        text = json.dumps({"fingerprint": fingerprint(identity), "identity": dict(identity)}, indent=1)
        if self.identity() is None:
            create_whole(self.folder / "job.json", text)
        if other := differences(self.identity() or {}, identity):
            raise InputError(
                f"{self.folder} belongs to another job (it differs in: {', '.join(other)}); choose another output."
            )

    def clear(self) -> None:
        """Forget everything: identity, records and snapshots."""
        for path in (*self.folder.glob("snapshot-*.ckpt"), *(self.folder / "frames").glob("[!.]*.json")):
            path.unlink(missing_ok=True)
        (self.folder / "job.json").unlink(missing_ok=True)

    # --- finished frames ------------------------------------------------------------------------------------------

    def record(self, number: int, record: FrameRecord) -> None:
        """Note a finished frame."""
        text = json.dumps(vars(record))
        write_whole(self.folder / "frames" / f"{number}.json", lambda path: _write_text(path, text))

    def recorded(self, number: int) -> FrameRecord | None:
        """The record of a finished frame, or None where there is none or it is damaged."""
        try:
            return FrameRecord(**json.loads((self.folder / "frames" / f"{number}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    # --- snapshots ------------------------------------------------------------------------------------------------

    def save_snapshot(self, frames_done: int, save: Callable[[Path], None]) -> None:
        """Keep the session as it is after ``frames_done`` frames.

        ``save`` writes the file whole or not at all, as `Colorizer.save` does, so that an error names the snapshot.
        """
        path = self.folder / f"snapshot-{frames_done}.ckpt"
        prepare_folder(path.parent, path.name)
        save(path)

    def snapshots(self) -> dict[int, Path]:
        """Frames done -> snapshot file, ascending."""
        if not self.folder.is_dir():
            return {}
        found = {
            int(match[1]): path
            for path in self.folder.iterdir()
            if (match := _SNAPSHOT.fullmatch(path.name)) is not None
        }
        return dict(sorted(found.items()))

    def drop_snapshots(self, keep: int) -> None:
        """Remove all but the newest ``keep``."""
        paths = list(self.snapshots().values())
        for path in paths[: max(0, len(paths) - keep)]:
            path.unlink(missing_ok=True)


def fingerprint(identity: Mapping[str, str]) -> str:
    """One hexadecimal number for all that decides the result."""
    canonical = json.dumps(dict(sorted(identity.items())), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def differences(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names of the items in which two identities differ."""
    return sorted(key for key in {*one, *other} if one.get(key) != other.get(key))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
