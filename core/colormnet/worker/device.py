"""The one thread that touches the network. It takes turns between sessions, one step at a time."""

import contextlib
import logging
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from .answers import Cancelled, MemoryTooSmall, Stopping, expected, out_of_memory
from .chain import Engine, release_device_memory
from .limits import WorkerLimits
from .outputs import Outputs

if TYPE_CHECKING:
    from ..session import Model

log = logging.getLogger(__name__)

PREFETCH = 2  # tasks of each session that are read and prepared ahead
FINISHING = 4  # frames that may wait for being finished and written
RATE_WINDOW = 60.0  # seconds


ModelChoice = tuple[str, str | None, str]  # model, weights, precision


class Task:
    """A request of a session. The device's thread calls `run`; the pool `prepare` before and `finish` after it."""

    model: ModelChoice | None = None  # loaded before `prepare`

    def __init__(self, session: str) -> None:
        self.session = session
        self.cancelled = threading.Event()
        self.prepared: Future[Any] | None = None

    def prepare(self) -> Any:
        """Work that needs neither the network nor the session's state; in any order, in the pool."""
        return None

    def run(self) -> Generator[Any, None, Any]:
        """Work on the session's state and the network, one step for each ``yield``."""
        raise TypeError(f"{type(self).__name__} does not say what to run")

    def finish(self, result: Any) -> None:
        """What remains to do with the result, and the answer; in the pool."""

    def fail(self, error: BaseException) -> None:
        """Answer that it did not work out."""

    def said(self, stage: str, message: str, done: int = 0, total: int = 0) -> None:
        """Progress."""


class Models:
    """Models on the device, the most recently used ones."""

    def __init__(
        self,
        load: "Callable[[str, str | None, str], Model]",
        limits: WorkerLimits,
        let_go: "Callable[[Model], object]" = lambda model: None,
    ) -> None:
        """``load``: model, weights, precision -> Model. ``let_go``: have others forget a model that has to leave."""
        self._load = load
        self._let_go = let_go
        self._limit = limits.models
        self._loaded: OrderedDict[ModelChoice, Model] = OrderedDict()
        self.working_sizes: dict[ModelChoice, int] = {}  # default short side of every model that was ever loaded

    def has(self, choice: ModelChoice) -> bool:
        """Whether it can be had without loading."""
        return choice in self._loaded

    def get(self, choice: ModelChoice) -> "Model":
        """The model, loaded if need be. Raises WeightsError, DeviceError (OutOfMemoryError)."""
        if choice not in self._loaded:
            self._shrink(self._limit - 1)
            model = self._load_somehow(choice)
            self.working_sizes[choice] = model.default_working_size
            self._loaded[choice] = model
        self._loaded.move_to_end(choice)
        return self._loaded[choice]

    def _load_somehow(self, choice: ModelChoice) -> "Model":
        """The model, loaded beside the others or, where memory is short, without them. Raises as `get`."""
        try:
            return self._read(choice)
        except Exception as error:
            if not out_of_memory(error):
                raise
            traceback.clear_frames(error.__traceback__)  # they hold what was loaded so far
        self._shrink(0)
        try:
            return self._read(choice)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise MemoryTooSmall(
                f"Memory ran out while the weights of the {choice[0]} model were loaded ({error}); free memory on the "
                "device or choose the CPU.",
                0,
            ) from error

    def _read(self, choice: ModelChoice) -> "Model":
        try:
            return self._load(*choice)
        except OSError as error:
            what = choice[1] or f"of the {choice[0]} model"
            raise WeightsError(f"The weights {what} cannot be read ({error.strerror}); check the path.") from error

    def keep_only(self, model: "Model") -> None:
        """Take all others off the device."""
        self._shrink(0, model)

    def _shrink(self, count: int, keep: "Model | None" = None) -> None:
        """Take the least recently used models off the device until ``count`` are left."""
        for choice in list(self._loaded)[: max(0, len(self._loaded) - count)]:
            if self._loaded[choice] is not keep:
                self._let_go(self._loaded.pop(choice))
        release_device_memory()

    def names(self) -> list[str]:
        """Names of the models on the device."""
        return [name if weights is None else f"{name} ({weights})" for name, weights, _ in list(self._loaded)]

    def clear(self) -> None:
        """Take all off the device."""
        self._shrink(0)


class Device:
    """Queues by session, served in turns."""

    def __init__(self, engine: Engine, models: Models, outputs: Outputs) -> None:
        self.engine = engine
        self.outputs = outputs
        self.models = models
        self.state = "idle"
        self.last_work = time.monotonic()
        self.busy_seconds = 0.0
        self._queues: OrderedDict[str, deque[Task]] = OrderedDict()
        self._begun: dict[str, Generator[Any, None, Any]] = {}  # of the first task of a queue
        self._controls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._condition = threading.Condition()
        self._pool = ThreadPoolExecutor(max_workers=4, thread_name_prefix="colormnet-frames")
        self._finishing = 0
        self._stopping = False
        self._steps: deque[tuple[float, float]] = deque()  # (when, seconds) of the last steps
        self._thread = threading.Thread(target=self._work, name="colormnet-device", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    # --- called by connections ------------------------------------------------------------------------------------

    def submit(self, task: Task) -> None:
        """Add a task at the end of its session's queue."""
        with self._condition:
            if not self._stopping:
                self._queues.setdefault(task.session, deque()).append(task)
                self._condition.notify()
                return
        task.fail(Stopping())

    def cancel(self, task: Task) -> None:
        """Give a task up: now if it was not begun, else before its next step."""
        task.cancelled.set()
        with self._condition:
            queue = self._queues.get(task.session)
            if queue and task in queue and (queue[0] is not task or task.session not in self._begun):
                queue.remove(task)
            self._condition.notify()

    def call(self, function: Callable[[], Any]) -> "Future[Any]":
        """Have ``function`` called by the device's thread between two steps."""
        future: Future[Any] = Future()
        with self._condition:
            if self._stopping:
                future.set_exception(Stopping())
                return future
            self._controls.append((function, future))
            self._condition.notify()
        return future

    def waiting(self) -> int:
        """Tasks not yet finished."""
        with self._condition:
            return sum(len(queue) for queue in self._queues.values()) + self._finishing

    def rate(self) -> float:
        """Steps per second of work over the last minute."""
        with self._condition:
            self._trim()
            spent = sum(seconds for _, seconds in self._steps)
            return len(self._steps) / spent if spent else 0.0

    def stop(self, timeout: float = 600.0) -> None:
        """Finish the step in hand and what was coloured, refuse the rest, bring all memories to disk."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        self._thread.join(timeout)
        self._pool.shutdown(wait=True, cancel_futures=False)

    # --- the thread -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._condition:
                while not (self._stopping or self._controls or self._turn() is not None):
                    self.state = "idle" if not self._queues and not self._finishing else self.state
                    self._condition.wait()
                if self._stopping:
                    break
                control = self._controls.popleft() if self._controls else None
                turn = None if control else self._turn()
            if control is not None:
                self._control(*control)
            elif turn is not None:
                self._serve(turn)
            control = turn = None
        self._end()

    def _control(self, function: Callable[[], Any], future: "Future[Any]") -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # raised where the future is asked
            future.set_exception(error)

    def _turn(self) -> str | None:
        """The next session whose first task can go on. Called under the lock."""
        if self._finishing >= FINISHING:
            return None
        for session, queue in list(self._queues.items()):
            task = queue[0] if queue else None
            if task is None:
                del self._queues[session]
                continue
            if task.model is not None and not self.models.has(task.model):
                return session
            for ahead in list(queue)[:PREFETCH]:
                if ahead.prepared is None and (ahead.model is None or self.models.has(ahead.model)):
                    ahead.prepared = self._pool.submit(ahead.prepare)
                    ahead.prepared.add_done_callback(self._wake)
            if task.prepared is not None and task.prepared.done():
                return session
        return None

    def _wake(self, _: "Future[Any]") -> None:
        with self._condition:
            self._condition.notify()

    def _serve(self, session: str) -> None:
        """One step of a session's first task, then the session goes to the end of the line."""
        with self._condition:
            queue = self._queues.get(session)
            if not queue:
                return
            self._queues.move_to_end(session)
            task = queue[0]
        self.last_work = time.monotonic()
        try:
            if task.cancelled.is_set():
                raise Cancelled
            if task.model is not None and not self.models.has(task.model):
                self.state = "loading weights"
                for waiting in self._tasks():
                    waiting.said("loading weights", f"Loading the weights of the {task.model[0]} model.")
                self.models.get(task.model)
                return
            self.state = "colouring"
            with self._condition:
                run = self._begun.get(session)
                if run is None:
                    run = self._begun[session] = task.run()
            began = time.perf_counter()
            steps = self.engine.steps
            try:
                next(run)
                self._note_step(began, self.engine.steps - steps)
                return
            except StopIteration as end:
                self._note_step(began, self.engine.steps - steps)
                self._drop(session, task)
                self._hand_over(task, end.value)
        except BaseException as error:
            self._drop(session, task)
            if not expected(error):
                log.exception("a request of session %s failed", task.session)
            task.fail(error)
        finally:
            self.last_work = time.monotonic()

    def _tasks(self) -> list[Task]:
        with self._condition:
            return [task for queue in self._queues.values() for task in queue]

    def _drop(self, session: str, task: Task) -> None:
        with self._condition:
            run = self._begun.pop(session, None)
            queue = self._queues.get(session)
            if queue and queue[0] is task:
                queue.popleft()
        if run is not None:
            run.close()

    def _hand_over(self, task: Task, result: Any) -> None:
        with self._condition:
            self._finishing += 1
        self._pool.submit(self._finish, task, result)

    def _finish(self, task: Task, result: Any) -> None:
        try:
            if task.cancelled.is_set():
                raise Cancelled
            task.finish(result)
        except BaseException as error:
            if not expected(error):
                log.exception("finishing a request of session %s failed", task.session)
            task.fail(error)
        finally:
            self.last_work = time.monotonic()
            with self._condition:
                self._finishing -= 1
                self._condition.notify()

    def _note_step(self, began: float, steps: int) -> None:
        seconds = time.perf_counter() - began
        self.busy_seconds += seconds
        if steps:
            with self._condition:
                self._steps.append((time.monotonic(), seconds))
                self._trim()

    def _trim(self) -> None:
        while self._steps and time.monotonic() - self._steps[0][0] > RATE_WINDOW:
            self._steps.popleft()

    def _end(self) -> None:
        """Refuse what is waiting, then bring the memories to disk."""
        self.state = "stopping"
        with self._condition:
            controls = list(self._controls)
            self._controls.clear()
            runs = list(self._begun.values())
            self._begun.clear()
        for task in self._tasks():
            task.fail(Stopping())
        with self._condition:
            self._queues.clear()
        for run in runs:
            with contextlib.suppress(Exception):
                run.close()
        for _, future in controls:
            future.set_exception(Stopping())
        self.engine.close()
