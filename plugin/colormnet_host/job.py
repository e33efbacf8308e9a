"""What a host asks for: settings, exemplars, pictures and results, as plain immutable records.

Standard library only, Python 3.6 on. Records go over the wire as JSON objects; the worker checks every field.
"""

import os
from typing import Any, Dict, NamedTuple, Optional, Tuple

from colormnet_host.protocol import Buffer, Pixels


class SessionSettings(NamedTuple):
    """How a shot is coloured. ``None`` and ``0`` mean the model's own default.

    ``space`` is the OCIO name of the plate's colour space (the output is in the same space); ``config`` the OCIO
    configuration (None: $OCIO, else the built-in one). ``layers`` are the AOVs written beside the picture, of "a",
    "b" and "confidence". ``every`` to ``count_long_term_usage`` are the memory settings of ColorMNet (MFP).
    """

    space: str
    model: str = "lite"
    weights: Optional[str] = None
    config: Optional[str] = None
    precision: str = "auto"
    working_size: int = 0  # short side in pixels
    saturation: float = 1.0
    layers: Tuple[str, ...] = ()
    picture: bool = True  # False: write the layers alone
    snapshot_every: int = 10
    every: Optional[int] = None
    working_frames: Optional[int] = None
    kept_frames: Optional[int] = None
    prototypes: Optional[int] = None
    long_term_tokens: Optional[int] = None
    count_long_term_usage: Optional[bool] = None
    top_k: Optional[int] = None


class Image(NamedTuple):
    """A picture in memory: raw samples and their layout (see :class:`colormnet_host.protocol.Pixels`)."""

    data: Buffer
    pixels: Pixels


class Exemplar(NamedTuple):
    """A coloured reference picture: a file or a buffer.

    ``space`` is its own OCIO colour space (empty: what the file says, as for ``colormnet colorize``; a buffer is in the
    plate's space). ``frame`` is the number of the plate frame it is a coloured version of,
    None where it is another picture.
    """

    path: str = ""
    image: Optional[Image] = None
    space: str = ""
    frame: Optional[int] = None


class FrameResult(NamedTuple):
    """One coloured frame.

    ``output`` is the file written, "" where a buffer was asked for (then ``image`` holds it, in the plate's dtype
    and layout). ``confidence`` is the mean over the picture in [0, 1], ``low_confidence`` its 5th percentile.
    ``cached`` tells that the answer came from the cache without touching the network.
    """

    frame: int
    output: str
    image: Optional[Image]
    confidence: float
    low_confidence: float
    cached: bool
    generation: str  # changes whenever exemplars or settings change


class Progress(NamedTuple):
    """What a progress callback gets. ``done`` of ``total`` are steps of ``stage``; ``total`` 0 means not known."""

    stage: str  # "starting", "loading weights", "queued", "replaying", "colouring", "writing", "restarting"
    message: str  # a sentence for the artist
    done: int = 0
    total: int = 0


class SessionStatus(NamedTuple):
    """What the worker knows of a session in its present generation."""

    name: str
    generation: str
    frames: Tuple[int, ...]  # the declared frames, in order
    done: Tuple[int, ...]  # coloured in this generation
    confidence: Dict[int, float]  # mean, of the frames done
    recommended_exemplar: Optional[int]  # the frame where one more exemplar would help most, None when not known
    snapshots: Tuple[int, ...]  # frames from which work can be taken up
    exemplars: int
    keys_reused: int  # how often cached keys saved an encoding
    keys_encoded: int
    notes: Tuple[str, ...]  # sentences the artist should see, e.g. an exemplar that does not show its frame


class WorkerStatus(NamedTuple):
    """Health of the worker."""

    pid: int
    engine: str
    device: str  # e.g. "cuda:0 (NVIDIA RTX 4090)" or "cpu"
    device_note: str  # not empty where it is not what one would wish, e.g. the CPU fall-back and why
    state: str  # "importing", "idle", "loading weights", "colouring", "stopping"
    models: Tuple[str, ...]  # loaded on the device
    sessions: Tuple[Dict[str, Any], ...]
    frames_done: int
    frames_per_second: float  # over the last minute of work
    memory_bytes: int  # resident memory of the process
    device_bytes: int  # memory held on the device, 0 on the CPU
    disk_bytes: int  # held in the cache directory
    disk_note: str  # not empty where the cache cannot be written, e.g. a full disk
    uptime: float
    connections: int


def settings_to_wire(settings: SessionSettings) -> Dict[str, Any]:
    """The settings as a JSON object, complete in themselves: the worker has another directory and environment.

    Relative paths become absolute ones, and without a ``config`` this process's own $OCIO is named.
    """
    given = dict(settings._asdict(), layers=list(settings.layers))
    given["config"] = settings.config or os.environ.get("OCIO") or None
    for name in ("weights", "config"):
        value = given[name]
        if isinstance(value, str) and value and "://" not in value:
            given[name] = os.path.abspath(value)
    return given
