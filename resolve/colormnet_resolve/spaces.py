"""From Resolve's colour settings to the OCIO name of the space that rendered frames carry.

Frames rendered by Resolve carry the timeline's *output* space, not linear light, and EXR headers do not say which. The
names on the right are those of the ASWF "CG Config" (ocio://cg-config-v2.1.0_aces-v1.3_ocio-v2.3).
"""

from typing import TYPE_CHECKING, Dict

from .errors import PassError

if TYPE_CHECKING:
    import fusionscript

OCIO_NAMES: Dict[str, str] = {
    "Rec.709 Gamma 2.4": "Gamma 2.4 Rec.709 - Texture",
    "Rec.709 Gamma 2.2": "Gamma 2.2 Rec.709 - Texture",
    "sRGB": "sRGB - Texture",
    "sRGB (Gamma 2.2)": "Gamma 2.2 Rec.709 - Texture",
    "Linear": "Linear Rec.709 (sRGB)",
    "Rec.709 Linear": "Linear Rec.709 (sRGB)",
    "Rec.2020 Linear": "Linear Rec.2020",
    "P3-D65 Linear": "Linear P3-D65",
    "ACEScg": "ACEScg",
    "ACEScct": "ACEScct",
    "ACEScc": "ACEScc",
    "ACES": "ACES2065-1",
}


def timeline_space_name(project: "fusionscript.Project", timeline: "fusionscript.Timeline") -> str:
    """Resolve's own name of the space its renders carry; "" when it does not say."""
    mode = timeline.GetSetting("colorScienceMode") or project.GetSetting("colorScienceMode") or "davinciYRGB"
    # Without colour management nothing is converted on output: the timeline's space is the output's.
    keys = ("colorSpaceTimeline",) if mode == "davinciYRGB" else ("colorSpaceOutput",)
    for key in keys:
        space = timeline.GetSetting(key) or project.GetSetting(key)
        if space:
            gamma = timeline.GetSetting(key + "Gamma") or project.GetSetting(key + "Gamma")
            joined = "{0} {1}".format(space, gamma) if gamma else str(space)
            return joined if joined in OCIO_NAMES else str(space)
    return ""


def output_space(project: "fusionscript.Project", timeline: "fusionscript.Timeline", wanted: str) -> str:
    """The OCIO space of rendered frames: ``wanted`` unless it is "auto". Raises PassError when it cannot be told."""
    if wanted and wanted != "auto":
        return wanted
    name = timeline_space_name(project, timeline)
    if name in OCIO_NAMES:
        return OCIO_NAMES[name]
    raise PassError(
        "The timeline's output colour space {0} has no known OCIO name: give it with --space "
        "(for instance --space 'Gamma 2.4 Rec.709 - Texture').".format("'" + name + "'" if name else "(not told)")
    )
