"""The pass itself: edition check, clips, exemplars, plates, colour, takes; and everything put back as it was."""

import os
import shutil
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Tuple

from . import deliver, exemplars, place, selection, spaces
from .checks import need
from .colouring import Colourist, Work, least_sure
from .connect import check_edition
from .errors import Cancelled, PassError
from .exemplars import Exemplar
from .manifest import CANCELLED, DONE, FAILED, PENDING, Entry, Manifest, file_digest, fingerprint
from .movie import Encoder
from .progress import Reporter
from .selection import Clip, Refusal
from .sequences import expand_bracketed, frame_path, is_sequence, missing_frames, safe_name
from .settings import PassSettings, from_record
from .workspace import Workspace

if TYPE_CHECKING:
    import fusionscript

BIN = "ColorMNet"
FIRST_NUMBER = 1001  # of the coloured frames on disk
UNCHANGED = "unchanged"
MEDIA_COLOUR = ("Input Color Space", "Input LUT", "Data Level", "Alpha mode")  # clip properties


class Outcome(NamedTuple):
    """What became of one clip."""

    name: str
    state: str  # "done", "unchanged", "failed" or "cancelled"
    message: str
    media: str  # pattern of the coloured frames, or the movie
    code: int = 0  # exit code of a failure


class Summary(NamedTuple):
    """What became of the pass."""

    outcomes: List[Outcome]
    refusals: List[Refusal]


def exit_code(summary: Summary) -> int:
    """0 all done, 5 cancelled (the pass can be resumed), else that of the last failure: 2, 3 weights, 4 device."""
    if any(outcome.state == CANCELLED for outcome in summary.outcomes):
        return 5
    failures = [outcome.code for outcome in summary.outcomes if outcome.state == FAILED]
    return failures[-1] if failures else 0 if summary.outcomes else 2


def run_pass(
    resolve: "fusionscript.Resolve",
    settings: PassSettings,
    reporter: Reporter,
    colourist: Colourist,
    encoder: Optional[Encoder] = None,
    resume: bool = False,
) -> Summary:
    """Colour the clips the settings mean.

    One clip's failure does not stop the others. ``resume`` takes up the clips the manifest of the output folder holds
    as not done, with the exemplars and settings recorded there; of ``settings`` only the folder counts then. Raises
    PassError for what concerns the pass as a whole; Resolve is left as it was found, whatever happens.
    """
    check_edition(resolve)
    settings = _resumed(settings) if resume else settings.checked()
    manager = need(resolve.GetProjectManager(), "The project manager cannot be reached: open a project and try again.")
    project = need(manager.GetCurrentProject(), "No project is open: open one and try again.")
    timeline = need(project.GetCurrentTimeline(), "No timeline is open: open the timeline with the clips to colour.")
    if project.IsRenderingInProgress():
        raise PassError("A render is running: wait for it to end, or stop it on the Deliver page, and try again.")
    with Workspace(settings.output) as workspace:
        pass_ = _Pass(project, timeline, settings, reporter, colourist, encoder or Encoder(), resume, workspace)
        for name in deliver.remove_leftovers(project, timeline):
            reporter.warn("removed '{0}', left by a pass that did not end well.".format(name))
        with deliver.ResolveState(resolve, project, timeline, reporter):
            return pass_.run()


def _resumed(settings: PassSettings) -> PassSettings:
    """The settings the output folder's manifest holds. Its exemplars are those of the clips, not to be found again."""
    folder = os.path.abspath(os.path.expanduser(settings.output))
    recorded = Manifest(folder).settings
    if not recorded:
        raise PassError("There is nothing to resume in {0}: no pass has begun there.".format(folder))
    return from_record(recorded, folder)


class _Pass:
    def __init__(
        self,
        project: "fusionscript.Project",
        timeline: "fusionscript.Timeline",
        settings: PassSettings,
        reporter: Reporter,
        colourist: Colourist,
        encoder: Encoder,
        resume: bool,
        workspace: Workspace,
    ) -> None:
        self.workspace = workspace
        self.project = project
        self.timeline = timeline
        self.settings = settings
        self.reporter = reporter
        self.colourist = colourist
        self.encoder = encoder
        self.resume = resume
        self.manifest = Manifest(settings.output)
        self.space = spaces.output_space(project, timeline, settings.space)
        self.weights = colourist.weights(settings.model)
        self._coloured = place.bin_paths(project, BIN)
        self.space_in_resolve = spaces.timeline_space_name(project, timeline)

    def run(self) -> Summary:
        refusals: List[Refusal] = []
        clips = self._clips(refusals)
        stills = os.path.join(self.settings.output, "exemplars")
        gatherer: Optional[exemplars.Gatherer] = None
        if not self.resume:
            gatherer = exemplars.Gatherer(self.project, self.timeline, self.settings, self.space, stills)
        self.manifest.begin(dict(self.settings._asdict()), self._undone(clips, gatherer))
        outcomes: List[Outcome] = []
        for position, clip in enumerate(clips):
            # Without weights or a device no other clip can be coloured either.
            if outcomes and (outcomes[-1].state == CANCELLED or outcomes[-1].code in (3, 4)):
                break
            self.reporter.stage("Clip {0} of {1}: '{2}'".format(position + 1, len(clips), clip.name))
            outcomes.append(self._one(clip, gatherer))
        return Summary(outcomes, refusals)

    def _undone(self, clips: List[Clip], gatherer: Optional[exemplars.Gatherer]) -> List[Entry]:
        """What the manifest must hold before the first clip is touched, so that resuming finds all of them."""
        entries: List[Entry] = []
        for clip in clips:
            try:
                entry = self._planned(clip, self._exemplars(clip, gatherer))
            except PassError:
                continue  # told when it is the clip's turn
            known = self.manifest.entries.get(clip.uid)
            if known is None or known.fingerprint != entry.fingerprint or known.state != DONE:
                entries.append(entry)
        return entries

    def _clips(self, refusals: List[Refusal]) -> List[Clip]:
        if self.resume:
            open_ones = {uid for uid, entry in self.manifest.entries.items() if entry.state != DONE}
            items = [(t, i) for t, i in selection.video_items(self.timeline) if selection.item_uid(i) in open_ones]
            if not items:
                raise PassError(
                    "There is nothing to resume in {0}: no clip of this timeline is left undone there.".format(
                        self.settings.output
                    )
                )
        else:
            items = selection.chosen_items(self.project, self.timeline, self.settings, self._is_ours)
        clips: List[Clip] = []
        for track, item in items:
            try:
                clips.append(selection.describe(self.timeline, track, item, self._is_ours))
            except PassError as error:
                if len(items) == 1:
                    raise
                refusals.append(Refusal(str(item.GetName()), str(error)))
                self.reporter.warn(str(error))
        return clips

    def _exemplars(self, clip: Clip, gatherer: Optional[exemplars.Gatherer]) -> List[Exemplar]:
        if gatherer is not None:
            first, count = deliver.clip_range(clip, self.settings.handles)
            found = gatherer.of(selection.find_item(self.timeline, clip.uid, clip.name), clip.name)
            # A marker may stand outside what is coloured: its picture is then one from elsewhere.
            return [e if e.frame in range(first, first + count) else e._replace(frame=None) for e in found]
        recorded: List[Exemplar] = []
        for kept in self.manifest.entries[clip.uid].exemplars:
            path, space, frame = kept
            if not os.path.isfile(path):
                raise PassError("The exemplar {0} of '{1}' is gone: start the pass anew.".format(path, clip.name))
            recorded.append(Exemplar(path, space, frame))
        return recorded

    def _one(self, clip: Clip, gatherer: Optional[exemplars.Gatherer]) -> Outcome:
        entry: Optional[Entry] = None
        try:
            before = selection.timeline_state(self.timeline)
            pictures = self._exemplars(clip, gatherer)
            entry = self._planned(clip, pictures)
            # The folder is the fingerprint's own, and frames appear whole: all there means all right.
            if self._whole(entry):
                if self._finished(entry) and place.is_placed(
                    self.timeline, clip, self.settings.placement, entry.pattern, entry.first, entry.frames
                ):
                    self.reporter.stage("'{0}' is unchanged: nothing to do".format(clip.name))
                    self.manifest.record(entry._replace(state=DONE))
                    return Outcome(clip.name, UNCHANGED, "", entry.pattern)
                weakest = ""
            else:
                self.manifest.record(entry)
                weakest = self._colour(clip, entry, pictures)
            message = self._place(clip, entry) + weakest
            self._nothing_else_moved(clip, before)
            self.manifest.record(entry._replace(state=DONE))
            return Outcome(clip.name, DONE, message, entry.pattern)
        except (Cancelled, KeyboardInterrupt):
            if entry is not None:
                self.manifest.record(entry._replace(state=CANCELLED))
            self.reporter.warn("'{0}' was cancelled; resume takes it up where it stopped.".format(clip.name))
            return Outcome(clip.name, CANCELLED, "cancelled", "")
        except (PassError, OSError) as raised:
            error = raised if isinstance(raised, PassError) else self._of_disk(raised)
            if entry is not None:
                self.manifest.record(entry._replace(state=FAILED, message=str(error)))
            self.reporter.warn(str(error))
            return Outcome(clip.name, FAILED, str(error), "", error.exit_code)

    def _of_disk(self, error: OSError) -> PassError:
        return PassError(
            "{0} cannot be read or written ({1}): check the disk's space and permissions.".format(
                error.filename or self.settings.output, error.strerror or error
            )
        )

    def _finished(self, entry: Entry) -> bool:
        """Whether the clip's last pass was this very one and came to its end; which take is shown is the editor's."""
        known = self.manifest.entries.get(entry.uid)
        return known is not None and known.fingerprint == entry.fingerprint and known.state == DONE

    def _is_ours(self, path: str) -> bool:
        return path in self._coloured or path.startswith(self.settings.output + os.sep)

    # Planning ---------------------------------------------------------------------------------------------------------

    def _plate_parts(self, clip: Clip, first: int, count: int) -> Dict[str, Any]:
        paths, sequence = expand_bracketed(clip.source_path)
        stats: List[Tuple[int, int]] = []
        for path in paths[first : first + count] if sequence else paths:
            try:
                stat = os.stat(path)
                stats.append((stat.st_size, stat.st_mtime_ns))
            except OSError:  # the render will tell
                stats.append((-1, -1))
        return {
            "source": clip.source_path,
            "stats": stats,
            # What decides how Resolve renders the source, grades aside.
            "media": [str(clip.media.GetClipProperty(name) or "") for name in MEDIA_COLOUR],
            "colour": [str(self.timeline.GetSetting(name) or "") for name in deliver.COLOUR_SETTINGS],
            "range": [first, count],
            "size": [clip.width, clip.height],
            "direct": self.settings.source_space if self.settings.direct else "",
            "space": self.space,
        }

    def _planned(self, clip: Clip, pictures: List[Exemplar]) -> Entry:
        first, count = deliver.clip_range(clip, self.settings.handles)
        parts = self._plate_parts(clip, first, count)
        parts["exemplars"] = [[file_digest(e.path), e.space, e.frame] for e in pictures]
        parts["model"] = [self.settings.model, self.settings.working_size, self.settings.saturation]
        parts["weights"] = self.weights
        parts["delivery"] = self.settings.delivery
        mark = fingerprint(parts)
        name = safe_name(clip.name)
        # A folder of its own for each fingerprint: a changed exemplar makes new frames, the former ones stay.
        folder = os.path.join(
            self.settings.output, "{0}_{1}".format(name, fingerprint({"uid": clip.uid})[:6]), mark[:8]
        )
        if self.settings.delivery == "exr":
            pattern = os.path.join(folder, name + "_%04d.exr")
        else:
            pattern = os.path.join(folder, name + ".mov")
        kept: List[Any] = [[e.path, e.space, e.frame] for e in pictures]
        number = FIRST_NUMBER if is_sequence(pattern) else 0
        return Entry(clip.uid, clip.name, PENDING, mark, pattern, number, count, kept, "")

    def _whole(self, entry: Entry) -> bool:
        if is_sequence(entry.pattern):
            return not missing_frames(entry.pattern, entry.first, entry.frames)
        return os.path.isfile(entry.pattern) and os.path.getsize(entry.pattern) > 0

    # Pixels -----------------------------------------------------------------------------------------------------------

    def _colour(self, clip: Clip, entry: Entry, pictures: List[Exemplar]) -> str:
        """Make the coloured media; words that say where one more exemplar would help most."""
        first, count = deliver.clip_range(clip, self.settings.handles)
        movie = not is_sequence(entry.pattern)
        need_bytes = clip.width * clip.height * 6 * count * (2 if not movie else 3)
        free = shutil.disk_usage(self.settings.output).free
        if free < need_bytes:
            raise PassError(
                "'{0}' needs up to {1:.1f} GB in {2} but {3:.1f} GB are free: choose another folder.".format(
                    clip.name, need_bytes / 1e9, self.settings.output, free / 1e9
                )
            )
        os.makedirs(os.path.dirname(entry.pattern), exist_ok=True)
        work = self.workspace.new_folder()
        try:
            plates, space = self._plates(clip, first, count, os.path.join(work, "plate"))
            target = entry.pattern if not movie else os.path.join(work, "coloured_%04d.exr")
            frames = [
                (first + index, plate, frame_path(target, FIRST_NUMBER + index)) for index, plate in enumerate(plates)
            ]
            session = "resolve_{0}_{1}".format(
                safe_name(clip.name), fingerprint(dict(self._plate_parts(clip, first, count), uid=clip.uid))[:12]
            )
            coloured = self.colourist.colour(
                Work(session, clip.name, frames, pictures, space), self.settings, self.reporter
            )
            seen = range(clip.left_offset, clip.left_offset + clip.duration)  # without handles
            weakest = least_sure([frame for frame in coloured if frame.number in seen])
            if movie:
                rate = str(self.timeline.GetSetting("timelineFrameRate") or "24")
                self.encoder.encode(
                    target, FIRST_NUMBER, count, entry.pattern, self.settings.delivery, rate, self.reporter
                )
        finally:
            shutil.rmtree(work, ignore_errors=True)
        if not self._whole(entry):
            raise PassError(
                "Not all coloured frames of '{0}' are in {1}: check the disk and run the pass again.".format(
                    clip.name, os.path.dirname(entry.pattern)
                )
            )
        if weakest is None:
            return ""
        return "; least sure {0} frames into the clip".format(weakest.number - clip.left_offset)

    def _plates(self, clip: Clip, first: int, count: int, folder: str) -> Tuple[List[str], str]:
        """(paths of the plate frames, their OCIO space): the source itself where allowed, else a render."""
        if self.settings.direct:
            paths, _bracketed = expand_bracketed(clip.source_path)
            item = selection.find_item(self.timeline, clip.uid, clip.name)
            direct, reason = deliver.direct_frames(clip, paths, item, first, count)
            if direct:
                return direct, self.settings.source_space
            self.reporter.stage("'{0}' is rendered, not read directly: {1}".format(clip.name, reason))
        os.makedirs(folder)
        plates = deliver.render_plate(
            self.project, self.timeline, clip, self.settings.handles, folder, self.settings.patience, self.reporter
        )
        return plates, self.space

    # Back on the timeline ---------------------------------------------------------------------------------------------

    def _place(self, clip: Clip, entry: Entry) -> str:
        first, _count = deliver.clip_range(clip, self.settings.handles)
        lead = clip.left_offset - first
        space = self.space_in_resolve
        if self.settings.direct:
            space = str(clip.media.GetClipProperty("Input Color Space") or space)
        media = place.import_media(self.project, BIN, entry.pattern, entry.first, entry.frames, space)
        if self.settings.placement == "track":
            place.add_on_track(self.project, self.timeline, clip, media, entry.pattern, entry.first, entry.frames, lead)
            return "coloured, on track {0}".format(place.TRACK_NAME)
        take = place.add_take(self.timeline, clip, media, entry.pattern, entry.first, entry.frames, lead)
        return "coloured, take {0}".format(take)

    def _nothing_else_moved(self, clip: Clip, before: Dict[str, Tuple[Any, ...]]) -> None:
        after = selection.timeline_state(self.timeline)
        moved = [str(state[3]) for uid, state in before.items() if after.get(uid) != state]
        if moved:
            raise PassError(
                "While '{0}' was coloured, other clips were moved or removed ({1}): look at the timeline.".format(
                    clip.name, ", ".join(moved)
                )
            )
