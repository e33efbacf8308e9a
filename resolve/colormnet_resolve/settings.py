"""The settings of a pass, checked once at the edge."""

import os
import re
from typing import Any, Dict, List, NamedTuple, Tuple

from .errors import PassError

SELECTIONS = ("playhead", "selected", "track", "marker")
PLACEMENTS = ("take", "track")
MODELS = ("lite", "released")
DELIVERIES = ("exr", "prores4444", "dnxhr")
MARKER_COLOURS = (
    "Blue",
    "Cyan",
    "Green",
    "Yellow",
    "Red",
    "Pink",
    "Purple",
    "Fuchsia",
    "Rose",
    "Lavender",
    "Sky",
    "Mint",
    "Lemon",
    "Sand",
    "Cocoa",
    "Cream",
)
TIMECODE = re.compile(r"^\d{2}:\d{2}:\d{2}[:;.]\d{2}$")


class PassSettings(NamedTuple):
    """Everything an editor can choose. Frames are timeline frames; colour spaces are OCIO names.

    The defaults are what an editor starts from: the clip under the playhead, the current still, a new take.
    """

    output: str = ""  # folder of the coloured frames and of the manifest; made when missing
    exemplars: Tuple[str, ...] = ("still",)  # file paths, "still", "still@HH:MM:SS:FF", "markers"
    select: str = "playhead"  # one of SELECTIONS
    track: int = 0  # video track for select="track", 1-based; 0 = the track of the clip under the playhead
    marker_colour: str = ""  # for select="marker", one of MARKER_COLOURS
    handles: int = 8  # frames coloured beyond each end of the clip, as far as the source has them
    model: str = "lite"  # one of MODELS
    space: str = "auto"  # colour space of the timeline's output (OCIO name), or "auto"
    working_size: int = 0  # short side the network sees, in pixels; 0 = the model's own
    saturation: float = 1.0
    placement: str = "take"  # one of PLACEMENTS
    delivery: str = "exr"  # one of DELIVERIES
    direct: bool = False  # read ungraded sources without a render where possible
    source_space: str = ""  # colour space of directly read sources
    patience: float = 120.0  # seconds a render may stand still before it is given up

    def checked(self) -> "PassSettings":
        """Itself with absolute paths; raises PassError at the first setting that makes no sense."""
        for name, value, allowed in (
            ("select", self.select, SELECTIONS),
            ("placement", self.placement, PLACEMENTS),
            ("delivery", self.delivery, DELIVERIES),
            ("model", self.model, MODELS),
        ):
            if value not in allowed:
                raise PassError("'{0}' is no {1}: choose one of {2}.".format(value, name, ", ".join(allowed)))
        if self.select == "marker" and self.marker_colour not in MARKER_COLOURS:
            raise PassError(
                "'{0}' is no marker colour: choose one of {1}.".format(self.marker_colour, ", ".join(MARKER_COLOURS))
            )
        if not self.exemplars:
            raise PassError(
                "No exemplar is given: name a coloured image, or use the current still or the clip's markers."
            )
        if not self.output:
            raise PassError("No output folder is given: name the folder the coloured frames shall be kept in.")
        if not 0 <= self.handles <= 1000:
            raise PassError("Handles must be between 0 and 1000 frames, not {0}.".format(self.handles))
        if not 0.0 <= self.saturation <= 4.0:
            raise PassError("Saturation must be between 0 and 4, not {0}.".format(self.saturation))
        if self.track < 0 or self.working_size < 0 or self.patience <= 0:
            raise PassError("Track, working size and patience must not be negative.")
        if self.direct and not self.source_space:
            raise PassError(
                "Reading sources directly needs their colour space: give --source-space (for instance 'Rec.709'), "
                "or leave --direct out."
            )
        exemplars: List[str] = []
        for text in self.exemplars:
            if text in ("still", "markers"):
                exemplars.append(text)
            elif text.startswith("still@"):
                if not TIMECODE.match(text[6:]):
                    raise PassError("'{0}' has no timecode of the form still@01:00:00:00.".format(text))
                exemplars.append(text)
            else:
                path = os.path.abspath(os.path.expanduser(text))
                if not os.path.isfile(path):
                    raise PassError("The exemplar {0} does not exist: choose an image file.".format(path))
                exemplars.append(path)
        output = os.path.abspath(os.path.expanduser(self.output))
        if "%" in output:
            raise PassError(
                "The output folder {0} contains a '%', which Resolve misreads: choose another.".format(output)
            )
        return self._replace(exemplars=tuple(exemplars), output=output)


def from_record(record: Dict[str, Any], output: str) -> PassSettings:
    """The settings a manifest holds, for its folder; raises PassError where they are of another version."""
    try:
        return PassSettings(**dict(record, output=output, exemplars=tuple(record["exemplars"])))
    except (KeyError, TypeError) as error:
        raise PassError(
            "The manifest in {0} holds no settings to resume with ({1}): start the pass anew.".format(output, error)
        ) from error
