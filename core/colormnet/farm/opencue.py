"""OpenCue: the job specification (XML) made by pyoutline, and ``submit.py``, which hands it to a Cuebot."""

import getpass
import os
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ..errors import InputError
from ..media.notation import frames_text
from .commands import task_arguments
from .files import shell_words, write_text
from .settings import FarmSettings
from .shots import Shot, Stage

SPECIFICATION, SUBMIT = "job.xml", "submit.py"

_SUBMIT = '''#!/usr/bin/env python3
"""Hand job.xml to the Cuebot named by CUEBOT_HOSTS. Needs the package opencue-pycue."""

import pathlib

import opencue

specification = pathlib.Path(__file__).with_name("job.xml").read_text(encoding="utf-8")
for job in opencue.api.launchSpecAndWait(specification):
    print(job.name())
'''


def write(shot: Shot, settings: FarmSettings, folder: Path) -> None:
    """Write the specification of one shot. Raises InputError where pyoutline is missing or nothing can be written."""
    write_text(folder / SPECIFICATION, specification(shot, settings))
    write_text(folder / SUBMIT, _SUBMIT, executable=True)


def specification(shot: Shot, settings: FarmSettings) -> str:
    """The XML of a shot, as pyoutline serialises it; no server is asked."""
    outline = _outline()
    name = shot.name.lower()
    show = settings.queue or "colormnet"
    job = outline.Outline(f"colormnet_{name}", shot=name, show=show, user=settings.user or _user())
    before = None
    for stage in shot.stages():
        layer = _layer(outline, shot, stage, settings)
        if before is not None:
            layer.depend_all(before)
        job.add_layer(layer)
        before = layer
    launcher = outline.cuerun.OutlineLauncher(job)
    launcher.set_flag("nomail", True)
    launcher.set_flag("maxretries", settings.retries)
    if settings.priority is not None:
        launcher.set_flag("priority", settings.priority)
    from outline.backend import cue

    root = ElementTree.fromstring(cue.serialize_simple(launcher))
    ElementTree.indent(root)
    head = (
        '<?xml version="1.0"?>\n<!DOCTYPE spec PUBLIC "SPI Cue  Specification Language" '
        f'"http://localhost:8080/spcue/dtd/cjsl-{outline.config.get("outline", "spec_version")}.dtd">\n'
    )
    return head + ElementTree.tostring(root, encoding="unicode") + "\n"


def check(folder: Path) -> list[str]:
    """What would keep a Cuebot from taking the specification: no XML, no layers, unknown names, tokens not known."""
    path = folder / SPECIFICATION
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        return [f"{path} is not a specification ({error})"]
    problems = []
    layers = root.findall("./job/layers/layer")
    names = [layer.get("name", "") for layer in layers]
    if not layers:
        problems.append(f"{path}: there are no layers")
    for tag in ("show", "shot", "user", "facility"):
        if not (root.findtext(tag) or "").strip():
            problems.append(f"{path}: <{tag}> is empty")
    for layer in layers:
        command = layer.findtext("cmd") or ""
        if " farm task " not in command:
            problems.append(f"{path}: layer {layer.get('name')} runs no task")
        chunk = layer.findtext("chunk") or ""
        if not chunk.isdigit() or int(chunk) < 1:
            problems.append(f"{path}: layer {layer.get('name')} has the chunk '{chunk}'")
        if not (layer.findtext("range") or "").strip():
            problems.append(f"{path}: layer {layer.get('name')} has no range")
    for depend in root.findall("./depends/depend"):
        for tag in ("deplayer", "onlayer"):
            if depend.findtext(tag) not in names:
                problems.append(f"{path}: a dependency names the layer {depend.findtext(tag)}, which is not there")
    return problems


def _layer(outline: Any, shot: Shot, stage: Stage, settings: FarmSettings) -> Any:
    tokens = ["#FRAME_START#", "#FRAME_END#"]
    selection = ["--prepass"] if stage.is_prepass else ["--between", *tokens]
    if shot.into_movie:
        selection = []
    words = task_arguments(shot, selection)
    quoted = [settings.command, *(word if word in tokens else shell_words([word]) for word in words)]
    layer = outline.layer.Layer(
        stage.name,
        command=quoted,
        range="1-1" if stage.is_prepass else frames_text(stage.frames),
        chunk=stage.chunk,
        threadable=True,
    )
    if settings.gpus:
        layer.set_arg("gpus", settings.gpus)
        layer.set_arg("gpu_memory", "4g")
    return layer


def _outline() -> Any:
    try:
        import outline
        import outline.cuerun
        import outline.layer
    except ImportError as error:
        raise InputError(
            f"pyoutline cannot be used ({error}); install it with: pip install 'colormnet[farm]'."
        ) from error
    return outline


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"
