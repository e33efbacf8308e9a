"""The most memory a process holds while something runs."""

import threading
from types import TracebackType

import psutil


class PeakResidentMemory:
    """Context manager that samples the process's resident set; ``peak`` is the highest value seen, in bytes."""

    def __init__(self, interval: float = 0.01) -> None:
        self._process = psutil.Process()
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.start = self.peak = int(self._process.memory_info().rss)

    def sample(self) -> None:
        """Take one sample now."""
        self.peak = max(self.peak, int(self._process.memory_info().rss))

    def _watch(self) -> None:
        while not self._stop.wait(self._interval):
            self.sample()

    def __enter__(self) -> "PeakResidentMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.sample()
