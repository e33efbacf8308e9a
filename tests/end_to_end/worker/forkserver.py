"""Workers without the seconds that importing torch takes: a process that has imported all, and forks one for each line.

A forked worker is the real one (`colormnet.worker.process.run`) in a process of its own: killing it kills nothing
else. Only the shipped weights, as usual on the CPU, are not read from the file again by each of them. The parent runs
no threads and keeps nothing else, so the child starts as a fresh interpreter would after its imports.

A line of input: {"runtime", "cache", "device", "limits", "file_bytes", "lean", "plain", "codes", "die"}; a line of
output: the pid. "plain": loopback and named files, as where there are no Unix sockets. A process that ends by itself
leaves its exit code in the file codes/pid.
{"job": fields of a ColorizeJob} instead runs `colormnet colorize` in such a process: the straight run.
"die": {"stage": name, "count": n, "delay": seconds} makes the worker kill itself (SIGKILL) the n-th time it is there.
"hold": {"stage": name, "counts": [n, ...], "folder": path} makes it stop there: it makes the file folder/held-n and
goes on once there is folder/go-n.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2  # noqa: F401
import OpenImageIO  # noqa: F401
import torch

import colormnet.session
from colormnet import pipeline
from colormnet.job import ColorizeJob, ExemplarSpec
from colormnet.worker import buffers, chain, connection, pictures, process, server, sessions, store, tasks
from colormnet.worker.limits import WorkerLimits, WorkerPlaces


class Moment:
    """Calls ``act`` with the count whenever this process comes to its appointed place one of the ``counts``."""

    def __init__(self, stage: str, counts: list[int], act: Callable[[int], None]) -> None:
        self.stage, self.counts, self.act = stage, counts, act
        self._came = 0
        self._lock = threading.Lock()

    def at(self, stage: str) -> None:
        if stage != self.stage:
            return
        with self._lock:
            self._came += 1
            came = self._came
        if came in self.counts:
            self.act(came)

    def around(self, owner: object, name: str, stage: str) -> None:
        """Be at ``<stage>`` before and ``<stage> done`` after each call of ``owner.name``."""
        inner = getattr(owner, name)

        def outer(*given, **named):
            self.at(stage)
            result = inner(*given, **named)
            self.at(f"{stage} done")
            return result

        setattr(owner, name, outer)


def dying(plan: dict) -> Moment:
    def die(_: int) -> None:
        if plan.get("delay"):
            threading.Timer(plan["delay"], os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    return Moment(plan["stage"], [plan["count"]], die)


def holding(plan: dict) -> Moment:
    def hold(count: int) -> None:
        Path(plan["folder"], f"held-{count}").touch()
        while not Path(plan["folder"], f"go-{count}").exists():
            time.sleep(0.01)

    return Moment(plan["stage"], plan["counts"], hold)


def arm(moment: Moment) -> None:
    moment.around(connection.protocol, "admit", "hello")
    moment.around(sessions.Session, "define", "define")
    moment.around(pictures, "read_picture", "decode")
    tasks.read_picture = pictures.read_picture
    moment.around(sessions.Plates, "put", "keep plate")
    moment.around(colormnet.session, "load_model", "load weights")
    moment.around(chain.Engine, "_frame_keys", "encode")
    moment.around(chain, "step_session", "step")
    moment.around(chain.Engine, "_keep_result", "keep result")
    moment.around(chain.Engine, "_save", "snapshot")
    moment.around(store, "_digest", "before rename")
    moment.around(store.os, "replace", "rename")
    moment.around(tasks, "write_picture", "write picture")
    moment.around(connection.Connection, "answer", "answer")


def detach(errors: str) -> None:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 2)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def colorize(job: dict) -> int:
    exemplars = tuple(ExemplarSpec(*each) for each in job.pop("exemplars"))
    pipeline.run(ColorizeJob(exemplars=exemplars, **job))
    return 0


def lean() -> None:
    """Give address space back as soon as memory is free, so that a limit on the one is a limit on the other."""
    mmap_threshold = -3
    assert ctypes.CDLL(None).mallopt(mmap_threshold, 1 << 18)  # planes are mapped and unmapped one by one
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "16"  # code made for other sizes goes; read at the first use


def serve(asked: dict) -> int:
    if asked.get("file_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["file_bytes"], asked["file_bytes"]))
    if asked.get("lean"):
        lean()
    if asked.get("plain"):
        server.unix_sockets = buffers.anonymous_memory = lambda: False
    if asked.get("die"):
        arm(dying(asked["die"]))
    if asked.get("hold"):
        arm(holding(asked["hold"]))
    runtime, cache = Path(asked["runtime"]), Path(asked["cache"])
    job = process.WorkerJob(
        asked["device"],
        WorkerPlaces(runtime, cache, cache / "worker.log"),
        WorkerLimits(**asked.get("limits", {})),
        parent=asked.get("parent"),
    )
    try:
        return process.run(job)
    except process.AlreadyRunning:
        return process.AlreadyRunning.exit_code


def load_once() -> None:
    """Load the shipped model here, for all workers."""
    read = colormnet.session.load_model
    shipped = read("lite", device="cpu")

    def load_model(name="lite", weights=None, device="auto", precision="auto"):
        if (name, weights, device, precision) == ("lite", None, "cpu", "auto"):
            return shipped
        return read(name, weights, device=device, precision=precision)

    colormnet.session.load_model = load_model


def main() -> None:
    torch.set_num_threads(1)
    load_once()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed workers leave no zombies
    print("ready", flush=True)
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code, asked = 70, json.loads(line)
            try:
                detach(asked["errors"])
                code = colorize(asked["job"]) if "job" in asked else serve(asked)
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stderr.flush()
                Path(asked["codes"], str(os.getpid())).write_text(str(code))
                os._exit(code)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
