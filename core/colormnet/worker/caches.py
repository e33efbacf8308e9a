"""What sessions keep in main memory beside the disk, all of them together, so that many shots take no more than one."""

from collections import OrderedDict
from typing import Protocol

from .planes import Plane


class RecentPlanes:
    """Luminance of plate frames, the most recently used ones up to a number of bytes. Used by the device's thread."""

    def __init__(self, limit: int) -> None:
        """``limit``: bytes; the newest plane is kept whatever its size."""
        self.limit = limit
        self.bytes = 0
        self._planes: OrderedDict[tuple[str, str], Plane] = OrderedDict()

    def put(self, session: str, key: str, plane: Plane) -> None:
        """Keep a plane; ``key`` names its content within the session."""
        old = self._planes.pop((session, key), None)
        self._planes[session, key] = plane
        self.bytes += plane.nbytes - (0 if old is None else old.nbytes)
        while self.bytes > self.limit and len(self._planes) > 1:
            self.bytes -= self._planes.popitem(last=False)[1].nbytes

    def get(self, session: str, key: str) -> Plane | None:
        """A plane that is still kept."""
        plane = self._planes.get((session, key))
        if plane is not None:
            self._planes.move_to_end((session, key))
        return plane

    def drop(self, session: str, key: str | None = None) -> None:
        """Let go of a plane, or of all of a session."""
        for each in [each for each in self._planes if each[0] == session and key in (None, each[1])]:
            self.bytes -= self._planes.pop(each).nbytes


class Prepared(Protocol):
    """Something that can be made again."""

    def release(self) -> None:
        """Let go of what takes memory."""
        ...


class RecentShots:
    """Shots with prepared exemplars (full pictures among them), the most recently used ones."""

    def __init__(self, limit: int) -> None:
        """``limit``: how many."""
        self._limit = limit
        self._shots: OrderedDict[int, Prepared] = OrderedDict()

    def use(self, shot: Prepared) -> None:
        """Note that a shot is in use; those that were not for longest are released."""
        self._shots[id(shot)] = shot
        self._shots.move_to_end(id(shot))
        while len(self._shots) > self._limit:
            self._shots.popitem(last=False)[1].release()
