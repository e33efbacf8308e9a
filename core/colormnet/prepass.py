"""A run over memory frames alone, so that stretches of a shot can be coloured at once (farm mode *parallel*).

ColorMNet's memory takes up one frame in ``every`` (the paper's gamma). The pre-pass shows a session only these frames
and the one before each start, and keeps the session's state at every start. A stretch that begins there finds the
tokens that an unbroken run would have made, except that each memory frame was coloured without its immediate
neighbours: the result is near that of the unbroken run, not equal to it.
"""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from .colouring import start_session, step_session
from .errors import InputError, InterruptedRun
from .memory.settings import MemorySettings

if TYPE_CHECKING:
    from .pipeline import Plan, Progress
    from .session import Colorizer


def memory_places(frames: int, own_exemplars: Iterable[int], settings: MemorySettings) -> list[int]:
    """Places (from 0) of a clip of ``frames`` frames that an unbroken run memorises, ascending.

    ``own_exemplars``: places of frames that carry an exemplar's chroma, which are memorised whenever they come.
    """
    own = set(own_exemplars)
    every = settings.every if settings.propagation == "mfp" else 1
    places: list[int] = []
    for place in range(frames - 1):  # the last frame is never memorised
        if not places or place in own or place - places[-1] >= every:
            places.append(place)
    return places


def prepass_places(plan: "Plan") -> list[int]:
    """Places that the pre-pass colours: the memory frames, and the frame before each start."""
    order = {number: place for place, number in enumerate(plan.order)}
    own = [order[item.carried_by] for item in plan.exemplars if item.carried_by is not None]
    settings = plan.job.memory or plan.model.default_memory
    last_start = plan.starts[-1]
    memorised = memory_places(len(plan.order), own, settings)
    return sorted({place for place in memorised if place < last_start} | {start - 1 for start in plan.starts[1:]})


def run_prepass(plan: "Plan", progress: "Progress", stop: threading.Event) -> int:
    """Write the states at ``plan.starts`` that are not there yet; the number of frames coloured for it.

    Goes on from the newest state with none missing before it. Raises InterruptedRun when ``stop`` is set: the states
    written so far stay.
    """
    plan.state.claim(plan.identity)
    there = plan.state.snapshots()
    missing = [start for start in plan.starts[1:] if start not in there]
    if not missing:
        return 0
    session, begin = _session(plan, missing[0], progress)
    carried = {item.carried_by: item.prepared for item in plan.exemplars if item.carried_by is not None}
    places = [place for place in prepass_places(plan) if begin <= place < missing[-1]]
    progress.planned(plan)
    for done, place in enumerate(places, 1):
        if stop.is_set():
            raise InterruptedRun(
                f"The pre-pass stopped before frame {plan.order[place]}; its states so far are kept, and the same "
                "command goes on."
            )
        number = plan.order[place]
        prepared = plan.colouring.prepare(plan.source.read(number).pixels)
        session.frame_index = place  # the frames between are not shown; the rules of the memory go by the clip's time
        step_session(session, prepared, carried.get(number))
        if place + 1 in plan.starts:
            plan.state.save_snapshot(place + 1, session.save)
        progress.frame_done(number, done, len(places))
    return len(places)


def _session(plan: "Plan", wanted: int, progress: "Progress") -> "tuple[Colorizer, int]":
    """A pre-pass's session below the start ``wanted``, and the place it has come to."""
    from .session import Colorizer

    there = plan.state.snapshots()
    for start in reversed([start for start in plan.starts[1:] if start < wanted]):
        try:
            return Colorizer.load(there[start], plan.model), start
        except InputError as error:
            there[start].unlink(missing_ok=True)
            progress.note(f"{error}; an earlier state is used instead.")
    session = Colorizer(plan.model, plan.job.memory, clip_length=len(plan.order))
    start_session(session, [item.prepared for item in plan.exemplars if item.carried_by != plan.order[0]])
    return session, 0
