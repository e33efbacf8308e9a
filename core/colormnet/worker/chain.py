"""How a shot's results are named, kept and replayed.

The result of a frame depends on the exemplars, the settings and the luminance of every frame up to it. All of this is
folded into one name per place in the shot: ``name[0]`` stands for model, settings and exemplars, and
``name[i + 1] = digest(name[i], luminance of frame i)``. A result is kept under ``name[i + 1]``, the memory before frame
``i`` under ``name[i]``. What is found under a name is therefore right by construction, whatever was asked for before;
nothing ever has to be declared invalid.
"""

import ctypes
import logging
import sys
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..colouring import PreparedExemplar, PreparedFrame, start_session, step_session
from ..errors import OutOfMemoryError
from .answers import Cancelled, MemoryTooSmall, out_of_memory
from .limits import WorkerLimits
from .planes import HEAD_BYTES, Plane, pack, text_digest, unpack, unpack_head
from .store import Store

if TYPE_CHECKING:
    from ..session import Colorizer, MemorySettings, Model

log = logging.getLogger(__name__)

SMALLEST_TRIAL = 32  # pixels, of the short side


@dataclass(frozen=True)
class NetworkResult:
    """What the network said of one frame."""

    chroma: Plane  # (2, h, w) or, where the frame's own exemplar says it, (2, H, W); network units
    confidence: Plane  # (h, w) in [0, 1]
    mean: float
    low: float  # 5th percentile of the confidence
    cached: bool


@dataclass(frozen=True)
class Recipe:
    """All that makes a shot's result, frames aside; ``name`` stands for it."""

    session: str  # key of the session in the store
    model: "Model"
    memory: "MemorySettings | None"
    exemplars: tuple[PreparedExemplar, ...]  # known from the start
    carried: Mapping[int, PreparedExemplar]  # place -> the exemplar that this very frame carries
    size: tuple[int, int]  # height and width at which the network works
    length: int  # frames of the shot
    snapshot_every: int
    name: str


@dataclass
class _LiveState:
    """A memory on the device, standing before frame ``place``."""

    recipe: Recipe
    colorizer: "Colorizer"
    place: int


def extend(name: str, luminance: str, place: int) -> str:
    """The name after the frame at ``place`` whose luminance has that digest."""
    return text_digest(name, str(place), luminance)


class Engine:
    """Live memories, cached keys and results. Used by one thread only."""

    def __init__(self, store: Store, limits: WorkerLimits) -> None:
        self.store = store
        self.limits = limits
        self.steps = 0
        self.keys_encoded: dict[str, int] = {}  # session -> count
        self.keys_reused: dict[str, int] = {}
        self._live: OrderedDict[tuple[str, str], _LiveState] = OrderedDict()  # (session, name) -> state
        self._keys: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()  # (model, luminance) -> keys, bytes
        self._keys_bytes = 0
        self.make_room: Callable[[Model], object] = lambda model: None  # let go of all models but that one
        self._recent: OrderedDict[tuple[str, str], NetworkResult] = OrderedDict()  # survives a disk that is full

    # --- results --------------------------------------------------------------------------------------------------

    def result(self, session: str, name: str) -> NetworkResult | None:
        """A result that is kept, or None."""
        recent = self._recent.get((session, name))
        if recent is not None:
            return recent
        content = self.store.get(session, "results", name)
        if content is None:
            return None
        head, (chroma, confidence) = unpack(content)
        return NetworkResult(chroma, confidence, head["mean"], head["low"], True)

    def scores(self, session: str, name: str) -> tuple[float, float] | None:
        """Mean and low confidence of a kept result without reading its planes, or None."""
        recent = self._recent.get((session, name))
        if recent is not None:
            return recent.mean, recent.low
        content = self.store.peek(session, "results", name, HEAD_BYTES)
        if content is None:
            return None
        try:
            head = unpack_head(content)
            return float(head["mean"]), float(head["low"])
        except (ValueError, KeyError, TypeError):  # cut short; reading the whole of it will find that out
            return None

    def _keep_result(self, session: str, name: str, chroma: Plane, confidence: Plane) -> NetworkResult:
        mean = float(np.mean(confidence, dtype=np.float64))
        low = float(np.percentile(confidence, 5))
        self.store.put(session, "results", name, pack({"mean": mean, "low": low}, chroma, confidence))
        self._recent[session, name] = NetworkResult(chroma, confidence, mean, low, True)
        while len(self._recent) > 16:
            self._recent.popitem(last=False)
        return NetworkResult(chroma, confidence, mean, low, False)

    # --- colouring ------------------------------------------------------------------------------------------------

    def colour(
        self,
        recipe: Recipe,
        names: Sequence[str],
        place: int,
        luminance: Callable[[int], tuple[str, Plane]],
        cancelled: Callable[[], bool],
    ) -> Generator[int, None, NetworkResult]:
        """The result of the frame at ``place``; yields the place reached after every step, so that others get turns.

        ``names``: of places 0 to ``place + 1``. ``luminance(i)``: digest and plane of frame i. Raises Cancelled,
        OutOfMemoryError, and what ``luminance`` raises.
        """
        failure = ""
        while True:
            if cancelled():
                raise Cancelled
            found = self.result(recipe.session, names[place + 1])
            if found is not None:
                return found
            before, failure = failure, ""
            try:
                state = self._nearest(recipe, names, place)
                at = state.place
                digest, plane = luminance(at)
                done = self._step(state, names, digest, plane, cancelled)
                if at == place:
                    return done
            except Exception as error:
                if isinstance(error, Cancelled) or not out_of_memory(error):
                    raise
                failure = str(error) or type(error).__name__
                traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
            if not failure:
                yield at + 1
                continue
            state = done = None  # type: ignore[assignment]
            self.clear_device()
            self.make_room(recipe.model)
            if before:
                raise self._too_small(recipe)
            log.warning("out of memory (%s); trying again with nothing else on the device", failure)

    def _nearest(self, recipe: Recipe, names: Sequence[str], place: int) -> _LiveState:
        """A live memory at or before ``place``: the furthest there is, live or as a snapshot, or a fresh one."""
        from ..session import Colorizer

        for at in range(place, -1, -1):
            live = self._live.get((recipe.session, names[at]))
            if live is not None:
                self._live.move_to_end((recipe.session, names[at]))
                return live
            path = self.store.path(recipe.session, "snapshots", names[at])
            if path is None:
                continue
            try:
                colorizer = Colorizer.load(path, recipe.model)
            except Exception as error:  # made by another version: as good as absent
                if out_of_memory(error):
                    raise
                log.warning("snapshot %s is not used: %s", path, error)
                self.store.drop(recipe.session, "snapshots", names[at])
                continue
            return self._adopt(_LiveState(recipe, colorizer, at), names[at])
        colorizer = Colorizer(recipe.model, recipe.memory, clip_length=recipe.length)
        start_session(colorizer, recipe.exemplars)
        return self._adopt(_LiveState(recipe, colorizer, 0), names[0])

    def _adopt(self, state: _LiveState, name: str) -> _LiveState:
        self._live[state.recipe.session, name] = state
        while len(self._live) > self.limits.live_states:
            (_, old_name), old = self._live.popitem(last=False)
            self._save(old, old_name)
        return state

    def _step(
        self, state: _LiveState, names: Sequence[str], digest: str, plane: Plane, cancelled: Callable[[], bool]
    ) -> NetworkResult:
        recipe, at = state.recipe, state.place
        keys = self._frame_keys(recipe, state.colorizer, digest, plane)
        if cancelled():
            raise Cancelled
        del self._live[recipe.session, names[at]]  # a step that fails leaves no half-changed memory behind
        frame, own = PreparedFrame(plane, plane, 0), recipe.carried.get(at)
        chroma, confidence = step_session(state.colorizer, frame, own, last=at == recipe.length - 1, keys=keys)
        self.steps += 1
        state.place = at + 1
        if state.place < recipe.length:  # after the last frame there is nothing to go on to
            self._live[recipe.session, names[at + 1]] = state
            if state.place % recipe.snapshot_every == 0:
                self._save(state, names[at + 1])
        return self._keep_result(recipe.session, names[at + 1], np.asarray(chroma), np.asarray(confidence))

    def _frame_keys(self, recipe: Recipe, colorizer: "Colorizer", digest: str, plane: Plane) -> Any:
        known = self._keys.get((recipe.model.fingerprint, digest))
        if known is not None:
            self._keys.move_to_end((recipe.model.fingerprint, digest))
            self.keys_reused[recipe.session] = self.keys_reused.get(recipe.session, 0) + 1
            return _moved(known[0], recipe.model.device)
        keys = colorizer.encode(plane)
        self.keys_encoded[recipe.session] = self.keys_encoded.get(recipe.session, 0) + 1
        size = _nbytes(keys)
        if size <= self.limits.key_cache_bytes:
            self._keys[recipe.model.fingerprint, digest] = (_moved(keys, "cpu"), size)
            self._keys_bytes += size
            while self._keys_bytes > self.limits.key_cache_bytes:
                self._keys_bytes -= self._keys.popitem(last=False)[1][1]
        return keys

    # --- snapshots and memory -------------------------------------------------------------------------------------

    def _save(self, state: _LiveState, name: str) -> None:
        """Keep a memory on disk, and of the session's snapshots the ones that cover the shot most evenly."""
        if state.place == 0:
            return
        session = state.recipe.session
        self.store.save(session, "snapshots", name, state.colorizer.save)
        self.store.thin(session, "snapshots", self.limits.snapshots)

    def close(self, session: str | None = None) -> None:
        """Bring the live memories of a session (or all) to disk and take them off the device."""
        for each, name in [key for key in self._live if session is None or key[0] == session]:
            self._save(self._live.pop((each, name)), name)

    def let_go(self, model: "Model") -> None:
        """Bring the live memories of a model to disk and take them off the device."""
        for key in [key for key, state in self._live.items() if state.recipe.model is model]:
            self._save(self._live.pop(key), key[1])

    def forget(self, session: str) -> None:
        """Drop everything live of a session without keeping it."""
        for key in [key for key in self._live if key[0] == session]:
            del self._live[key]
        for key in [key for key in self._recent if key[0] == session]:
            del self._recent[key]

    def clear_device(self) -> None:
        """Live memories go to disk, cached keys go; the device's free memory is given back."""
        self.close()
        self._keys.clear()
        self._keys_bytes = 0
        release_device_memory()

    @property
    def live_states(self) -> int:
        """How many memories are on the device."""
        return len(self._live)

    def _too_small(self, recipe: Recipe) -> OutOfMemoryError:
        height, width = recipe.size
        fits = size_that_fits(recipe, height, width)
        return MemoryTooSmall(
            f"{recipe.model.device} ran out of memory at a working size of {min(height, width)} ({width}x{height}); "
            + (
                f"a working size of {fits} would fit: set it and ask again."
                if fits
                else "no smaller size fits either: free memory on the device or choose the CPU."
            ),
            fits,
        )


def size_that_fits(recipe: Recipe, height: int, width: int) -> int:
    """The largest of ever smaller working sizes (short side) that was tried and found to fit, 0 where none does.

    A trial is the exemplars and three steps on a grey frame, the last of them beside as much ballast as the memory
    takes when it is full.
    """
    from dataclasses import replace

    import torch

    from ..session import Colorizer

    memory = recipe.memory or recipe.model.default_memory
    short = min(height, width)
    size = short
    while size > SMALLEST_TRIAL:
        size = max(SMALLEST_TRIAL, int(size * 0.8) // 16 * 16)
        shape = (max(16, round(height * size / short)), max(16, round(width * size / short)))
        grey = np.zeros(shape, np.float32)
        try:
            trial = Colorizer(recipe.model, replace(memory, every=1), clip_length=None)
            for _ in range(len(recipe.exemplars) + len(recipe.carried)):
                trial.add_exemplar(grey, np.zeros((2, *shape), np.float32))
            trial.step(grey)
            trial.step(grey)
            ballast = torch.ones(
                trial.memory_bytes * memory.working_frames, dtype=torch.uint8, device=recipe.model.device
            )
            trial.step(grey)
            del ballast
        except Exception as error:
            if not out_of_memory(error):
                raise
            release_device_memory()
            continue
        return size
    return 0


def release_device_memory() -> None:
    """Give cached device memory back to the system."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if sys.platform.startswith("linux"):
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc keeps freed planes otherwise
        if trim is not None:
            trim(0)


def _moved(keys: Any, device: Any) -> Any:
    """The same nested tuples of tensors on another device."""
    if hasattr(keys, "element_size"):
        return keys.to(device)
    if not isinstance(keys, tuple):
        return keys
    moved = [_moved(each, device) for each in keys]
    return type(keys)(*moved) if hasattr(keys, "_fields") else tuple(moved)


def _nbytes(keys: Any) -> int:
    """Bytes of the tensors in nested tuples."""
    if hasattr(keys, "element_size"):
        return int(keys.element_size() * keys.nelement())
    return sum(_nbytes(each) for each in keys) if isinstance(keys, tuple) else 0
