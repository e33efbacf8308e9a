"""A stand-in for DaVinci Resolve's scripting interface that fails as silently as the real one, and really renders.

What is modelled (each met in the field): failure is ``None`` or ``False``; every attribute name exists (``hasattr`` is
always true); handles that a call returns may be dead, and edits kill handles got before; a bare dict to
``AppendToTimeline`` freezes (here: `Frozen`); overlapping appends are dropped without a word; end frames exclusive;
``GetSourceStartFrame`` is one off; EXR jobs stay at 100 % without ever being "Complete"; Deliver settings leak; files
are numbered by timeline frame. Its methods are checked against ``fusionscript-stubs`` with mypy: each is an
``override`` of the stub's. What it renders are real EXR files, from real source frames, by OpenImageIO.
"""

from __future__ import annotations

import copy
import functools
import itertools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import imageio_ffmpeg
import numpy as np
import OpenImageIO as oiio  # noqa: N813
from typing_extensions import Never, override

F = TypeVar("F", bound=Callable[..., Any])
NOTHING: Never = cast(Never, None)  # what a call that failed returns
NEVER = ("FinalizeTake", "ReplaceClip", "DeleteAllRenderJobs", "DeleteFolders", "DeleteProject", "SaveProject")


class Silent:
    """Base of all handles at run time: any unknown name reads as None."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in NEVER:
            raise AssertionError(f"the pass must never use {name}")
        return None


if TYPE_CHECKING:
    import fusionscript.fusionscript as stub
else:

    class stub:  # noqa: N801
        Resolve = ProjectManager = Project = MediaPool = Folder = MediaPoolItem = Timeline = TimelineItem = Graph = (
            Silent
        )


class Frozen(BaseException):
    """The real Resolve would hang here until it is killed."""


@dataclass
class Quirks:
    """How this Resolve behaves; tests turn them."""

    product: str = "DaVinci Resolve Studio"
    version: str = "20.1.0.20"
    headless: bool = False  # started with -nogui: no pages, no windows
    stuck_at_100: bool = True
    source_start_off_by_one: bool = True
    returned_handles_dead: bool = True
    take_end_exclusive: bool = False
    append_end_inclusive: bool = False
    exr: bool = True
    frames_per_poll: int = 3
    stand_still: bool = False  # a render that never gets on
    lose_last_frame: bool = False  # a job that ends well with a file missing
    silent: set[str] = field(default_factory=set)  # "Class.Method" that does nothing and returns `silence`
    silence: bool | None = None  # or False
    failing_media: set[str] = field(default_factory=set)  # names of media whose render fails
    on_render_poll: Callable[[int], None] | None = None  # called with the number of frames rendered so far


@dataclass
class MediaData:
    uid: str
    name: str
    path: str  # as Resolve shows it
    files: list[str]
    width: int
    height: int
    fps: float
    frames: int
    properties: dict[str, str]


@dataclass
class TakeData:
    media: MediaData
    start: int
    end: int  # exclusive


@dataclass
class ItemData:
    uid: str
    name: str
    start: int
    duration: int
    takes: list[TakeData]
    selected: int = 0
    is_selector: bool = False
    markers: dict[float, dict[str, Any]] = field(default_factory=dict)
    nodes: list[list[str]] = field(default_factory=lambda: [[]])
    fusion_comps: int = 0
    retime: int = 0  # added to the right offset, as a speed change does

    def length(self) -> int:
        take = self.takes[self.selected]
        if not self.is_selector or self.selected == 0:
            return self.duration
        return take.end - take.start


@dataclass
class TrackData:
    name: str
    items: list[ItemData] = field(default_factory=list)
    locked: bool = False


@dataclass
class TimelineData:
    uid: str
    name: str
    start: int
    tracks: list[TrackData]
    settings: dict[str, str]
    playhead: int
    edits: int = 0  # handles got before an edit are dead after it


@dataclass
class FolderData:
    uid: str
    name: str
    media: list[MediaData] = field(default_factory=list)
    folders: list[FolderData] = field(default_factory=list)


@dataclass
class Deliver:
    """The Deliver page; it keeps whatever it was told last."""

    format: str = "mov"
    codec: str = "ProRes422HQ"
    mode: int = 0
    settings: dict[str, Any] = field(
        default_factory=lambda: {"TargetDir": "/deliver", "CustomName": "final", "ExportAudio": True}
    )


@dataclass
class Job:
    uid: str
    timeline: TimelineData
    deliver: Deliver
    frames: list[int]
    status: str = "Ready"
    error: str = ""
    done: int = 0


class World:
    """The state behind the handles, and the way tests build a project."""

    def __init__(self) -> None:
        self.quirks = Quirks()
        self.ids = itertools.count(1)
        self.calls: list[str] = []
        self.root = FolderData("root", "Master")
        self.folder = self.root
        self.timelines: list[TimelineData] = []
        self.current: TimelineData | None = None
        self.deliver = Deliver()
        self.presets: dict[str, Deliver] = {}
        self.jobs: list[Job] = []
        self.rendering: Job | None = None
        self.page = "edit"
        self.selected_media: list[str] = []
        self.project_settings = {
            "colorScienceMode": "davinciYRGB",
            "colorSpaceTimeline": "Rec.709 Gamma 2.4",
            "colorSpaceOutput": "Rec.709 Gamma 2.4",
            "timelineFrameRate": "24",
            "timelineResolutionWidth": "1920",
            "timelineResolutionHeight": "1080",
        }

    # What tests build with -------------------------------------------------------------------------------------------

    def uid(self, kind: str) -> str:
        return f"{kind}-{next(self.ids):04d}"

    def add_sequence(self, files: list[Path], name: str = "", fps: float = 24.0) -> MediaData:
        """Numbered image files as one clip in the root bin."""
        height, width = read_rgb(files[0]).shape[:2]
        media = self._sequence([str(f) for f in files], name, width, height, fps)
        self.root.media.append(media)
        return media

    def _sequence(self, files: list[str], name: str, width: int, height: int, fps: float) -> MediaData:
        head, first, extension = cast(Any, re.match(r"(.*?)(\d+)(\.\w+)$", files[0])).groups()
        last = cast(Any, re.match(r".*?(\d+)\.\w+$", files[-1])).group(1)
        shown = f"{head}[{first}-{last}]{extension}"
        return self._media(shown, files, name or os.path.basename(shown), width, height, fps, len(files))

    def _media(
        self, path: str, files: list[str], name: str, width: int, height: int, fps: float, frames: int
    ) -> MediaData:
        properties = {"PAR": "Square", "Input Color Space": "Rec.709 Gamma 2.4", "Type": "Video"}
        return MediaData(self.uid("media"), name, path, files, width, height, fps, frames, properties)

    def add_timeline(self, name: str = "Reel 1") -> TimelineData:
        made = TimelineData(self.uid("timeline"), name, 86400, [TrackData("Video 1")], {}, 86400)
        self.timelines.append(made)
        self.current = made
        return made

    def add_clip(
        self,
        timeline: TimelineData,
        media: MediaData,
        start: int,
        duration: int,
        left: int = 0,
        track: int = 1,
        name: str = "",
    ) -> ItemData:
        while len(timeline.tracks) < track:
            timeline.tracks.append(TrackData(f"Video {len(timeline.tracks) + 1}"))
        item = ItemData(self.uid("item"), name or media.name, start, duration, [TakeData(media, left, left + duration)])
        timeline.tracks[track - 1].items.append(item)
        return item

    def snapshot(self) -> dict[str, Any]:
        """Everything a pass must leave as it was, but for takes, the ColorMNet bin and tracks of its own."""
        tracks = {
            timeline.name: [
                [
                    (i.uid, i.name, i.start, i.length(), i.takes[0].media.path, i.takes[0].start, i.markers)
                    for i in t.items
                ]
                for t in timeline.tracks
            ]
            for timeline in self.timelines
        }
        return copy.deepcopy(
            {
                "timelines": [t.uid for t in self.timelines],
                "tracks": tracks,
                "current": self.current.uid if self.current else "",
                "playheads": {t.uid: t.playhead for t in self.timelines},
                "settings": {t.uid: t.settings for t in self.timelines},
                "deliver": self.deliver,
                "presets": sorted(self.presets),
                "jobs": [j.uid for j in self.jobs],
                "page": self.page,
                "folder": self.folder.uid,
            }
        )

    # Rendering -------------------------------------------------------------------------------------------------------

    def visible(self, timeline: TimelineData, frame: int) -> tuple[ItemData, str] | None:
        """The topmost item at a timeline frame and its source file."""
        for track in reversed(timeline.tracks):
            for item in track.items:
                if item.start <= frame < item.start + item.length():
                    take = item.takes[item.selected]
                    return item, take.media.files[take.start + frame - item.start]
        return None

    def poll(self) -> None:
        """Go on with the running job by a few frames, as time would."""
        job = self.rendering
        if job is None or self.quirks.stand_still:
            return
        for _ in range(self.quirks.frames_per_poll):
            if job.done == len(job.frames):
                break
            self._render(job, job.frames[job.done])
            job.done += 1
        if self.quirks.on_render_poll is not None:
            self.quirks.on_render_poll(job.done)
        if job.done == len(job.frames) and self.rendering is job:
            self.rendering = None
            job.status = "Rendering" if self.quirks.stuck_at_100 and job.deliver.format == "exr" else "Complete"

    def _render(self, job: Job, frame: int) -> None:
        seen = self.visible(job.timeline, frame)
        if seen is None or (self.quirks.lose_last_frame and frame == job.frames[-1]):
            return
        settings = job.deliver.settings
        picture = read_rgb(seen[1])
        size = (int(settings.get("FormatWidth", picture.shape[1])), int(settings.get("FormatHeight", picture.shape[0])))
        if (picture.shape[1], picture.shape[0]) != size:
            scaled = oiio.ImageBufAlgo.resize(oiio.ImageBuf(picture), roi=oiio.ROI(0, size[0], 0, size[1], 0, 1, 0, 3))
            picture = np.asarray(scaled.get_pixels(oiio.FLOAT))
        target = Path(settings["TargetDir"])
        if target.is_dir():
            write_rgb(target / f"{settings['CustomName']}_{frame:08d}.exr", picture, "half")


def read_rgb(path: str | Path) -> np.ndarray[Any, Any]:
    """(H, W, 3) float32."""
    found = oiio.ImageInput.open(str(path))
    assert found is not None, oiio.geterror()
    pixels = np.asarray(found.read_image(0, 0, 0, 3, oiio.FLOAT), dtype=np.float32)
    found.close()
    return pixels


def write_rgb(path: str | Path, pixels: np.ndarray[Any, Any], kind: str) -> None:
    """Write (H, W, 3) float32 as "half", "uint16" or "uint8"."""
    spec = oiio.ImageSpec(pixels.shape[1], pixels.shape[0], 3, kind)
    out = oiio.ImageOutput.create(str(path))
    assert out is not None, oiio.geterror()
    assert out.open(str(path), spec), out.geterror()
    assert out.write_image(np.ascontiguousarray(pixels, dtype=np.float32)), out.geterror()
    out.close()


def api(method: F) -> F:
    """A method of the interface: recorded; silent when told to be, when its handle is dead or an argument's is."""

    @functools.wraps(method)
    def called(self: Any, *args: Any, **kwargs: Any) -> Any:
        name = method.__qualname__
        self._world.calls.append(name)
        if name in self._world.quirks.silent:
            return self._world.quirks.silence
        if not self._alive():
            return None
        return method(self, *args, **kwargs)

    return cast(F, called)


class Handle:
    """What all handles share."""

    _world: World

    def _alive(self) -> bool:
        return True


class Resolve(Handle, stub.Resolve):
    """The application."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    @api
    def GetProductName(self) -> str:
        return self._world.quirks.product

    @override
    @api
    def GetVersionString(self) -> str:
        return self._world.quirks.version

    @override
    @api
    def GetCurrentPage(self) -> Any:
        return NOTHING if self._world.quirks.headless else self._world.page

    @override
    @api
    def OpenPage(self, pageName: Any) -> bool:
        if self._world.quirks.headless:
            return False
        self._world.page = pageName
        return True

    @override
    @api
    def GetProjectManager(self) -> ProjectManager:
        return ProjectManager(self._world)

    @override
    @api
    def Fusion(self) -> Any:
        return NOTHING


class ProjectManager(Handle, stub.ProjectManager):
    """The project manager."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    @api
    def GetCurrentProject(self) -> Project:
        return Project(self._world)


class Project(Handle, stub.Project):
    """The open project with its Deliver page."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    @api
    def GetName(self) -> str:
        return "Archive"

    @override
    @api
    def GetMediaPool(self) -> MediaPool:
        return MediaPool(self._world)

    @override
    @api
    def GetTimelineCount(self) -> int:
        return len(self._world.timelines)

    @override
    @api
    def GetTimelineByIndex(self, idx: int) -> Timeline:
        return Timeline(self._world, self._world.timelines[idx - 1])

    @override
    @api
    def GetCurrentTimeline(self) -> Timeline:
        return NOTHING if self._world.current is None else Timeline(self._world, self._world.current)

    @override
    @api
    def SetCurrentTimeline(self, timeline: Any) -> bool:
        if timeline is None or timeline._data not in self._world.timelines:
            return False
        self._world.current = timeline._data
        return True

    @override
    @api
    def GetSetting(self, settingName: str) -> str:
        return self._world.project_settings.get(settingName, "")

    @override
    @api
    def GetRenderCodecs(self, renderFormat: str) -> dict[str, str]:
        if renderFormat != "exr" or not self._world.quirks.exr:
            return {}
        return {
            "RGB float": "RGBFloat",
            "RGB half (DWAA)": "RGBHalfDWAA",
            "RGB half (ZIP)": "RGBHalfZIP",
            "RGBA half (ZIP)": "RGBAHalfZIP",
        }

    @override
    @api
    def GetCurrentRenderFormatAndCodec(self) -> Any:
        return {"format": self._world.deliver.format, "codec": self._world.deliver.codec}

    @override
    @api
    def SetCurrentRenderFormatAndCodec(self, format: str, codec: str) -> bool:
        if format == "exr" and codec not in self.GetRenderCodecs("exr").values():
            return False
        self._world.deliver.format, self._world.deliver.codec = format, codec
        return True

    @override
    @api
    def GetCurrentRenderMode(self) -> Any:
        return self._world.deliver.mode

    @override
    @api
    def SetCurrentRenderMode(self, renderMode: Any) -> bool:
        self._world.deliver.mode = renderMode
        return True

    @override
    @api
    def SetRenderSettings(self, settings: Any) -> bool:
        if set(settings) - RENDER_SETTINGS:
            return False
        self._world.deliver.settings.update(settings)
        return True

    @override
    @api
    def SaveAsNewRenderPreset(self, presetName: str) -> bool:
        if presetName in self._world.presets:
            return False
        self._world.presets[presetName] = copy.deepcopy(self._world.deliver)
        return True

    @override
    @api
    def LoadRenderPreset(self, presetName: str) -> bool:
        if presetName not in self._world.presets:
            return False
        self._world.deliver = copy.deepcopy(self._world.presets[presetName])
        return True

    @override
    @api
    def DeleteRenderPreset(self, presetName: str) -> bool:
        return self._world.presets.pop(presetName, None) is not None

    @override
    @api
    def GetRenderPresetList(self) -> Any:
        return list(self._world.presets)

    @override
    @api
    def AddRenderJob(self) -> str:
        world = self._world
        if world.current is None or not os.access(str(world.deliver.settings.get("TargetDir")), os.W_OK):
            return ""
        items = [i for track in world.current.tracks for i in track.items]
        if not items:
            return ""
        first, end = min(i.start for i in items), max(i.start + i.length() for i in items)
        if not world.deliver.settings.get("SelectAllFrames", True):
            first, end = world.deliver.settings["MarkIn"], world.deliver.settings["MarkOut"] + 1
        job = Job(world.uid("job"), world.current, copy.deepcopy(world.deliver), list(range(first, end)))
        world.jobs.append(job)
        return job.uid

    @override
    @api
    def DeleteRenderJob(self, jobId: str) -> bool:
        before = len(self._world.jobs)
        self._world.jobs = [job for job in self._world.jobs if job.uid != jobId]
        return len(self._world.jobs) < before

    @override
    @api
    def StartRendering(self, *args: Any, **kwargs: Any) -> bool:
        world = self._world
        if world.rendering is not None or not isinstance(args[0], list):
            return False
        job = next((job for job in world.jobs if job.uid == args[0][0]), None)
        if job is None:
            return False
        if not world.quirks.headless:
            world.page = "deliver"
        names = {t.media.name for track in job.timeline.tracks for i in track.items for t in i.takes}
        if names & world.quirks.failing_media:
            job.status, job.error = "Failed", "Clip could not be rendered"
            return True
        job.status = "Rendering"
        world.rendering = job
        return True

    @override
    @api
    def StopRendering(self) -> None:
        if self._world.rendering is not None:
            self._world.rendering.status = "Cancelled"
            self._world.rendering = None

    @override
    @api
    def IsRenderingInProgress(self) -> bool:
        self._world.poll()
        return self._world.rendering is not None

    @override
    @api
    def GetRenderJobStatus(self, jobId: Any) -> Any:
        job = next((job for job in self._world.jobs if job.uid == jobId), None)
        if job is None:
            return NOTHING
        status = {"JobStatus": job.status, "CompletionPercentage": 100 * job.done // max(1, len(job.frames))}
        return {**status, "Error": job.error} if job.error else status

    @override
    @api
    def ExportCurrentFrameAsStill(self, filePath: str) -> bool:
        timeline = self._world.current
        seen = None if timeline is None else self._world.visible(timeline, timeline.playhead)
        if seen is None or not os.path.isdir(os.path.dirname(filePath)):
            return False
        write_rgb(filePath, read_rgb(seen[1]), "uint16")
        return True


RENDER_SETTINGS = {
    "SelectAllFrames", "MarkIn", "MarkOut", "TargetDir", "CustomName", "ExportVideo", "ExportAudio", "FormatWidth",
    "FormatHeight", "FrameRate", "ColorSpaceTag", "GammaTag", "ExportAlpha", "ReplaceExistingFilesInPlace",
}  # fmt: skip


class Folder(Handle, stub.Folder):
    """A bin."""

    def __init__(self, world: World, data: FolderData) -> None:
        self._world = world
        self._data = data

    @override
    @api
    def GetName(self) -> str:
        return self._data.name

    @override
    @api
    def GetUniqueId(self) -> str:
        return self._data.uid

    @override
    @api
    def GetClipList(self) -> Any:
        return [MediaPoolItem(self._world, media) for media in self._data.media]

    @override
    @api
    def GetSubFolderList(self) -> Any:
        return [Folder(self._world, folder) for folder in self._data.folders]


class MediaPool(Handle, stub.MediaPool):
    """The media pool; it edits the current timeline."""

    def __init__(self, world: World) -> None:
        self._world = world

    @override
    @api
    def GetRootFolder(self) -> Folder:
        return Folder(self._world, self._world.root)

    @override
    @api
    def GetCurrentFolder(self) -> Folder:
        return Folder(self._world, self._world.folder)

    @override
    @api
    def SetCurrentFolder(self, folder: Any) -> bool:
        if folder is None:
            return False
        self._world.folder = folder._data
        return True

    @override
    @api
    def AddSubFolder(self, folder: Any, name: str) -> Folder:
        made = FolderData(self._world.uid("folder"), name)
        folder._data.folders.append(made)
        self._world.folder = made
        return Folder(self._world, made)

    @override
    @api
    def GetSelectedClips(self) -> Any:
        return [MediaPoolItem(self._world, m) for m in self._all_media() if m.uid in self._world.selected_media]

    def _all_media(self) -> list[MediaData]:
        return [m for folder in (self._world.root, *self._world.root.folders) for m in folder.media]

    @override
    @api
    def CreateEmptyTimeline(self, name: str) -> Timeline:
        if any(t.name == name for t in self._world.timelines):
            return NOTHING
        return Timeline(self._world, self._world.add_timeline(name))

    @override
    @api
    def DeleteTimelines(self, timeline: Any) -> bool:
        assert isinstance(timeline, list)
        doomed = [t._data for t in timeline]
        if self._world.current in doomed:
            return False  # the open timeline cannot be deleted
        self._world.timelines = [t for t in self._world.timelines if t not in doomed]
        return True

    @override
    @api
    def DeleteClips(self, clips: Any) -> bool:
        for folder in (self._world.root, *self._world.root.folders):
            folder.media = [m for m in folder.media if m.uid not in {c._data.uid for c in clips}]
        return True

    @override
    @api
    def AppendToTimeline(self, clip1: Any, *args: Any) -> Any:
        if isinstance(clip1, dict):
            raise Frozen("AppendToTimeline was given a bare dict")
        timeline = self._world.current
        if timeline is None:
            return NOTHING
        return [self._append(timeline, info) for info in clip1]

    def _append(self, timeline: TimelineData, info: dict[str, Any]) -> Any:
        media = info["mediaPoolItem"]._data
        end = info["endFrame"] + (1 if self._world.quirks.append_end_inclusive else 0)
        duration = end - info["startFrame"]
        track = info.get("trackIndex", 1)
        if track > len(timeline.tracks) or duration <= 0 or end > media.frames or timeline.tracks[track - 1].locked:
            return None
        start = info["recordFrame"]
        for item in timeline.tracks[track - 1].items:
            if start < item.start + item.length() and item.start < start + duration:
                return None
        item = self._world.add_clip(timeline, media, start, duration, info["startFrame"], track)
        timeline.edits += 1
        return TimelineItem(self._world, timeline, item, dead=self._world.quirks.returned_handles_dead)

    @override
    @api
    def ImportMedia(self, items: Any) -> Any:
        known = {m.path for m in self._all_media()}
        made: list[Any] = []
        for entry in items:
            media = self._import(entry)
            if media is not None and media.path not in known:
                self._world.folder.media.append(media)
                made.append(MediaPoolItem(self._world, media, dead=self._world.quirks.returned_handles_dead))
        return made

    def _import(self, entry: Any) -> MediaData | None:
        fps = float(self._world.project_settings["timelineFrameRate"])
        if isinstance(entry, str):
            if not os.path.isfile(entry):
                return None
            size = next(imageio_ffmpeg.read_frames(entry))["size"]
            frames = imageio_ffmpeg.count_frames_and_secs(entry)[0]
            return self._world._media(entry, [entry], os.path.basename(entry), size[0], size[1], fps, frames)
        files = [entry["FilePath"] % n for n in range(entry["StartIndex"], entry["EndIndex"] + 1)]
        if not all(os.path.isfile(f) for f in files):
            return None
        shape = read_rgb(files[0]).shape
        return self._world._sequence(files, "", shape[1], shape[0], fps)


class MediaPoolItem(Handle, stub.MediaPoolItem):
    """A clip in the media pool."""

    def __init__(self, world: World, data: MediaData, dead: bool = False) -> None:
        self._world = world
        self._data = data
        self._dead = dead

    @override
    def _alive(self) -> bool:
        return not self._dead

    @override
    @api
    def GetName(self) -> str:
        return self._data.name

    @override
    @api
    def GetUniqueId(self) -> str:
        return self._data.uid

    @override
    @api
    def GetClipProperty(self, propertyName: str | None = None) -> Any:
        data = self._data
        fixed = {
            "File Path": data.path,
            "Frames": str(data.frames),
            "FPS": f"{data.fps:g}",
            "Resolution": f"{data.width}x{data.height}",
        }
        everything = {**data.properties, **fixed}
        return everything if propertyName is None else everything.get(propertyName, "")

    @override
    @api
    def SetClipProperty(self, propertyName: str, propertyValue: Any) -> bool:
        self._data.properties[propertyName] = propertyValue
        return True


class Timeline(Handle, stub.Timeline):
    """A timeline."""

    def __init__(self, world: World, data: TimelineData) -> None:
        self._world = world
        self._data = data

    @override
    @api
    def GetName(self) -> str:
        return self._data.name

    @override
    @api
    def GetUniqueId(self) -> str:
        return self._data.uid

    @override
    @api
    def GetStartFrame(self) -> int:
        return self._data.start

    @override
    @api
    def GetTrackCount(self, trackType: Any) -> int:
        return len(self._data.tracks) if trackType == "video" else 0

    @override
    @api
    def AddTrack(self, trackType: Any, *args: Any) -> bool:
        self._data.tracks.append(TrackData(f"Video {len(self._data.tracks) + 1}"))
        return True

    @override
    @api
    def DeleteTrack(self, trackType: Any, trackIndex: int) -> bool:
        del self._data.tracks[trackIndex - 1]
        return True

    @override
    @api
    def GetTrackName(self, trackType: Any, trackIndex: int) -> str:
        return self._data.tracks[trackIndex - 1].name

    @override
    @api
    def SetTrackName(self, trackType: Any, trackIndex: int, name: str) -> bool:
        self._data.tracks[trackIndex - 1].name = name
        return True

    @override
    @api
    def GetIsTrackLocked(self, trackType: Any, trackIndex: int) -> bool:
        return self._data.tracks[trackIndex - 1].locked

    @override
    @api
    def GetItemListInTrack(self, trackType: Any, index: int) -> Any:
        if trackType != "video" or not 1 <= index <= len(self._data.tracks):
            return NOTHING
        items = sorted(self._data.tracks[index - 1].items, key=lambda item: item.start)
        return [TimelineItem(self._world, self._data, item) for item in items]

    @override
    @api
    def DeleteClips(self, timelineItems: Any, Bool: bool = False) -> bool:
        uids = {item._item.uid for item in timelineItems if item._alive()}
        for track in self._data.tracks:
            track.items = [item for item in track.items if item.uid not in uids]
        self._data.edits += 1
        return bool(uids)

    @override
    @api
    def GetCurrentVideoItem(self) -> TimelineItem:
        seen = self._world.visible(self._data, self._data.playhead)
        return NOTHING if seen is None else TimelineItem(self._world, self._data, seen[0])

    @override
    @api
    def GetCurrentTimecode(self) -> str:
        return timecode(self._data.playhead)

    @override
    @api
    def SetCurrentTimecode(self, timecode: str) -> bool:
        hours, minutes, seconds, frames = (int(part) for part in re.split("[:;]", timecode))
        self._data.playhead = ((hours * 60 + minutes) * 60 + seconds) * 24 + frames
        return True

    @override
    @api
    def GetSetting(self, settingName: str) -> str:
        return self._data.settings.get(settingName, self._world.project_settings.get(settingName, ""))

    @override
    @api
    def SetSetting(self, settingName: str, settingValue: str) -> bool:
        if settingName != "useCustomSettings" and self._data.settings.get("useCustomSettings") != "1":
            return False
        self._data.settings[settingName] = settingValue
        return True


def timecode(frame: int) -> str:
    """HH:MM:SS:FF at 24 frames a second."""
    seconds, frames = divmod(frame, 24)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{frames:02d}"


class Graph(Handle, stub.Graph):
    """The nodes of a clip's grade."""

    def __init__(self, world: World, item: ItemData) -> None:
        self._world = world
        self._item = item

    @override
    @api
    def GetNumNodes(self) -> int:
        return len(self._item.nodes)

    @override
    @api
    def GetToolsInNode(self, nodeIndex: int) -> Any:
        return self._item.nodes[nodeIndex - 1]

    @override
    @api
    def GetLUT(self, nodeIndex: int) -> str:
        return ""


class TimelineItem(Handle, stub.TimelineItem):
    """A clip on a timeline; dead after the next edit of that timeline."""

    def __init__(self, world: World, timeline: TimelineData, item: ItemData, dead: bool = False) -> None:
        self._world = world
        self._timeline = timeline
        self._item = item
        self._born = -1 if dead else timeline.edits

    @override
    def _alive(self) -> bool:
        return self._born == self._timeline.edits

    def _take(self) -> TakeData:
        return self._item.takes[self._item.selected]

    @override
    @api
    def GetName(self) -> str:
        return self._item.name

    @override
    @api
    def GetUniqueId(self) -> str:
        return self._item.uid

    @override
    @api
    def GetStart(self, subframe_precision: bool = False) -> int | float:
        return self._item.start

    @override
    @api
    def GetDuration(self, subframe_precision: bool = False) -> int | float:
        return self._item.length()

    @override
    @api
    def GetLeftOffset(self, subframe_precision: bool = False) -> int | float:
        return self._take().start

    @override
    @api
    def GetRightOffset(self, subframe_precision: bool = False) -> int | float:
        return self._take().media.frames - self._take().start - self._item.length() + self._item.retime

    @override
    @api
    def GetSourceStartFrame(self) -> int:
        return self._take().start + (1 if self._world.quirks.source_start_off_by_one else 0)

    @override
    @api
    def GetMediaPoolItem(self) -> MediaPoolItem:
        return MediaPoolItem(self._world, self._take().media)

    @override
    @api
    def GetMarkers(self) -> Any:
        return copy.deepcopy(self._item.markers)

    @override
    @api
    def GetFusionCompCount(self) -> int:
        return self._item.fusion_comps

    @override
    @api
    def GetNodeGraph(self, layerIdx: int | None = None) -> Any:
        return Graph(self._world, self._item)

    def _locked(self) -> bool:
        return any(self._item in track.items and track.locked for track in self._timeline.tracks)

    @override
    @api
    def GetTakesCount(self) -> int:
        return len(self._item.takes) if self._item.is_selector else 0

    @override
    @api
    def GetSelectedTakeIndex(self) -> int:
        return self._item.selected + 1 if self._item.is_selector else 0

    @override
    @api
    def GetTakeByIndex(self, idx: int) -> Any:
        if not 1 <= idx <= len(self._item.takes):
            return NOTHING
        take = self._item.takes[idx - 1]
        media = MediaPoolItem(self._world, take.media)
        return {"startFrame": take.start, "endFrame": take.end - 1, "mediaPoolItem": media}

    @override
    @api
    def AddTake(self, mediaPoolItem: Any, startFrame: int | None = None, endFrame: int | None = None) -> bool:
        if self._locked() or not mediaPoolItem._alive():
            return False
        media = mediaPoolItem._data
        start = startFrame or 0
        end = media.frames if endFrame is None else endFrame + (0 if self._world.quirks.take_end_exclusive else 1)
        if end > media.frames:
            return False
        self._item.is_selector = True
        self._item.takes.append(TakeData(media, start, end))
        self._timeline.edits += 1
        return True

    @override
    @api
    def SelectTakeByIndex(self, idx: int) -> bool:
        if self._locked() or not 1 <= idx <= len(self._item.takes):
            return False
        self._item.selected = idx - 1
        return True

    @override
    @api
    def DeleteTakeByIndex(self, idx: int) -> bool:
        if self._locked() or not 2 <= idx <= len(self._item.takes):
            return False
        del self._item.takes[idx - 1]
        self._item.selected = min(self._item.selected, len(self._item.takes) - 1)
        self._item.is_selector = len(self._item.takes) > 1
        self._timeline.edits += 1
        return True
