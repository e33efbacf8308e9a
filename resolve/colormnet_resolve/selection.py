"""Which clips of the timeline are meant, and what is to be known of each before it is touched."""

from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from .checks import as_float, as_int, each, got, need, offers
from .errors import PassError
from .settings import PassSettings

if TYPE_CHECKING:
    import fusionscript


UNTOLD = "Resolve does not tell where a clip lies or how long it is: close and open the timeline, and try again."

UNTOLD_TAKES = "Resolve does not tell the takes of '{0}': close and open the timeline, and try again."

Ours = Callable[[str], bool]  # whether a media path is coloured media of a pass


class Clip(NamedTuple):
    """What the pass must know of a clip; plain values, so that it survives edits of the timeline."""

    uid: str  # the timeline item's unique id
    name: str
    track: int  # 1-based video track
    start: int  # first frame on the timeline
    duration: int  # timeline frames
    left_offset: int  # 0-based source frame of the first frame on the timeline
    source_frames: int  # frames of the source media
    source_path: str
    width: int
    height: int
    takes: int  # as GetTakesCount: 0 when the clip is no take selector
    original_take: int  # 1-based take that is the plate; 0 when the clip is no take selector
    media: Any  # the plate's MediaPoolItem


class Refusal(NamedTuple):
    """A clip that cannot be coloured, and why."""

    name: str
    reason: str


def frames_of(value: Any) -> int:
    """A position or length Resolve reports as int or float, as an integer; raises PassError when it reports none."""
    try:
        return round(float(need(value, UNTOLD)))
    except (TypeError, ValueError):
        raise PassError(UNTOLD) from None


def item_uid(item: "fusionscript.TimelineItem") -> str:
    """The item's unique id; raises PassError where Resolve does not tell (before 18.0)."""
    uid = item.GetUniqueId() if offers(item, "GetUniqueId") else None
    return str(
        need(uid, "This DaVinci Resolve does not tell clips apart (no unique ids): version 18 or newer is needed.")
    )


def video_items(timeline: "fusionscript.Timeline") -> List[Tuple[int, "fusionscript.TimelineItem"]]:
    """(track, item) of all video tracks, in order of track and time, freshly enumerated."""
    count = need(
        timeline.GetTrackCount("video"), "The timeline's tracks cannot be read: open the timeline and try again."
    )
    found: List[Tuple[int, fusionscript.TimelineItem]] = []
    for track in range(1, count + 1):
        found.extend((track, item) for item in each(timeline.GetItemListInTrack("video", track)))
    return found


def find_item(timeline: "fusionscript.Timeline", uid: str, name: str) -> "fusionscript.TimelineItem":
    """The item with this unique id, freshly enumerated (handles kept from before an edit may be invalid)."""
    for _track, item in video_items(timeline):
        if item_uid(item) == uid:
            return item
    raise PassError(
        "The clip '{0}' is no longer on the timeline: undo its removal, or run the pass again.".format(name)
    )


def _marker_colours(item: "fusionscript.TimelineItem") -> List[str]:
    markers = item.GetMarkers() or {}
    return [str(marker.get("color", "")) for marker in markers.values()]


def _media_ids(items: Optional[Iterable[Any]]) -> List[str]:
    return [str(media.GetUniqueId()) for media in each(items)]


def _is_ours(item: "fusionscript.TimelineItem", ours: Ours) -> bool:
    """Whether an item is coloured media on a track of its own (and not an editor's clip with a coloured take)."""
    return not item.GetTakesCount() and ours(media_path(item.GetMediaPoolItem()))


def _covers(item: "fusionscript.TimelineItem", start: int) -> bool:
    first = frames_of(item.GetStart(False))
    return first <= start < first + frames_of(item.GetDuration(False))


def chosen_items(
    project: "fusionscript.Project",
    timeline: "fusionscript.Timeline",
    settings: PassSettings,
    ours: Ours,
) -> List[Tuple[int, "fusionscript.TimelineItem"]]:
    """(track, item) of the clips the settings mean; raises PassError, saying what to do, when there is none.

    Coloured media that an earlier pass put on a track of its own is never chosen; under the playhead it stands for the
    clip below it.
    """
    on_timeline = video_items(timeline)
    everything = [(t, i) for t, i in on_timeline if not _is_ours(i, ours)]
    if settings.select == "marker":
        chosen = [(t, i) for t, i in everything if settings.marker_colour in _marker_colours(i)]
        if not chosen:
            raise PassError(
                "No clip of the timeline carries a {0} marker: select a clip, press M, and give the marker that "
                "colour.".format(settings.marker_colour)
            )
        return chosen
    if settings.select == "selected":
        pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
        if not offers(pool, "GetSelectedClips"):
            raise PassError(
                "This Resolve does not tell scripts what is selected: give the clips a marker colour and choose "
                "that, or update DaVinci Resolve."
            )
        selected = _media_ids(pool.GetSelectedClips())
        chosen = [
            (t, i)
            for t, i in everything
            if _media_ids([i.GetMediaPoolItem()]) and _media_ids([i.GetMediaPoolItem()])[0] in selected
        ]
        if not chosen:
            raise PassError(
                "No clip of the timeline is selected in the media pool: select its source there (Resolve does not tell "
                "scripts what is selected on the timeline), or mark clips with a marker colour."
            )
        return chosen
    if settings.select == "track" and settings.track:
        count = need(
            timeline.GetTrackCount("video"), "The timeline's tracks cannot be read: open the timeline and try again."
        )
        if settings.track > count:
            raise PassError("There is no video track {0}: the timeline has {1}.".format(settings.track, count))
        chosen = [(t, i) for t, i in everything if t == settings.track]
        if not chosen:
            raise PassError("Video track {0} has no clips: choose another track.".format(settings.track))
        return chosen
    current = need(
        timeline.GetCurrentVideoItem(),
        "There is no clip under the playhead: move the playhead onto the clip to colour (its track must be enabled).",
    )
    uid = item_uid(current)
    if _is_ours(current, ours):
        start = frames_of(current.GetStart(False))
        under = [(t, i) for t, i in everything if _covers(i, start)][-1:]
    else:
        under = [(t, i) for t, i in everything if item_uid(i) == uid]
    if not under:
        raise PassError(
            "The clip under the playhead is not on a video track of this timeline: open the timeline it is on."
        )
    if settings.select == "track":
        return [(t, i) for t, i in everything if t == under[0][0]]
    return under


def media_path(media: Optional["fusionscript.MediaPoolItem"]) -> str:
    """The file path of a media pool item; "" for none, and for compound clips and generators."""
    media = got(media)
    if media is None:
        return ""
    path = media.GetClipProperty("File Path")
    return str(path) if path else ""


def _original_take(item: "fusionscript.TimelineItem", ours: Ours, name: str) -> int:
    """The 1-based take that is the plate: the selected one unless that is ours, else the first that is not."""
    count = int(need(item.GetTakesCount(), UNTOLD_TAKES.format(name)))
    if count == 0:
        return 0
    candidates: List[int] = []
    for index in range(1, count + 1):
        info = need(
            item.GetTakeByIndex(index),
            "Take {0} of '{1}' cannot be read: close and open the timeline.".format(index, name),
        )
        if not ours(media_path(info["mediaPoolItem"])):
            candidates.append(index)
    if not candidates:
        raise PassError("'{0}' has only coloured takes left: put its black-and-white take back first.".format(name))
    selected = int(item.GetSelectedTakeIndex() or 0)
    return selected if selected in candidates else candidates[0]


def select_take(item: "fusionscript.TimelineItem", index: int, name: str) -> None:
    """Select a take and read it back; raises PassError when Resolve did not do it."""
    if int(item.GetSelectedTakeIndex() or 0) == index:
        return
    need(
        item.SelectTakeByIndex(index),
        "Take {0} of '{1}' cannot be selected: unlock its track and try again.".format(index, name),
    )
    if int(item.GetSelectedTakeIndex() or 0) != index:
        raise PassError(
            "Take {0} of '{1}' did not become the selected one: unlock its track and try again.".format(index, name)
        )


def describe(timeline: "fusionscript.Timeline", track: int, item: "fusionscript.TimelineItem", ours: Ours) -> Clip:
    """What the pass must know of a clip; raises PassError where it cannot be coloured, saying why and what to do.

    A repeated pass starts from the plate, not from its own result (``ours``). The selected take is the same afterwards.
    """
    name = str(item.GetName() or "clip")
    uid = item_uid(item)
    original = _original_take(item, ours, name)
    selected = int(item.GetSelectedTakeIndex() or 0)
    try:
        if original:
            select_take(item, original, name)
        return _describe_plate(timeline, track, item, uid, name, original)
    finally:
        if original and selected and selected != original:
            select_take(item, selected, name)


def _describe_plate(
    timeline: "fusionscript.Timeline", track: int, item: "fusionscript.TimelineItem", uid: str, name: str, original: int
) -> Clip:
    media = item.GetMediaPoolItem()
    path = media_path(media)
    if got(media) is None or not path:
        raise PassError(
            "'{0}' has no media file of its own (a title or compound clip): render it in place first.".format(name)
        )
    start = frames_of(item.GetStart(False))
    duration = frames_of(item.GetDuration(False))
    left = frames_of(item.GetLeftOffset(False))  # GetSourceStartFrame is off by one on some items
    right = frames_of(item.GetRightOffset(False))
    frames = as_int(media.GetClipProperty("Frames"))
    if frames <= 0:
        raise PassError(
            "'{0}' does not tell how many frames its source has: relink the clip and try again.".format(name)
        )
    timeline_rate = as_float(timeline.GetSetting("timelineFrameRate"))
    clip_rate = as_float(media.GetClipProperty("FPS"))
    if timeline_rate and clip_rate and abs(timeline_rate - clip_rate) > 0.01:
        raise PassError(
            "'{0}' runs at {1:g} fps on a timeline of {2:g} fps: render it in place first, so that frames match one to "
            "one.".format(name, clip_rate, timeline_rate)
        )
    if abs(left + duration + right - frames) > 1 or left < 0 or left + duration > frames:
        raise PassError(
            "'{0}' is retimed (its frames do not match the source one to one): render it in place first.".format(name)
        )
    aspect = str(media.GetClipProperty("PAR") or "Square")
    if aspect not in ("Square", "1", "1.0"):
        raise PassError(
            "'{0}' has non-square pixels ({1}): render it in place with square pixels first.".format(name, aspect)
        )
    width, height = _resolution(str(media.GetClipProperty("Resolution") or ""), name)
    return Clip(
        uid=uid,
        name=name,
        track=track,
        start=start,
        duration=duration,
        left_offset=left,
        source_frames=frames,
        source_path=path,
        width=width,
        height=height,
        takes=int(item.GetTakesCount() or 0),
        original_take=original,
        media=media,
    )


def _resolution(text: str, name: str) -> Tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) == 2 and as_int(parts[0]) > 0 and as_int(parts[1]) > 0:
        return as_int(parts[0]), as_int(parts[1])
    raise PassError("'{0}' does not tell its resolution ('{1}'): relink the clip and try again.".format(name, text))


def timeline_state(timeline: "fusionscript.Timeline") -> Dict[str, Tuple[Any, ...]]:
    """uid -> (track, start, duration, name) of all video items, to prove that nothing else moved."""
    state: Dict[str, Tuple[Any, ...]] = {}
    for track, item in video_items(timeline):
        state[item_uid(item)] = (
            track,
            frames_of(item.GetStart(False)),
            frames_of(item.GetDuration(False)),
            str(item.GetName()),
        )
    return state
