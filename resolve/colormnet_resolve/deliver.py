"""Render one clip, ungraded, to half-float EXR by a temporary timeline; leave Resolve as it was found."""

import os
import time
import uuid
from typing import TYPE_CHECKING, Any, List, Optional, Tuple

from .checks import as_float, each, got, need, offers
from .errors import Cancelled, PassError
from .progress import Reporter
from .selection import Clip, frames_of
from .sequences import numbered_files

if TYPE_CHECKING:
    import fusionscript

TEMPORARY = "ColorMNet temporary "  # timelines and render presets of this name are ours to delete
POLL_SECONDS = 0.25
IDLE_POLLS = 20  # polls of a job that neither runs nor ends, after which it is taken as stopped by somebody
COLOUR_SETTINGS = (
    "colorScienceMode",
    "colorSpaceTimeline",
    "colorSpaceTimelineGamma",
    "colorSpaceOutput",
    "colorSpaceOutputGamma",
)
LOSSY = ("dwa", "b44")


class ResolveState:
    """What a pass disturbs in Resolve, kept on entering and put back on leaving, whatever happens.

    Resolve cannot tell its Deliver settings, so they are kept as a temporary render preset. What cannot be put back is
    reported as a warning, so that it never hides the error that ended the pass.
    """

    def __init__(
        self,
        resolve: "fusionscript.Resolve",
        project: "fusionscript.Project",
        timeline: "fusionscript.Timeline",
        reporter: Reporter,
    ) -> None:
        self._resolve = resolve
        self._project = project
        self._timeline = timeline
        self._reporter = reporter
        self._pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
        self._preset = ""

    def __enter__(self) -> "ResolveState":
        self._page = self._resolve.GetCurrentPage()
        self._folder = got(self._pool.GetCurrentFolder())
        self._timecode = self._timeline.GetCurrentTimecode()
        self._format: Any = self._project.GetCurrentRenderFormatAndCodec() or {}
        self._mode = self._project.GetCurrentRenderMode()
        preset = TEMPORARY + uuid.uuid4().hex[:8]
        if self._project.SaveAsNewRenderPreset(preset):
            self._preset = preset
        else:
            self._reporter.warn(
                "the Deliver settings cannot be kept as a preset; format, codec and mode will be put back."
            )
        return self

    def __exit__(self, *_details: Any) -> None:
        for what, put_back in (
            ("the current timeline", self._put_back_timeline),
            ("the Deliver settings", self._put_back_deliver),
            ("the media pool's folder", self._put_back_folder),
            ("the page", self._put_back_page),
            ("the playhead", self._put_back_playhead),
        ):
            if not put_back():
                self._reporter.warn("{0} could not be put back: please check it.".format(what))

    def _put_back_timeline(self) -> bool:
        wanted = self._timeline.GetUniqueId()
        current = got(self._project.GetCurrentTimeline())
        if current is None or current.GetUniqueId() != wanted:
            self._project.SetCurrentTimeline(self._timeline)
            current = got(self._project.GetCurrentTimeline())
        return current is not None and current.GetUniqueId() == wanted

    def _put_back_deliver(self) -> bool:
        good = True
        if self._preset:
            good = bool(self._project.LoadRenderPreset(self._preset))
            if not self._project.DeleteRenderPreset(self._preset):
                self._reporter.warn("the render preset '{0}' could not be deleted: delete it.".format(self._preset))
        form, codec = self._format.get("format"), self._format.get("codec")
        if form and codec:
            if self._project.GetCurrentRenderFormatAndCodec() != self._format:
                self._project.SetCurrentRenderFormatAndCodec(form, codec)
            good = good and self._project.GetCurrentRenderFormatAndCodec() == self._format
        if self._mode is not None and self._project.GetCurrentRenderMode() != self._mode:
            self._project.SetCurrentRenderMode(self._mode)
            good = good and self._project.GetCurrentRenderMode() == self._mode
        return good

    def _put_back_folder(self) -> bool:
        return self._folder is None or bool(self._pool.SetCurrentFolder(self._folder))

    def _put_back_page(self) -> bool:
        # Without a window (resolve -nogui) there is no page to go back to.
        return (
            not self._page or self._resolve.GetCurrentPage() == self._page or bool(self._resolve.OpenPage(self._page))
        )

    def _put_back_playhead(self) -> bool:
        if not self._timecode or self._timeline.GetCurrentTimecode() == self._timecode:
            return True
        return bool(self._timeline.SetCurrentTimecode(self._timecode))


def remove_leftovers(project: "fusionscript.Project", timeline: "fusionscript.Timeline") -> List[str]:
    """Delete temporary timelines and render presets that a crashed pass left behind; their names."""
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    stale: List[fusionscript.Timeline] = []
    for index in range(1, int(project.GetTimelineCount() or 0) + 1):
        other = got(project.GetTimelineByIndex(index))
        if other is None or other.GetUniqueId() == timeline.GetUniqueId():
            continue
        if str(other.GetName()).startswith(TEMPORARY):
            stale.append(other)
    names = [str(other.GetName()) for other in stale]
    if stale:
        need(
            pool.DeleteTimelines(stale),
            "The left-over timeline '{0}' cannot be deleted: delete it by hand.".format(names[0]),
        )
    for preset in each(project.GetRenderPresetList()):
        if isinstance(preset, str) and preset.startswith(TEMPORARY) and project.DeleteRenderPreset(preset):
            names.append(preset)
    return names


def exr_half_codec(project: "fusionscript.Project") -> str:
    """The id of a lossless half-float RGB EXR codec; raises PassError where this Resolve offers none."""
    codecs = project.GetRenderCodecs("exr") or {}
    names = [str(name) for name in codecs.values()]
    half = [n for n in names if "half" in n.lower() and not any(bad in n.lower() for bad in LOSSY)]
    plain = [n for n in half if "rgba" not in n.lower()] or half
    for wanted in ("zip", "piz", ""):
        for name in plain:
            if wanted in name.lower():
                return name
    raise PassError(
        "This DaVinci Resolve offers no half-float EXR to render to (it offers: {0}): install the Studio edition's "
        "full set of codecs, or use --direct for image sequences.".format(", ".join(names) or "nothing")
    )


def clip_range(clip: Clip, handles: int) -> Tuple[int, int]:
    """(first source frame, count) with handles, as far as the source has them."""
    first = max(0, clip.left_offset - handles)
    end = min(clip.source_frames, clip.left_offset + clip.duration + handles)
    return first, end - first


def _fit_timeline(temporary: "fusionscript.Timeline", original: "fusionscript.Timeline", clip: Clip) -> None:
    """Give the temporary timeline the source's size and the original's colour settings, each read back."""
    wanted = [("timelineResolutionWidth", str(clip.width)), ("timelineResolutionHeight", str(clip.height))]
    for key in COLOUR_SETTINGS:
        value = original.GetSetting(key)
        if value:
            wanted.append((key, str(value)))
    wanted = [(key, value) for key, value in wanted if str(temporary.GetSetting(key)) != value]
    if not wanted:
        return
    need(
        temporary.SetSetting("useCustomSettings", "1"),
        "The temporary timeline of '{0}' takes no settings of its own: check that the project can be changed.".format(
            clip.name
        ),
    )
    for key, value in wanted:
        temporary.SetSetting(key, value)
        if str(temporary.GetSetting(key)) != value:
            raise PassError(
                "The temporary timeline of '{0}' does not take {1} = {2}: set the project's to that.".format(
                    clip.name, key, value
                )
            )


def _append(
    pool: "fusionscript.MediaPool", temporary: "fusionscript.Timeline", clip: Clip, first: int, count: int
) -> None:
    """Put the source range on the temporary timeline and read it back.

    The end frame is exclusive; should this Resolve take it as the last frame, the length read back tells, and the
    range is put again one frame off.
    """
    correction = 0
    for _attempt in range(2):
        info: Any = {
            "mediaPoolItem": clip.media,
            "startFrame": first,
            "endFrame": first + count + correction,
            "trackIndex": 1,
            "recordFrame": int(temporary.GetStartFrame() or 0),
            "mediaType": 1,
        }
        # Always a list: a bare dict can freeze Resolve. (The stub knows single items only.)
        pool.AppendToTimeline([info])  # type: ignore[arg-type]
        items = each(temporary.GetItemListInTrack("video", 1))
        if len(items) != 1:
            raise PassError(
                "'{0}' did not come onto the temporary timeline ({1} items there): relink its media.".format(
                    clip.name, len(items)
                )
            )
        length = frames_of(items[0].GetDuration(False))
        offset = frames_of(items[0].GetLeftOffset(False))
        if length == count and offset == first:
            return
        need(
            temporary.DeleteClips([items[0]], False),
            "The temporary timeline of '{0}' cannot be emptied: delete it by hand.".format(clip.name),
        )
        correction = count - length
        if abs(correction) != 1:
            break
    raise PassError(
        "'{0}' came onto the temporary timeline with {1} frames from {2} instead of {3} from {4}: render it in place "
        "first.".format(clip.name, length, offset, count, first)
    )


def _configure(project: "fusionscript.Project", clip: Clip, folder: str) -> None:
    codec = exr_half_codec(project)
    project.SetCurrentRenderFormatAndCodec("exr", codec)
    current: Any = project.GetCurrentRenderFormatAndCodec() or {}
    if str(current.get("format", "")).lower() != "exr" or current.get("codec") != codec:
        raise PassError("Deliver does not take EXR with codec {0}: try it by hand on the Deliver page.".format(codec))
    project.SetCurrentRenderMode(1)
    if project.GetCurrentRenderMode() != 1:
        raise PassError("Deliver does not go to 'Single clip' mode: choose it by hand on the Deliver page.")
    settings: Any = {
        "SelectAllFrames": True,
        "TargetDir": folder,
        "CustomName": "plate",
        "ExportVideo": True,
        "ExportAudio": False,
        "FormatWidth": clip.width,
        "FormatHeight": clip.height,
    }
    need(
        project.SetRenderSettings(settings),
        "Deliver refused the settings for '{0}' ({1}x{2} into {3}): check that the folder can be written.".format(
            clip.name, clip.width, clip.height, folder
        ),
    )


def _wait(
    project: "fusionscript.Project", job: str, clip: Clip, folder: str, patience: float, reporter: Reporter
) -> None:
    """Until the job is done; raises PassError when it failed or stands still, Cancelled when the editor says so."""
    moved = time.time()
    last = (-1.0, -1)
    idle = 0
    while True:
        if reporter.cancelled():
            project.StopRendering()
            raise Cancelled()
        status: Any = project.GetRenderJobStatus(job) or {}
        state = str(status.get("JobStatus", ""))
        percent = as_float(status.get("CompletionPercentage"))
        running = bool(project.IsRenderingInProgress())
        reporter.stage("Rendering the plate of '{0}'".format(clip.name), min(percent, 100.0) / 100.0)
        if state in ("Failed", "Cancelled"):
            raise PassError(
                "Rendering the plate of '{0}' ended as {1} ({2}): try to render the clip by hand on the Deliver "
                "page.".format(clip.name, state.lower(), status.get("Error") or "Resolve gives no reason")
            )
        if state == "Complete" or (percent >= 100 and not running):
            return  # EXR jobs can stay at 100 % without ever becoming "Complete"
        now = (percent, len(os.listdir(folder)))
        if now != last:
            last, moved = now, time.time()
        idle = 0 if running else idle + 1
        if idle >= IDLE_POLLS or time.time() - moved > patience:
            project.StopRendering()
            raise PassError(
                "Rendering the plate of '{0}' stands still at {1:.0f} %: try to render the clip by hand on the Deliver "
                "page.".format(clip.name, percent)
            )
        reporter.pause(POLL_SECONDS)


def rendered_frames(folder: str, clip: Clip, count: int) -> List[str]:
    """The paths Resolve rendered, in order; raises PassError unless exactly ``count`` whole frames are there."""
    found = numbered_files(folder, ".exr")
    numbers = sorted(found)
    whole = [n for n in numbers if os.path.getsize(found[n]) > 0]
    if len(whole) != count or (whole and whole[-1] - whole[0] + 1 != count):
        raise PassError(
            "Resolve reports '{0}' as rendered but {1} of {2} frames are in {3}: check the disk's space and "
            "permissions.".format(clip.name, len(whole), count, folder)
        )
    return [found[n] for n in numbers]


def render_plate(
    project: "fusionscript.Project",
    original: "fusionscript.Timeline",
    clip: Clip,
    handles: int,
    folder: str,
    patience: float,
    reporter: Reporter,
) -> List[str]:
    """Render a clip's source range (with handles) to EXR in ``folder``; the frames' paths, in order.

    The temporary timeline, the job and its settings are gone afterwards, and ``original`` is current again. Raises
    PassError, Cancelled.
    """
    pool = need(project.GetMediaPool(), "The media pool cannot be reached: open the project and try again.")
    first, count = clip_range(clip, handles)
    name = TEMPORARY + uuid.uuid4().hex[:8]
    temporary: Optional[fusionscript.Timeline] = None
    job = ""
    try:
        temporary = need(
            pool.CreateEmptyTimeline(name),
            "No temporary timeline can be made for '{0}': check that the project can be changed.".format(clip.name),
        )
        project.SetCurrentTimeline(temporary)
        current = need(project.GetCurrentTimeline(), "Resolve has no current timeline: open one and try again.")
        if current.GetName() != name:
            raise PassError(
                "Resolve does not go to the temporary timeline of '{0}': close other dialogs.".format(clip.name)
            )
        _fit_timeline(temporary, original, clip)
        _append(pool, temporary, clip, first, count)
        _configure(project, clip, folder)
        job = str(
            need(
                project.AddRenderJob() or None,
                "Deliver does not take the render of '{0}': check that {1} can be written.".format(clip.name, folder),
            )
        )
        need(
            project.StartRendering([job], False),
            "Deliver does not start rendering '{0}': stop any other render and try again.".format(clip.name),
        )
        _wait(project, job, clip, folder, patience, reporter)
    finally:
        _tidy(project, pool, original, temporary, job, reporter)
    return rendered_frames(folder, clip, count)


def _tidy(
    project: "fusionscript.Project",
    pool: "fusionscript.MediaPool",
    original: "fusionscript.Timeline",
    temporary: Optional["fusionscript.Timeline"],
    job: str,
    reporter: Reporter,
) -> None:
    if project.IsRenderingInProgress() and job:
        project.StopRendering()
    if job and not project.DeleteRenderJob(job):
        reporter.warn("the render job of the pass could not be deleted: remove it from the render queue by hand.")
    project.SetCurrentTimeline(original)
    if temporary is not None and not pool.DeleteTimelines([temporary]):
        reporter.warn("the timeline '{0}' could not be deleted: delete it by hand.".format(temporary.GetName()))


def direct_frames(
    clip: Clip, paths: List[str], item: "fusionscript.TimelineItem", first: int, count: int
) -> Tuple[List[str], str]:
    """(paths of the plate frames, "") where the source may be read without a render, else ([], why not)."""
    if len(paths) < first + count:
        return [], "its source is no image sequence with all frames"
    chosen = paths[first : first + count]
    missing = [path for path in chosen if not os.path.isfile(path)]
    if missing:
        return [], "{0} is missing".format(missing[0])
    comps = got(item.GetFusionCompCount())
    if comps is None or int(comps) > 0:
        return [], "it has, or may have, a Fusion composition"
    graph = got(item.GetNodeGraph(1)) if offers(item, "GetNodeGraph") else None
    nodes = got(graph.GetNumNodes()) if graph is not None else None
    if graph is None or nodes is None:
        return [], "this Resolve does not tell whether it is graded"
    for node in range(1, int(nodes) + 1):
        if graph.GetToolsInNode(node) or graph.GetLUT(node):
            return [], "it is graded"
    return chosen, ""
