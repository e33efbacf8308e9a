"""A soak: thousands of small frames in one session of a real worker; its memory has to stay flat.

    python tests/benchmarks/worker_soak.py [--frames 2000]

Prints resident memory, open files and threads of the worker as it goes. Ends with exit code 1 when the resident memory
of the last quarter (its median) is more than 3 % above that of the second quarter: by then all caches are full.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from colormnet_host.client import Client
from colormnet_host.job import Exemplar, Image, SessionSettings
from colormnet_host.launcher import Launcher
from colormnet_host.protocol import Pixels

PIXELS = Pixels(48, 32, 3, "half")
GROWTH = 1.03


def main() -> None:
    """Run and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    frames = parser.parse_args().frames
    chance = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COLORMNET_RUNTIME"] = str(Path(folder) / "run")
        environment = {"COLORMNET_CACHE": str(Path(folder) / "cache"), "OMP_NUM_THREADS": "1"}
        # Bounds small enough to be reached in the first quarter.
        arguments = ["--disk", "64", "--keys", "16", "--planes", "1", "--snapshots", "8"]
        with Client(Launcher("cpu", sys.executable, arguments, environment), name="soak") as client:
            colour = chance.random((PIXELS.height, PIXELS.width, 3)).astype(np.float16)
            settings = SessionSettings(space="lin_rec709_srgb", working_size=32)
            exemplar = Exemplar(image=Image(colour.tobytes(), PIXELS))
            session = client.open_session("soak", settings, range(1, frames + 1), [exemplar])
            memory: list[int] = []
            begun = time.monotonic()
            for frame in range(1, frames + 1):
                grey = np.repeat(chance.random((PIXELS.height, PIXELS.width, 1)), 3, -1).astype(np.float16)
                session.submit(frame, Image(grey.tobytes(), PIXELS))
                if frame % 8 == 0 or frame == frames:
                    for _ in session.results():
                        continue
                if frame % 20 == 0:
                    status = client.status()
                    if status is None:
                        raise SystemExit("the worker has gone")
                    memory.append(status.memory_bytes)
                    if frame % 200 == 0:
                        files = len(os.listdir(f"/proc/{status.pid}/fd"))
                        threads = len(os.listdir(f"/proc/{status.pid}/task"))
                        print(
                            f"frame {frame}: {status.memory_bytes / 2**20:.1f} MiB resident, "
                            f"{status.disk_bytes / 2**20:.1f} MiB on disk, {files} files, {threads} threads, "
                            f"{frame / (time.monotonic() - begun):.1f} frames a second",
                            flush=True,
                        )
            client.stop()
    quarter = len(memory) // 4
    early, late = statistics.median(memory[quarter : 2 * quarter]), statistics.median(memory[-quarter:])
    print(f"{frames} frames, {client.restarts} restarts, resident memory late/early {late / early:.4f}")
    if late > early * GROWTH or client.restarts:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
