"""Colorize: bake on the main thread, colour in a thread per view while the bake goes on, show the result.

With a GUI the artist's Colorize returns after the bake and the rest goes on behind a progress bar; ``colorize()`` waits
in every mode. Which frames are asked for never changes their pixels: the shot is always the node's whole range.
"""

import os
import re
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import nuke

from colormnet_host.client import Exemplar, FrameResult

from . import bake, build, cache, engine, exr, results, settings, status, upstream
from .problems import NodeError, SetupError, StoppedError, of_engine

TICK = 0.05  # seconds between two looks at the threads


class Outcome(NamedTuple):
    """What Colorize did: frames asked for, how many were computed now and how many were there already (all views)."""

    frames: Tuple[int, ...]
    views: Tuple[str, ...]
    coloured: int
    reused: int
    baked: int
    folder: str


class _View:
    """One view's share of a job."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.feed: Optional[engine.Feed] = None
        self.chains: Dict[int, str] = {}
        self.after: Dict[int, Optional[Tuple[int, str]]] = {}  # the frame before, and its chain
        self.chain = ""
        self.last: Optional[int] = None
        self.known: Dict[int, cache.FrameRecord] = {}
        self.computed: Dict[int, cache.FrameRecord] = {}
        self.box = ""


_running: Dict[str, "Job"] = {}


def running(node: "nuke.Group") -> "Optional[Job]":
    """The job of a node, None where it has none."""
    return _running.get(str(node["node_id"].value()))


class Job:
    """One press of Colorize."""

    def __init__(
        self, node: "nuke.Group", frames: Optional[Sequence[int]], views: Optional[Sequence[str]], popup: bool
    ) -> None:
        self.node, self.popup = node, popup
        build.ensure_own_id(node)
        if running(node) is not None:
            raise SetupError("%s is being colorized already; press Cancel first" % node.fullName())
        self.chosen = settings.read(node, None if views is None else list(views))
        self.name = node.fullName()
        self.asked = self._asked(frames)
        self.shot = tuple(f for f in self.chosen.frames if f <= self.asked[-1])
        self.structure = upstream.structure(node.input(0))
        self.results = cache.Results(self.chosen.folder, results.key(node, self.chosen))
        self.cancel = threading.Event()
        self.views = [_View(view) for view in self.chosen.views]
        self.baked = 0
        self.bake_keys: Dict[str, str] = {}
        self.task: Optional[nuke.ProgressTask] = None
        self.finished = threading.Event()
        self._told = (-1, "")

    def _asked(self, frames: Optional[Sequence[int]]) -> Tuple[int, ...]:
        if frames is None:
            return self.chosen.frames
        asked = tuple(sorted({int(frame) for frame in frames}))
        outside = [frame for frame in asked if frame not in self.chosen.frames]
        if outside or not asked:
            raise SetupError(
                "%s: frame %s is not in its range %d-%d"
                % (self.name, outside[0] if outside else "(none)", self.chosen.frames[0], self.chosen.frames[-1])
            )
        return asked

    # Main thread: before and while baking.

    def start(self) -> None:
        """Bake and feed the worker; returns when the bake is done. Raises NodeError (the job is over then)."""
        _running[self.chosen.node_id] = self
        try:
            self._check()
            if nuke.GUI:
                self.task = nuke.ProgressTask(self.name)
            self.results.make(self.chosen.views)
            for view in self.views:
                self._feed(view)
            for view in self.views:
                if view.feed is not None:
                    view.feed.close()
        except BaseException as error:
            self.cancel.set()
            problem = self._as_problem(error)
            if problem is None:
                self._over()
                raise
            raise (self.finish(problem) or problem) from None

    def _check(self) -> None:
        plate = self.node.input(0)
        if plate is None:
            raise SetupError("%s has no plate: connect one to its first input" % self.name)
        try:
            aspect = plate.pixelAspect()
        except RuntimeError as error:  # the tree above has an error
            raise SetupError(
                "%s: the plate cannot be rendered: %s" % (self.name, " ".join(str(error).split()))
            ) from None
        if aspect != 1.0 and self.chosen.refuse_non_square:
            raise SetupError(
                "%s: the plate's pixels are not square (%g); set non-square pixels to 'flatten for the network', or "
                "reformat the plate" % (self.name, aspect)
            )
        try:
            os.makedirs(self.chosen.folder, exist_ok=True)
        except OSError as error:
            raise SetupError(
                "%s: the cache directory cannot be made: %s; choose another" % (self.name, error)
            ) from None

    def _feed(self, view: _View) -> None:
        chosen = self.chosen
        view.known = self.results.frames(view.name)
        exemplars = self._exemplars(view)
        view.feed = engine.Feed(
            self._session(view.name),
            chosen.session,
            chosen.device,
            chosen.frames,
            exemplars,
            lambda generation, frame: self._wanted(view, generation, frame),
            lambda result: self._coloured(view, result),
            self.cancel,
        )
        self.bake_keys[view.name] = settings.digest(
            [self.structure, upstream.files(self.node.input(0), chosen.frames, view.name), chosen.crop]
        )
        store = cache.Bake(chosen.folder, self.bake_keys[view.name])
        there = store.frames(view.name)
        missing: List[int] = []
        for frame in self.shot:
            if frame not in there:
                missing.append(frame)
                continue
            self._bake(view, store, missing)
            missing = []
            self._offer(view, store, frame, there[frame])
        self._bake(view, store, missing)

    def _bake(self, view: _View, store: cache.Bake, frames: Sequence[int]) -> None:
        if not frames:
            return

        def done(frame: int, baked: cache.BakedFrame) -> None:
            self.baked += 1
            self._offer(view, store, frame, baked)

        bake.plate(self.node, store, view.name, frames, self.chosen.crop, done, view.box)

    def _offer(self, view: _View, store: cache.Bake, frame: int, baked: cache.BakedFrame) -> None:
        view.box = view.box or baked.box
        view.after[frame] = None if view.last is None else (view.last, view.chain)
        view.chain, view.last = cache.chains([view.chain, baked.pixels])[-1], frame
        view.chains[frame] = view.chain
        output = self.results.path(view.name, frame) if frame in self.asked else None
        assert view.feed is not None
        view.feed.offer(engine.Request(frame, store.path(view.name, frame), output))
        self._tell()
        if self._cancelled():
            raise StoppedError("Cancelled; Colorize goes on from here.")

    def _exemplars(self, view: _View) -> List[Exemplar]:
        found, digests = [], []
        for choice in self.chosen.exemplars:
            path, frame = choice.path, choice.frame
            if not path:
                assert frame is not None
                crop = self.chosen.crop and choice.source == 0
                path = bake.still(self.node, choice.source, frame, view.name, self.chosen.folder, crop)
                digests.append(exr.pixel_digest(path))
                # A frame of the exemplar input that is outside the shot cannot be a coloured version of the plate's.
                frame = frame if frame in self.chosen.frames else None
            else:
                digests.append(_file_digest(path))
            found.append(engine.exemplar(path, frame))
        view.chain = cache.chains(digests)[-1]
        return found

    def _session(self, view: str) -> str:
        script = os.path.splitext(os.path.basename(nuke.root().name()))[0] or "unsaved"
        return re.sub(r"[^A-Za-z0-9_.-]+", "-", "nuke-%s-%s-%s" % (script[:40], self.chosen.node_id, view))

    # Any thread.

    def _valid(self, view: _View, generation: str, frame: int) -> bool:
        record = view.known.get(frame)
        return record is not None and record.chain == view.chains.get(frame) and record.generation == generation

    def _wanted(self, view: _View, generation: str, frame: int) -> bool:
        if self._valid(view, generation, frame):
            return False
        if frame in view.known:  # its file is about to be replaced, and what was made after it no longer fits
            record = view.known[frame]._replace(chain=view.chains[frame], generation=generation)
            self.results.add(view.name, frame, record, view.after[frame], pending=True)
        return True

    def _coloured(self, view: _View, result: FrameResult) -> None:
        record = cache.FrameRecord(
            view.chains[result.frame], result.generation, float(result.confidence), float(result.low_confidence)
        )
        self.results.add(view.name, result.frame, record, view.after[result.frame])
        view.computed[result.frame] = record

    def _cancelled(self) -> bool:
        if self.task is not None and self.task.isCancelled():
            self.cancel.set()
        return self.cancel.is_set()

    def _tell(self) -> None:
        """Progress: a bar with a GUI, a line now and then without."""
        total = len(self.asked) * len(self.views)
        done = sum(len(view.computed) for view in self.views)
        note = ""
        for view in self.views:
            note = (view.feed.message() if view.feed is not None else None) or note
        text = "%s: %d of %d frames%s" % (self.name, done, total, " - " + note if note else "")
        if (done, note or self._told[1]) == self._told:
            return
        self._told = (done, note or self._told[1])
        if self.task is not None:
            self.task.setMessage(text)
            self.task.setProgress(min(100, 100 * done // max(1, total)))
        elif not nuke.GUI:
            nuke.tprint(text)

    def _alive(self) -> bool:
        return any(view.feed is not None and view.feed.alive() for view in self.views)

    # Afterwards.

    def wait(self) -> Outcome:
        """Block until all is done; main thread. Raises NodeError."""
        try:
            while self._alive():
                self._cancelled()
                self._tell()
                time.sleep(TICK)
        except KeyboardInterrupt:
            self.cancel.set()
        problem = self.finish(None)
        if problem is not None:
            raise problem
        return self.outcome()

    def go_on_behind(self) -> None:
        """Let the artist work on; the end is handed to the main thread. GUI only."""
        thread = threading.Thread(target=self._watch, name="ColorMNet watch")
        thread.daemon = True
        thread.start()

    def _watch(self) -> None:
        while self._alive():
            self._cancelled()
            self._tell()
            time.sleep(TICK)
        nuke.executeInMainThread(self.finish, (None,))

    def finish(self, problem: Optional[NodeError]) -> Optional[NodeError]:
        """Write the record, show what is done, say how it went. Main thread."""
        if self.finished.is_set():
            return None
        for view in self.views:
            if view.feed is not None:
                view.feed.close()
                view.feed.join()
                if problem is None and view.feed.error is not None:
                    problem = self._as_problem(view.feed.error)
        self._over()
        if not self._exists():  # deleted, or the script closed, while the worker was at it
            return problem or StoppedError("%s is gone; its frames are in %s" % (self.name, self.results.folder))
        try:
            self._show()
        except (NodeError, OSError) as error:  # the frames are there; what shows them could not be written
            problem = problem or self._as_problem(error)
        if problem is not None:
            status.problem(self.node, problem, self.popup)
        else:
            self._say_done()
        return problem

    def _over(self) -> None:
        _running.pop(self.chosen.node_id, None)
        self.task = None  # closes the bar
        self.finished.set()

    @staticmethod
    def _as_problem(error: BaseException) -> Optional[NodeError]:
        if isinstance(error, NodeError):
            return error
        if isinstance(error, KeyboardInterrupt):
            return StoppedError("Cancelled; Colorize goes on from here.")
        if isinstance(error, OSError):
            return SetupError("The cache cannot be written: %s" % error)
        if isinstance(error, Exception) and type(error).__module__.startswith("colormnet_host"):
            return of_engine(error)
        return None if not isinstance(error, Exception) else NodeError("%s: %s" % (type(error).__name__, error))

    def _show(self) -> None:
        before = self.results.record()
        bakes = dict(before.get("bake") or {})
        sets = []
        for view in self.views:
            valid = set(view.computed)
            generations = {record.generation for record in view.computed.values()}
            if view.feed is not None and view.feed.finished is not None:
                generations.add(view.feed.finished.generation)
            for frame, record in view.known.items():
                same_bake = bakes.get(view.name) == self.bake_keys.get(view.name)
                later = frame > self.asked[-1] and same_bake and record.generation in generations
                if later or any(self._valid(view, generation, frame) for generation in generations):
                    valid.add(frame)
            sets.append(valid)
        frames = sorted(set.intersection(*sets)) if sets else []
        if not frames:
            return  # nothing new to see: what was shown before stays
        bakes.update(self.bake_keys)
        self.results.save(self._record(before, bakes, frames))
        results.show(self.node, self.results, frames)
        cache.keep_only(self.chosen.folder, "results", [self.results.key], cache.KEEP_RESULTS - 1)
        cache.keep_only(self.chosen.folder, "bake", bakes.values())

    def _record(self, before: Dict[str, Any], bakes: Dict[str, str], frames: List[int]) -> Dict[str, Any]:
        views = dict(before.get("views") or {})
        for view in self.views:
            if view.feed is not None and view.feed.finished is not None:
                views[view.name] = view.feed.finished._asdict()
        return {
            "settings": self.chosen.fingerprint(),
            "structure": self.structure,
            "bake": bakes,
            "views": views,
            "colour": self.chosen.colour,
            "layers": list(self.chosen.session.layers),
            "crop": results.crop_box(self.node, self.chosen),
            "complete": len(frames) == len(self.chosen.frames),
        }

    def _say_done(self) -> None:
        for view in self.views:
            if view.feed is not None and view.feed.finished is not None and view.feed.finished.device:
                self.node["local_gpu"].setValue(view.feed.finished.device)
        done = self.outcome()
        text = "%d frames colorized" % len(self.asked)
        if done.reused:
            text += ", %d of them were there already" % done.reused
        text = ". ".join([text, *self._notes()])
        status.say(self.node, text, "%s, frames %d-%d" % (self.chosen.session.model, self.asked[0], self.asked[-1]))

    def _notes(self) -> List[str]:
        """What the worker wants the artist to know, each sentence once."""
        found: List[str] = []
        for view in self.views:
            if view.feed is not None and view.feed.finished is not None:
                told = view.feed.finished
                for note in [*told.notes, told.device_note]:
                    if note and note not in found:
                        found.append(note)
        return found

    def _exists(self) -> bool:
        try:
            return bool(self.node.name())
        except ValueError:
            return False

    def outcome(self) -> Outcome:
        """What was done."""
        coloured = sum(len(view.computed) for view in self.views)
        total = len(self.asked) * len(self.views)
        return Outcome(self.asked, self.chosen.views, coloured, total - coloured, self.baked, self.results.folder)


def _file_digest(path: str) -> str:
    import hashlib

    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:32]


def colorize(node: "nuke.Node", frames: Optional[Sequence[int]], views: Optional[Sequence[str]]) -> Outcome:
    """See :func:`colormnet_nuke.colorize`."""
    group = _ours(node)
    job = _begin(group, frames, views, popup=False)
    return job.wait()


def press(node: "nuke.Node") -> None:
    """What the Colorize button does: never raises, says on the node how it goes."""
    group = _ours(node)
    try:
        job = _begin(group, None, None, popup=True)
        if nuke.GUI:
            status.say(group, "colouring...", "colouring...")
            job.go_on_behind()
        else:
            job.wait()
    except NodeError:
        return  # shown on the node


def _begin(group: "nuke.Group", frames: Optional[Sequence[int]], views: Optional[Sequence[str]], popup: bool) -> Job:
    try:
        job = Job(group, frames, views, popup)
    except NodeError as problem:
        status.problem(group, problem, popup)
        raise
    job.start()
    return job


def _ours(node: "nuke.Node") -> "nuke.Group":
    from . import names

    if not isinstance(node, nuke.Group) or not names.is_ours(node):
        raise SetupError("%s is no ColorMNet node" % node.fullName())
    return node
