"""What the way through the worker costs: a 1080p half RGB frame there and back.

    python tests/benchmarks/worker_overhead.py [--rounds 60]

Figures from one run, as multiples of a plain memory copy of the same two buffers (the plate in, the result out); of the
rounds both the fastest (what it costs on an idle machine) and the median:

- through shared memory: the client copies the plate in, the worker copies it to the answer, the client copies that out;
- inline: the same pixels through the socket both ways;
- for scale: the socket's own speed without the worker (a bare socket pair, the same bytes both ways).

The rounds of the ways alternate, so that other load on the machine hits all alike.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from colormnet_host.client import Client
from colormnet_host.job import Image
from colormnet_host.launcher import Launcher
from colormnet_host.protocol import Pixels

PIXELS = Pixels(1920, 1080, 3, "half")


def bare_echo(sock: socket.socket, size: int) -> None:
    """The other end of a socket pair: take all, give all back."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while True:
        got = 0
        while got < size:
            count = sock.recv_into(view[got:])
            if not count:
                return
            got += count
        sock.sendall(view)


def measure(rounds: int) -> dict[str, list[float]]:
    """Seconds of each round of each way."""
    data = bytearray(os.urandom(1 << 20) * (PIXELS.nbytes // (1 << 20) + 1))[: PIXELS.nbytes]
    plate, result, into = bytearray(data), bytearray(PIXELS.nbytes), bytearray(PIXELS.nbytes)
    image = Image(plate, PIXELS)
    left, right = socket.socketpair()
    threading.Thread(target=bare_echo, args=(right, PIXELS.nbytes), daemon=True).start()
    launcher = Launcher(device="cpu", python=sys.executable)
    ways: dict[str, list[float]] = {"copy": [], "shared memory": [], "inline": [], "bare socket": []}
    with Client(launcher, name="overhead") as mapped, Client(launcher, name="inline", use_mmap=False) as inline:
        mapped.connect()
        inline.connect()

        def copy() -> None:
            result[:] = plate
            into[:] = result

        def bare() -> None:
            sender = threading.Thread(target=left.sendall, args=(plate,))
            sender.start()
            got, view = 0, memoryview(into)
            while got < len(view):
                got += left.recv_into(view[got:])
            sender.join()

        work = {
            "copy": copy,
            "shared memory": lambda: mapped.echo(image, into),
            "inline": lambda: inline.echo(image, into),
            "bare socket": bare,
        }
        for turn in range(rounds + 3):
            for name, way in work.items():
                into[:16] = bytes(16)
                begun = time.perf_counter()
                way()
                spent = time.perf_counter() - begun
                if into != plate:
                    raise SystemExit(f"{name}: the pixels that came back are not those that were sent")
                if turn >= 3:  # the first ones touch the memory for the first time
                    ways[name].append(spent)
        mapped.stop()
    left.close()
    return ways


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COLORMNET_RUNTIME"] = str(Path(folder) / "run")
        os.environ["COLORMNET_CACHE"] = str(Path(folder) / "cache")
        seconds = measure(rounds)
    for what, choose in (("fastest", min), ("median", statistics.median)):
        value = {name: choose(each) for name, each in seconds.items()}
        for name, each in value.items():
            print(f"{what:8} {name:14} {each * 1000:8.2f} ms   {each / value['copy']:5.2f} x copy")
        print(f"{what:8} shared memory is {value['inline'] / value['shared memory']:.2f} times as fast as inline")
        print(json.dumps({what: {name: round(each / value["copy"], 2) for name, each in value.items()}}))


if __name__ == "__main__":
    main()
