"""Bring coloured media back: into a bin of its own, as a new take or on a new track. The original is never touched."""

import os
from typing import TYPE_CHECKING, Any, List, Optional, Set

from .checks import as_int, each, got, need
from .errors import PassError
from .selection import Clip, find_item, frames_of, item_uid, media_path, select_take
from .sequences import expand_bracketed, frame_path, is_sequence

if TYPE_CHECKING:
    import fusionscript

TRACK_NAME = "ColorMNet"


def open_bin(project: "fusionscript.Project", name: str) -> "fusionscript.Folder":
    """The bin ``name`` under the root, made if need be, and current (imports land in the current one)."""
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    root = need(pool.GetRootFolder(), "The media pool has no root folder: open the project and try again.")
    found: Optional[fusionscript.Folder] = None
    for folder in each(root.GetSubFolderList()):
        if folder.GetName() == name:
            found = folder
    if found is None:
        found = need(
            pool.AddSubFolder(root, name),
            "The bin '{0}' cannot be made: check that the project can be changed.".format(name),
        )
    pool.SetCurrentFolder(found)
    current = got(pool.GetCurrentFolder())
    if current is None or current.GetName() != name:
        raise PassError("The bin '{0}' cannot be opened: click it once in the media pool and try again.".format(name))
    return found


def _same_media(path: str, pattern: str, first: int, count: int) -> bool:
    """Whether a media pool item's path is the coloured media: Resolve shows sequences as ``a_[1001-1024].exr``."""
    if not is_sequence(pattern):
        return os.path.normpath(path) == os.path.normpath(pattern)
    shown, bracketed = expand_bracketed(path)
    wanted = [os.path.normpath(frame_path(pattern, n)) for n in range(first, first + count)]
    if bracketed or count == 1:
        return [os.path.normpath(p) for p in shown] == wanted
    return os.path.normpath(path) in (os.path.normpath(pattern), wanted[0])


def _in_bin(folder: "fusionscript.Folder", pattern: str, first: int, count: int) -> List["fusionscript.MediaPoolItem"]:
    return [item for item in each(folder.GetClipList()) if _same_media(media_path(item), pattern, first, count)]


def bin_paths(project: "fusionscript.Project", name: str) -> Set[str]:
    """Paths of all media in the bin ``name``; none where there is no such bin."""
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    root = need(pool.GetRootFolder(), "The media pool has no root folder: open the project and try again.")
    paths: Set[str] = set()
    for folder in each(root.GetSubFolderList()):
        if folder.GetName() == name:
            paths.update(media_path(item) for item in each(folder.GetClipList()))
    return paths


def import_media(
    project: "fusionscript.Project", bin_name: str, pattern: str, first: int, count: int, space: str
) -> "fusionscript.MediaPoolItem":
    """The media pool item of the coloured frames (or movie) in the bin; imported once, found again afterwards.

    ``space``: Resolve's own name for the frames' colour space, set where the project is colour managed; "" leaves it.
    """
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    folder = open_bin(project, bin_name)
    found = _in_bin(folder, pattern, first, count)
    if not found:
        before = {item.GetUniqueId() for item in each(folder.GetClipList())}
        if is_sequence(pattern):
            info: Any = {"FilePath": pattern, "StartIndex": first, "EndIndex": first + count - 1}
            pool.ImportMedia([info])
        else:
            pool.ImportMedia([pattern])
        folder = open_bin(project, bin_name)  # what ImportMedia returns may be invalid: look again
        found = _in_bin(folder, pattern, first, count)
        if len(found) != 1:
            wrong = [i for i in each(folder.GetClipList()) if i.GetUniqueId() not in before]
            if wrong:
                pool.DeleteClips(wrong)
            raise PassError(
                "Resolve did not import {0} as one clip ({1} came): import it by hand into the bin '{2}' and add it as "
                "a take.".format(pattern, len(wrong), bin_name)
            )
    media = found[0]
    frames = as_int(media.GetClipProperty("Frames"))
    if frames != count:
        raise PassError(
            "Resolve shows {0} frames of {1} instead of {2}: remove that clip from the bin '{3}' and run the pass "
            "again.".format(frames, pattern, count, bin_name)
        )
    if space and project.GetSetting("colorScienceMode") not in (None, "", "davinciYRGB"):
        media.SetClipProperty("Input Color Space", space)
        if media.GetClipProperty("Input Color Space") != space:
            raise PassError(
                "The coloured clip does not take the input colour space '{0}': set it by hand (right-click > Input "
                "Color Space), then run the pass again.".format(space)
            )
    return media


def take_with(item: "fusionscript.TimelineItem", pattern: str, first: int, count: int) -> int:
    """The 1-based index of the take that shows the coloured media; 0 when there is none."""
    for index in range(1, int(item.GetTakesCount() or 0) + 1):
        info: Any = item.GetTakeByIndex(index) or {}
        media = got(info.get("mediaPoolItem"))
        if media is not None and _same_media(media_path(media), pattern, first, count):
            return index
    return 0


def add_take(
    timeline: "fusionscript.Timeline",
    clip: Clip,
    media: "fusionscript.MediaPoolItem",
    pattern: str,
    first: int,
    count: int,
    lead: int,
) -> int:
    """Add the coloured media as a take (its frames ``lead`` … ``lead + duration - 1``) and select it; the take's index.

    Length and place of the clip are read back; on any difference the take is taken out again, the former one selected
    and PassError raised. Takes of the editor stay as they are.
    """
    item = find_item(timeline, clip.uid, clip.name)
    present = take_with(item, pattern, first, count)
    if present:
        select_take(item, present, clip.name)
        return present
    former = int(item.GetSelectedTakeIndex() or 0)
    shown: Optional[str] = None
    # Whether the end is the last frame or the one after it is not documented: try the first, read back, try the other.
    for end in (lead + clip.duration - 1, lead + clip.duration):
        before = int(item.GetTakesCount() or 0)
        item.AddTake(media, lead, end)
        item = find_item(timeline, clip.uid, clip.name)
        index = take_with(item, pattern, first, count)
        grown = int(item.GetTakesCount() or 0) == max(before, 1) + 1
        if index == 0 and grown:  # which one is new cannot be told, so none is taken out again
            raise PassError(
                "'{0}' has a new take but Resolve does not tell what is in it: look at its takes, and run the pass "
                "again.".format(clip.name)
            )
        if index == 0 or not grown:
            raise PassError(
                "Resolve did not add the coloured take to '{0}': unlock its track; the coloured clip is in the media "
                "pool.".format(clip.name)
            )
        try:
            select_take(item, index, clip.name)
        except PassError:
            item.DeleteTakeByIndex(index)
            raise
        item = find_item(timeline, clip.uid, clip.name)
        place = (frames_of(item.GetStart(False)), frames_of(item.GetDuration(False)))
        info: Any = item.GetTakeByIndex(index) or {}
        offsets = (frames_of(item.GetLeftOffset(False)), as_int(info.get("startFrame")))
        # Either may carry the handle's length, by how this Resolve counts; a take that is off shows in neither.
        if place == (clip.start, clip.duration) and lead in offsets:
            return index
        shown = "{0} frames at {1}, from frame {2}".format(place[1], place[0], offsets[0])
        item.SelectTakeByIndex(former or 1)
        item.DeleteTakeByIndex(index)
        item = find_item(timeline, clip.uid, clip.name)
    raise PassError(
        "The coloured take of '{0}' would change the clip ({1}): it was taken out again; the coloured clip is in the "
        "media pool.".format(clip.name, shown)
    )


def _free_track(timeline: "fusionscript.Timeline", clip: Clip) -> int:
    """A track named ColorMNet with room for the clip, 1-based; 0 when there is none."""
    for track in range(1, int(timeline.GetTrackCount("video") or 0) + 1):
        if timeline.GetTrackName("video", track) != TRACK_NAME or timeline.GetIsTrackLocked("video", track):
            continue
        busy = False
        for item in each(timeline.GetItemListInTrack("video", track)):
            start = frames_of(item.GetStart(False))
            if start < clip.start + clip.duration and clip.start < start + frames_of(item.GetDuration(False)):
                busy = True
        if not busy:
            return track
    return 0


def _on_track(
    timeline: "fusionscript.Timeline", clip: Clip, pattern: str, first: int, count: int
) -> Optional["fusionscript.TimelineItem"]:
    for track in range(1, int(timeline.GetTrackCount("video") or 0) + 1):
        if timeline.GetTrackName("video", track) != TRACK_NAME:
            continue
        for item in each(timeline.GetItemListInTrack("video", track)):
            same_place = frames_of(item.GetStart(False)) == clip.start
            if same_place and _same_media(media_path(item.GetMediaPoolItem()), pattern, first, count):
                return item
    return None


def _make_current(project: "fusionscript.Project", timeline: "fusionscript.Timeline", clip: Clip) -> None:
    """Appending goes to whatever timeline is current, and the editor may have opened another since the pass began."""
    uid = timeline.GetUniqueId()
    for _attempt in range(2):
        current = got(project.GetCurrentTimeline())
        if current is not None and current.GetUniqueId() == uid:
            return
        project.SetCurrentTimeline(timeline)
    raise PassError(
        "Resolve does not go back to the timeline of '{0}': open it, and run the pass again.".format(clip.name)
    )


def is_placed(
    timeline: "fusionscript.Timeline", clip: Clip, placement: str, pattern: str, first: int, count: int
) -> bool:
    """Whether the coloured media is already where the pass would put it."""
    if placement == "track":
        return _on_track(timeline, clip, pattern, first, count) is not None
    return take_with(find_item(timeline, clip.uid, clip.name), pattern, first, count) > 0


def add_on_track(
    project: "fusionscript.Project",
    timeline: "fusionscript.Timeline",
    clip: Clip,
    media: "fusionscript.MediaPoolItem",
    pattern: str,
    first: int,
    count: int,
    lead: int,
) -> str:
    """Put the coloured media above the clip on a track named ColorMNet; the new item's unique id.

    Resolve drops appends that would overlap without a word, so the track is read back. Raises PassError.
    """
    there = _on_track(timeline, clip, pattern, first, count)
    if there is not None:
        return item_uid(there)
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    _make_current(project, timeline, clip)
    track, made = _free_track(timeline, clip), False
    if not track:
        before = int(timeline.GetTrackCount("video") or 0)
        # The stubs ask for a sub-track type, which the vendor's guide gives for audio only.
        timeline.AddTrack("video")  # type: ignore[call-overload, unused-ignore]
        track = int(timeline.GetTrackCount("video") or 0)
        if track != before + 1:
            raise PassError(
                "No video track can be added for '{0}': unlock the timeline and try again.".format(clip.name)
            )
        if not timeline.SetTrackName("video", track, TRACK_NAME) or timeline.GetTrackName("video", track) != TRACK_NAME:
            timeline.DeleteTrack("video", track)
            raise PassError(
                "The new video track for '{0}' cannot be named: unlock the timeline and try again.".format(clip.name)
            )
        made = True
    for end in (lead + clip.duration, lead + clip.duration - 1):  # exclusive, as documented; read back all the same
        info: Any = {
            "mediaPoolItem": media,
            "startFrame": lead,
            "endFrame": end,
            "recordFrame": clip.start,
            "trackIndex": track,
            "mediaType": 1,
        }
        pool.AppendToTimeline([info])  # type: ignore[arg-type]  # the stub knows single items only
        item = _on_track(timeline, clip, pattern, first, count)
        if item is None:
            break
        if frames_of(item.GetDuration(False)) == clip.duration:
            return item_uid(item)
        timeline.DeleteClips([item], False)
    if made and not each(timeline.GetItemListInTrack("video", track)):
        timeline.DeleteTrack("video", track)
    raise PassError(
        "Resolve did not put the coloured clip of '{0}' on track {1}: put it there by hand from the bin.".format(
            clip.name, track
        )
    )
