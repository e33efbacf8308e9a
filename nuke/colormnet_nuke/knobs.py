"""The knobs: what the artist sets, the buttons, and the record of the last result that a script keeps."""

from typing import Iterable, List, Tuple

import nuke

from . import __version__, names

RUN = "import colormnet_nuke.buttons; colormnet_nuke.buttons.%s()"
# A script opened on a machine without the plugin says so instead of showing a traceback.
GUARDED = (
    "try:\n    %s\n"
    "except ImportError:\n    import nuke\n"
    "    nuke.message('ColorMNet is not installed here; its cached frames still show.')"
)

HELP = (
    "Colours a black-and-white plate after one or more coloured exemplars (ColorMNet, ECCV 2024).\n\n"
    "1. Connect the plate, and an exemplar: a coloured frame of the plate, or any picture with the colours wanted.\n"
    "2. Press Colorize. The plate is baked to EXR in the cache directory and coloured by a local process.\n"
    "3. Look, add exemplars at frames that drift, press Colorize again: only what changed is done anew.\n\n"
    "Luminance, alpha and all other layers stay those of the plate. Nothing is computed while viewing or rendering; "
    "a Write below stops if frames are missing."
)

BOX_TIP = (
    "Whole bounding box: overscan outside the format is coloured too; the box must not change size during the range.\n"
    "Format: colour what is inside the format and crop the output to it."
)


def add(node: "nuke.Group") -> None:
    """Add every knob to a new node."""
    for knob, tooltip in _artist() + _buttons() + _record():
        if tooltip:
            knob.setTooltip(tooltip)
        node.addKnob(knob)
    node["help"].setValue(HELP)
    defaults = {
        "exemplar_frame": int(nuke.root().firstFrame()),
        "custom_range": "%d-%d" % (nuke.root().firstFrame(), nuke.root().lastFrame()),
        "use_gpu": True,
        "saturation": 1.0,
        "snapshot_every": 10,
        "cache_dir": "[file dirname [value root.name]]/colormnet",
        "summary": "not colorized",
    }
    for name, value in defaults.items():
        node[name].setValue(value)


def apply_flags(node: "nuke.Group") -> None:
    """Looks that a saved script loses: buttons in a row, the record hidden. Done again whenever a script is opened."""
    for name in ("cancel", "clear_cache", "reload", "free_gpu", *RECORD):
        knob = node.knob(name)
        if knob is None:
            continue  # the script is of another version
        if name in RECORD:
            knob.setFlag(nuke.INVISIBLE)
        else:
            knob.clearFlag(nuke.STARTLINE)
    show_relevant(node)


def show_relevant(node: "nuke.Group") -> None:
    """Grey out what the other settings make meaningless."""
    source = node["exemplar_source"].value()
    node["exemplar_frame"].setEnabled(source == names.FROM_INPUT)
    node["exemplar_file"].setEnabled(source == names.FROM_FILE)
    node["custom_range"].setEnabled(node["range"].value() == names.RANGE_CUSTOM)


Knobs = List[Tuple[nuke.Knob, str]]


def _spaces() -> List[str]:
    """The working space first, then all spaces of the script's OCIO configuration."""
    found: Iterable[str] = nuke.getOcioColorSpaces() if nuke.usingOcio() else ()
    return [names.WORKING_SPACE] + [space for space in found if space != names.WORKING_SPACE]


def _artist() -> Knobs:
    sources = [names.FROM_INPUT, names.FROM_FILE, names.FROM_PLATE]
    outputs = [names.COLOUR_PLATE, names.CHROMA_ONLY, names.COLOUR_AND_CHROMA]
    return [
        (nuke.Tab_Knob("colormnet", "ColorMNet"), ""),
        (
            nuke.Enumeration_Knob("model", "model", ["lite", "released"]),
            "lite: ships with the plugin, fast. released: the network of the paper; its weights must be installed.",
        ),
        (nuke.Text_Knob("exemplar_line", "Exemplars", ""), ""),
        (
            nuke.Enumeration_Knob("exemplar_source", "exemplar", sources),
            "Where the colours come from: the exemplar input at the frame below, a file, or the plate itself "
            "when its first frame has been coloured already.",
        ),
        (
            nuke.Int_Knob("exemplar_frame", "frame"),
            "The frame of the exemplar input to take. Where it shows the plate's picture of that frame, coloured, that "
            "frame carries its colours as they are; otherwise it is used as a picture from elsewhere.",
        ),
        (
            nuke.File_Knob("exemplar_file", "file"),
            "A still. An EXR is taken to be in the plate's colour space, any other file to be sRGB.",
        ),
        (
            nuke.Multiline_Eval_String_Knob("more_exemplars", "further exemplars"),
            "One a line: a frame of the exemplar input (1040), a file (/refs/coat.png), or a file with the plate's "
            "frame that it is a coloured version of (/refs/paint.1040.exr@1040).",
        ),
        (nuke.Text_Knob("range_line", "Range", ""), ""),
        (
            nuke.Enumeration_Knob("range", "frame range", [names.RANGE_INPUT, names.RANGE_GLOBAL, names.RANGE_CUSTOM]),
            "The shot. Colour is carried from its first frame to its last, so the first frame matters.",
        ),
        (nuke.String_Knob("custom_range", "frames"), "Such as 1001-1100, or 1001-1040 1060-1100."),
        (nuke.String_Knob("views", "views"), "Names of the views to colour, with spaces; empty = all of the script."),
        (nuke.Text_Knob("quality_line", "Quality", ""), ""),
        (
            nuke.Int_Knob("working_size", "working size"),
            "Short side in pixels of what the network sees; 0 = the model's own. The plate keeps its size and detail.",
        ),
        (
            nuke.Enumeration_Knob("precision", "precision", ["auto", "float32", "bfloat16", "float16"]),
            "Of the network's arithmetic. auto takes what the device does best.",
        ),
        (
            nuke.Boolean_Knob("use_gpu", "Use GPU if available"),
            "Saved with the script, so a farm machine uses its own GPU.",
        ),
        (nuke.Text_Knob("local_gpu", "Local GPU", "not asked yet"), "What the worker on this machine computes on."),
        (_range(nuke.Double_Knob("saturation", "saturation"), 0.0, 2.0), "1 = as the exemplar has it, 0 = grey."),
        (nuke.Text_Knob("output_line", "Output", ""), ""),
        (
            nuke.Enumeration_Knob("output", "output", outputs),
            "Colour plate: RGB with the plate's luminance. Chroma AOVs: RGB stays grey and the layer colormnet "
            "has Lab a and b.",
        ),
        (nuke.Boolean_Knob("confidence", "confidence layer"), "Adds colormnet.confidence, 0 (a guess) to 1 (sure)."),
        (
            nuke.Enumeration_Knob("colour_space", "colour space", _spaces()),
            "What the plate's numbers mean. Leave it at the script's working space unless the plate was read raw.",
        ),
        (nuke.Enumeration_Knob("bounding_box", "bounding box", [names.BOX_WHOLE, names.BOX_FORMAT]), BOX_TIP),
        (
            nuke.Enumeration_Knob("non_square", "non-square pixels", [names.PIXELS_FLATTEN, names.PIXELS_REFUSE]),
            "The network sees the picture flattened to square pixels; the plate keeps its own pixels and aspect. "
            "Or refuse such plates.",
        ),
        (nuke.Text_Knob("cache_line", "Cache", ""), ""),
        (
            nuke.File_Knob("cache_dir", "cache directory"),
            "Where the baked plate and the colour are kept. May hold expressions; use forward slashes.",
        ),
        (
            nuke.Int_Knob("snapshot_every", "snapshot every"),
            "Frames between two states of the memory kept on disk: work is taken up from the newest.",
        ),
        (
            nuke.Enumeration_Knob("on_stale", "if settings changed since", [names.STALE_STOP, names.STALE_WARN]),
            "What a Write below does when the settings or the tree above changed after Colorize.",
        ),
    ]


def _range(knob: "nuke.Double_Knob", low: float, high: float) -> "nuke.Double_Knob":
    knob.setRange(low, high)
    return knob


def _button(name: str, label: str) -> "nuke.PyScript_Knob":
    return nuke.PyScript_Knob(name, label, GUARDED % (RUN % name))


def _buttons() -> Knobs:
    return [
        (nuke.Text_Knob("action_line", "", ""), ""),
        (_button("colorize", "Colorize"), "Bake what changed, colour it, read it back."),
        (_button("cancel", "Cancel"), "Stop after the frame in hand; what is done stays."),
        (_button("clear_cache", "Clear cache"), "Delete this node's baked plate and results, and its session."),
        (_button("reload", "Reload"), "Read the cached frames again, e.g. after a farm made them."),
        (_button("free_gpu", "Free GPU"), "Make the worker drop its models; it loads them again when needed."),
        (_button("open_panel", "Exemplars and confidence..."), "A window with exemplars, confidence and a wipe."),
        (nuke.Text_Knob("status", "status", "not colorized"), "What was done last, or what is wrong and what to do."),
        (nuke.Text_Knob("about", "version", "ColorMNet for Nuke %s" % __version__), "The plugin that made this node."),
        (_button("show_help", "Help"), "How to use the node, in a few lines."),
    ]


RECORD = (
    "result_key",
    "result_first",
    "result_last",
    "result_colour",
    "result_layers",
    "result_cropped",
    "summary",
    "error_text",
    "tile_before",
    "node_id",
    names.MARKER,
)


def _record() -> Knobs:
    """What a script remembers of the last Colorize; inner nodes read it by expressions."""
    version = nuke.String_Knob(names.MARKER, names.MARKER, __version__)
    return [
        (nuke.Tab_Knob("record", "Record"), ""),
        (nuke.String_Knob("result_key", "result_key"), ""),
        (nuke.Int_Knob("result_first", "result_first"), ""),
        (nuke.Int_Knob("result_last", "result_last"), ""),
        (nuke.Boolean_Knob("result_colour", "result_colour"), ""),
        (nuke.Boolean_Knob("result_layers", "result_layers"), ""),
        (nuke.Boolean_Knob("result_cropped", "result_cropped"), ""),
        (nuke.String_Knob("summary", "summary"), ""),
        (nuke.String_Knob("error_text", "error_text"), ""),
        (nuke.String_Knob("tile_before", "tile_before"), ""),
        (nuke.String_Knob("node_id", "node_id"), ""),
        (version, ""),
    ]
