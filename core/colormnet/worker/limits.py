"""How much the worker may hold, and for how long, as typed settings checked at the edge."""

from dataclasses import dataclass, fields
from pathlib import Path

from ..errors import InputError

MIB = 1 << 20
GIB = 1 << 30


@dataclass(frozen=True)
class WorkerLimits:
    """Bounds of the worker.

    Attributes:
        disk_bytes: all sessions together; the least recently used session loses results, then snapshots, then plates.
        key_cache_bytes: keys of frames kept for another exemplar (main memory).
        plane_cache_bytes: luminance of plate frames kept in main memory beside the disk, all sessions together.
        live_states: memories kept on the device at once; the least recently used one goes to a snapshot.
        snapshots: kept per session.
        models: kept on the device at once.
        idle_seconds: without work the worker ends after this time; 0 = never.
        orphan_seconds: as `idle_seconds`, once the process that started it is gone and nobody is connected.
        connections: at once; each may have `pending` requests under way, answers it has not taken included.
        buffer_bytes: shared memory of one connection.
        message_seconds: time for a message, once begun, to arrive whole.
        device_fraction: of the device's memory that may be used (CUDA); 1.0 = all.
    """

    disk_bytes: int = 20 * GIB
    key_cache_bytes: int = 1 * GIB
    plane_cache_bytes: int = 512 * MIB
    live_states: int = 4
    snapshots: int = 20
    models: int = 2
    idle_seconds: float = 900.0
    orphan_seconds: float = 30.0
    connections: int = 32
    pending: int = 32
    buffer_bytes: int = 1 * GIB
    message_seconds: float = 10.0
    device_fraction: float = 1.0

    def __post_init__(self) -> None:
        """Raises InputError for bounds under which nothing could work."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 0 or (value < 1 and field.type in (int, "int")):
                raise InputError(f"The worker's limit {field.name} = {value} makes no sense; give a positive number.")
        if not 0.0 < self.device_fraction <= 1.0:
            raise InputError(f"A device fraction of {self.device_fraction:g} makes no sense; give more than 0 up to 1.")


@dataclass(frozen=True)
class WorkerPlaces:
    """Directories of the worker: `runtime` for sockets and locks, `cache` for sessions, `log` for the log file."""

    runtime: Path
    cache: Path
    log: Path
