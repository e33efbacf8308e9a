"""What `colormnet doctor` looks at. Each check says what is so, whether that is well, and what to do where it is not.

Nothing here needs the rest of the engine to work: a check that fails is a finding, not the end.
"""

import importlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

GIB = 2**30
LITTLE_SPACE = 2 * GIB


class Verdict(Enum):
    """How a finding is to be taken."""

    ok = "ok"
    note = "note"  # something is missing that not everybody needs
    wrong = "wrong"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report; ``advice`` says what to do where the verdict is not ok."""

    subject: str
    verdict: Verdict
    text: str
    advice: str = ""


def diagnose(folder: Path) -> Iterator[Finding]:
    """All findings, one after the other; ``folder`` is where output would be written."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", check_python),
        ("PyTorch", check_torch),
        ("device", check_device),
        ("ffmpeg", check_ffmpeg),
        ("images", check_images),
        ("colour", check_colour),
        ("lite weights", check_lite),
        ("released weights", check_released),
        ("output folder", lambda: check_folder(folder)),
        ("temporary folder", lambda: check_folder(Path(tempfile.gettempdir()), "temporary folder")),
        ("worker", check_worker),
    ]
    for subject, check in checks:
        try:
            yield check()
        except Exception as error:  # whatever breaks is what the user came to hear about
            yield Finding(subject, Verdict.wrong, f"{type(error).__name__}: {error}", "run install.py again")


def check_python() -> Finding:
    """Version and word size."""
    text = f"{platform.python_version()} ({sys.executable})"
    if sys.maxsize < 2**32:
        return Finding("Python", Verdict.wrong, f"{text}, 32 bits", "install a 64-bit Python; PyTorch has no other")
    return Finding("Python", Verdict.ok, text)


def check_torch() -> Finding:
    """Whether torch and torchvision were built for each other."""
    again = "remove the environment's folder and run install.py again (with --torch-index for another build)"
    try:
        torch = importlib.import_module("torch")
        torchvision = importlib.import_module("torchvision")
        boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
        torchvision.ops.nms(boxes, torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        first = str(error).splitlines()[0]
        return Finding("PyTorch", Verdict.wrong, f"torch and torchvision do not work together: {first}", again)
    return Finding("PyTorch", Verdict.ok, f"torch {torch.__version__}, torchvision {torchvision.__version__}")


def check_device() -> Finding:
    """What the engine would compute on."""
    torch = importlib.import_module("torch")
    device = importlib.import_module("colormnet.device")
    text = f"{device.describe_devices()}; {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        reason = "this PyTorch has no CUDA" if torch.version.cuda is None else "the driver is too old or not running"
        return Finding(
            "device",
            Verdict.wrong,
            f"{text}; there is an NVIDIA driver, and {reason}",
            "update the driver, or run install.py with --torch-index https://download.pytorch.org/whl/cu126",
        )
    return Finding("device", Verdict.ok, text)


def check_ffmpeg() -> Finding:
    """Whether movies can be read and written."""
    tools = importlib.import_module("colormnet.media.ffmpeg_tools")
    path = tools.find_ffmpeg()
    listed = subprocess.run(
        [path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=300, check=False
    )
    if listed.returncode != 0:
        return Finding("ffmpeg", Verdict.wrong, f"{path} does not run", "pip install --force-reinstall imageio-ffmpeg")
    missing = [name for name in ("prores_ks", "dnxhd", "libx264") if name not in listed.stdout]
    if missing:
        return Finding(
            "ffmpeg",
            Verdict.note,
            f"{path} lacks {', '.join(missing)}",
            "those codecs cannot be written; put another ffmpeg on PATH",
        )
    return Finding("ffmpeg", Verdict.ok, path)


def check_images() -> Finding:
    """Whether OpenImageIO is there and has EXR."""
    oiio = importlib.import_module("OpenImageIO")
    if "openexr" not in oiio.get_string_attribute("format_list"):
        return Finding(
            "images", Verdict.wrong, "OpenImageIO has no OpenEXR", "pip install --force-reinstall OpenImageIO"
        )
    return Finding("images", Verdict.ok, f"OpenImageIO {oiio.VERSION_STRING}")


def check_colour() -> Finding:
    """Whether the OCIO config in use loads and holds the default spaces."""
    spaces = importlib.import_module("colormnet.colour.spaces")
    named = os.environ.get("OCIO")
    where = f"$OCIO = {named}" if named else f"built in ({spaces.PINNED_CONFIG})"
    try:
        found = [spaces.resolve(spaces.default_space(format)) for format in ("exr", "png", "movie")]
    except Exception as error:  # the config is the user's own file: anything may be wrong with it
        advice = "correct or unset $OCIO" if named else "pip install --force-reinstall OpenImageIO"
        return Finding("colour", Verdict.wrong, f"{where}: {error}", advice)
    return Finding("colour", Verdict.ok, f"{where}: EXR {found[0]}, PNG {found[1]}, movies {found[2]}")


def check_lite() -> Finding:
    """Whether the shipped model loads."""
    model = importlib.import_module("colormnet.model")
    errors = importlib.import_module("colormnet.errors")
    try:
        lite = model.load_model("lite", device="cpu")
    except errors.ColorMNetError as error:
        return Finding("lite weights", Verdict.wrong, str(error), "run install.py again, or reinstall the package")
    return Finding("lite weights", Verdict.ok, f"loaded, {lite.weight_bytes / 2**20:.1f} MB, {lite.fingerprint[:12]}")


def check_released() -> Finding:
    """Whether the released checkpoint is there and whole; not everybody needs or may use it."""
    checkpoint = importlib.import_module("colormnet.network.checkpoint")
    errors = importlib.import_module("colormnet.errors")
    path = checkpoint.find_released()
    if path is None:
        return Finding(
            "released weights", Verdict.note, "not installed", "only for --model released: colormnet weights"
        )
    try:
        checkpoint.check_released(path)
    except errors.ColorMNetError as error:
        return Finding("released weights", Verdict.wrong, str(error), f"remove {path} and run: colormnet weights fetch")
    return Finding("released weights", Verdict.ok, str(path))


def check_folder(folder: Path, subject: str = "output folder") -> Finding:
    """Whether a folder can be written and has room."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        reason = error.strerror or str(error)
        return Finding(
            subject, Verdict.wrong, f"{folder} cannot be written: {reason}", "change its rights or go elsewhere"
        )
    text = f"{folder}, {free / GIB:.1f} GB free"
    if free < LITTLE_SPACE:
        return Finding(subject, Verdict.note, text, "a 4K EXR frame takes up to 0.1 GB: make room before a long shot")
    return Finding(subject, Verdict.ok, text)


def check_worker() -> Finding:
    """Whether a worker runs, and how it fares."""
    client = importlib.import_module("colormnet_host.client")
    with client.Client(name="doctor") as connection:
        status = connection.status(launch=False)
    if status is None:
        return Finding("worker", Verdict.ok, "not running (the first host that needs it starts it)")
    text = f"{status.state} on {status.device}, process {status.pid}, {status.frames_done} frames done"
    trouble = "; ".join(note for note in (status.device_note, status.disk_note) if note)
    if trouble:
        return Finding("worker", Verdict.note, f"{text}; {trouble}", "see: colormnet worker status")
    return Finding("worker", Verdict.ok, text)
