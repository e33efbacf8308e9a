"""The coloured pictures a clip is coloured after: files, the current still, or markers on the clip."""

import json
import os
import re
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional

from .checks import need, offers
from .errors import PassError
from .manifest import file_digest
from .settings import PassSettings

if TYPE_CHECKING:
    import fusionscript


class Exemplar(NamedTuple):
    """A coloured picture and what it shows."""

    path: str
    space: str  # its OCIO colour space; "" = the worker's rule (EXR: the plate's space, else sRGB)
    frame: Optional[int]  # 0-based source frame it is a coloured version of, None for another picture


def export_still(
    project: "fusionscript.Project", timeline: "fusionscript.Timeline", folder: str, timecode: str = ""
) -> str:
    """Export the frame at ``timecode`` ("" = under the playhead) as a TIFF into ``folder`` and return its path.

    The playhead is put back. The file is named by its content, so the same still is kept once.
    """
    before = timeline.GetCurrentTimecode()
    if timecode:
        need(
            timeline.SetCurrentTimecode(timecode),
            "The playhead cannot be moved to {0} for the exemplar: name a timecode of this timeline.".format(timecode),
        )
    temporary = os.path.join(folder, ".still.tif")
    try:
        if timecode and timeline.GetCurrentTimecode() != timecode:
            raise PassError(
                "The playhead did not go to {0} for the exemplar: name a timecode of this timeline.".format(timecode)
            )
        if os.path.exists(temporary):
            os.unlink(temporary)
        done = project.ExportCurrentFrameAsStill(temporary)
        if not done or not os.path.isfile(temporary) or os.path.getsize(temporary) == 0:
            raise PassError(
                "The current frame cannot be exported as a still into {0}: open the Edit or Color page, check that the "
                "folder can be written, or give an image file as exemplar.".format(folder)
            )
        path = os.path.join(folder, "still_{0}.tif".format(file_digest(temporary)[:12]))
        os.replace(temporary, path)
        return path
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
        if timecode and before and timeline.GetCurrentTimecode() != before:
            timeline.SetCurrentTimecode(before)


def marker_path(custom_data: str) -> Optional[str]:
    """The exemplar custom data name: ``colormnet:/path`` or ``{"colormnet": {"exemplar": "/path"}}``."""
    text = (custom_data or "").strip()
    if text.startswith("colormnet:"):
        return text[len("colormnet:") :].strip() or None
    if text.startswith("{"):
        try:
            data = json.loads(text)
        except ValueError:
            return None
        named = data.get("colormnet") if isinstance(data, dict) else None
        path = named.get("exemplar") if isinstance(named, dict) else named
        return path if isinstance(path, str) and path else None
    return None


def from_markers(item: "fusionscript.TimelineItem", name: str) -> List[Exemplar]:
    """The exemplars named by the clip's markers, in order of time.

    A marker whose name or note contains the word "same" says that its exemplar is a coloured version of the very frame
    it stands on.
    """
    markers: Dict[Any, Any] = item.GetMarkers() or {}
    found: List[Exemplar] = []
    for position in sorted(markers, key=float):
        marker = markers[position]
        path = marker_path(str(marker.get("customData", "")))
        if path is None:
            continue
        path = os.path.abspath(os.path.expanduser(path))
        if not os.path.isfile(path):
            raise PassError(
                "The exemplar {0} of the marker at frame {1} of '{2}' does not exist: correct the marker's custom "
                "data.".format(path, int(float(position)), name)
            )
        words = "{0} {1}".format(marker.get("name", ""), marker.get("note", "")).lower()
        frame = int(float(position)) if re.search(r"\bsame\b", words) else None
        found.append(Exemplar(path, "", frame))
    if not found:
        raise PassError(
            "'{0}' has no marker that names an exemplar: give it some, with custom data 'colormnet:/path'.".format(name)
        )
    return found


class Gatherer:
    """Collects the exemplars of each clip; stills are exported once, before anything on the timeline changes."""

    def __init__(
        self,
        project: "fusionscript.Project",
        timeline: "fusionscript.Timeline",
        settings: PassSettings,
        space: str,
        folder: str,
    ) -> None:
        self._settings = settings
        self._stills: Dict[str, Exemplar] = {}
        for text in settings.exemplars:
            if text == "still" or text.startswith("still@"):
                need(
                    True if offers(project, "ExportCurrentFrameAsStill") else None,
                    "This DaVinci Resolve cannot export the current frame: give an image file as exemplar.",
                )
                os.makedirs(folder, exist_ok=True)
                path = export_still(project, timeline, folder, text[6:])
                # A still carries the timeline's output space, whatever its file type would suggest.
                self._stills[text] = Exemplar(path, space, None)

    def of(self, item: "fusionscript.TimelineItem", name: str) -> List[Exemplar]:
        """The exemplars of one clip, in the order of the settings; raises PassError."""
        found: List[Exemplar] = []
        for text in self._settings.exemplars:
            if text == "markers":
                found.extend(from_markers(item, name))
            elif text in self._stills:
                found.append(self._stills[text])
            else:
                found.append(Exemplar(text, "", None))
        return found
