"""Baking the inputs to EXR by a Write that exists only while it runs.

32-bit float, raw (working space), one view at a time, proxies off and restored, autocrop off: the file's data window is
the plate's bounding box, or exactly the format where the node says so. Runs on the main thread.
"""

import os
import re
from contextlib import contextmanager
from typing import Callable, Iterator, List, Optional, Sequence, Tuple, Union

import nuke

from . import cache, exr, names
from .build import inner, set_optional
from .problems import NodeError, SetupError, StoppedError

WRITE_NAME = "colormnet_bake"
TEMPORARY = (WRITE_NAME, "colormnet_bake_crop", "colormnet_bake_base", "colormnet_bake_fill", "colormnet_bake_still")

# What a cancelled render raises in versions without CancelledError; never a text with a path in it.
CANCELLED = re.compile(r"^[\w\s.:]*\bcancell?ed\b[\w\s.:]*$", re.IGNORECASE)

FrameBaked = Callable[[int, cache.BakedFrame], None]


@contextmanager
def _full_size() -> Iterator[None]:
    """Proxy mode off, whatever it was before restored afterwards."""
    knob = nuke.root()["proxy"]
    before = knob.value()
    if before:
        knob.setValue(False)
    try:
        yield
    finally:
        if before:
            knob.setValue(before)


@contextmanager
def _write(group: "nuke.Group", source: "nuke.Node", pattern: str, crop: bool) -> "Iterator[nuke.Node]":
    """The temporary Write inside the group."""
    made: "List[nuke.Node]" = []
    nuke.Undo.disable()
    try:
        with group:
            if crop:
                source = _exactly_the_format(source, made)
            write = nuke.nodes.Write(name=WRITE_NAME)
            made.append(write)
            write.setInput(0, source)
            write["file_type"].setValue("exr")  # the knobs below exist only from here on
            write["channels"].setValue("rgb")
            write["raw"].setValue(True)
            write["datatype"].setValue("32 bit float")
            write["compression"].setValue("Zip (1 scanline)")
            set_optional(write, "autocrop", False)
            set_optional(write, "metadata", "no metadata")
            write["file"].setValue(pattern)
        yield write
    finally:
        for node in reversed(made):
            nuke.delete(node)
        nuke.Undo.enable()


def _exactly_the_format(source: "nuke.Node", made: "List[nuke.Node]") -> "nuke.Node":
    """Cropped to the format, and over black of the format, so that every frame has the same window."""
    crop = nuke.nodes.Crop(name=TEMPORARY[1])
    crop.setInput(0, source)
    crop["box"].setValue((0, 0, source.format().width(), source.format().height()))
    base = nuke.nodes.Constant(name=TEMPORARY[2])
    base["format"].setValue(source.format())
    fill = nuke.nodes.Merge2(name=TEMPORARY[3])
    fill.setInput(0, base)
    fill.setInput(1, crop)
    fill["operation"].setValue("plus")
    fill["bbox"].setValue("union")
    made.extend([crop, base, fill])
    return fill


def tidy(group: "nuke.Group") -> None:
    """Remove what a crash in the middle of a bake may have left in a saved script."""
    for name in TEMPORARY:
        left = group.node(name)
        if left is not None:
            nuke.delete(left)


def _execute(write: "nuke.Node", frames: Sequence[int], view: str, baked: Callable[[int], None], what: str) -> None:
    raised: List[BaseException] = []
    mine = write.fullName()

    def after_frame() -> None:
        if nuke.thisNode().fullName() != mine:
            return
        try:
            baked(int(nuke.frame()))
        except BaseException as error:  # raising aborts the render, but the host replaces the exception by its own
            raised.append(error)
            raise

    nuke.addAfterFrameRender(after_frame, nodeClass="Write")
    try:
        for first, last in _runs(frames):
            nuke.execute(write, first, last, 1, [view])
    except (RuntimeError, nuke.CancelledError, NodeError) as error:
        if raised:
            raise raised[0] from None
        text = " ".join(str(error).split())
        if "already executing" in text:
            raise SetupError("Nuke is rendering something else; press Colorize when it has finished") from None
        if isinstance(error, nuke.CancelledError) or CANCELLED.match(text):
            raise StoppedError("Cancelled; Colorize goes on from here.") from None
        raise SetupError("%s cannot be rendered: %s" % (what, text)) from None
    finally:
        nuke.removeAfterFrameRender(after_frame, nodeClass="Write")


def _runs(frames: Sequence[int]) -> "Iterator[Tuple[int, int]]":
    """Consecutive frames as (first, last)."""
    first: Optional[int] = None
    last = 0
    for frame in frames:
        if first is None:
            first = frame
        elif frame != last + 1:
            yield first, last
            first = frame
        last = frame
    if first is not None:
        yield first, last


def _window(path: str, name: str) -> "exr.Header":
    try:
        return exr.read_header(path)
    except (OSError, exr.BadFileError) as error:
        raise SetupError("%s: the baked file %s %s" % (name, path, error)) from None


def plate(
    group: "nuke.Group", bake: cache.Bake, view: str, frames: Sequence[int], crop: bool, done: FrameBaked, box: str
) -> None:
    """Bake plate frames of a view, telling ``done`` of each. ``box``: the data window of frames baked before, or "".

    Raises StoppedError when the artist cancels, SetupError where the tree has an error or the bounding box changes, and
    whatever ``done`` raises.
    """
    name, first_box = group.fullName(), [box]
    bake.make(view)

    def baked(frame: int) -> None:
        path = bake.path(view, frame)
        header = _window(path, name)
        window = "%d %d %d %d" % header.data
        first_box[0] = first_box[0] or window
        if window != first_box[0]:
            os.unlink(path)
            raise SetupError(
                "%s: the plate's bounding box changes at frame %d (%s, before %s); set bounding box to 'format', or "
                "put a Crop above" % (name, frame, window, first_box[0])
            )
        record = cache.BakedFrame(exr.pixel_digest(path), window)
        bake.add(view, frame, record)
        done(frame, record)

    with _full_size(), _write(group, inner(group, names.PLATE), bake.pattern(), crop) as write:
        _execute(write, frames, view, baked, "%s: the plate" % name)


def still(group: "nuke.Group", source: int, frame: int, view: str, folder: str, crop: bool) -> str:
    """Bake one frame of an input (0 plate, 1 exemplar) and return its path; raises as :func:`plate` does.

    A file with the same pixels as before stays as it is: the worker knows exemplars by their bytes, and a host may
    write the date into a header.
    """
    which = names.PLATE if source == 0 else names.EXEMPLAR
    base = "%s/exemplars" % folder
    os.makedirs("%s/%s" % (base, view), exist_ok=True)
    pattern = "%s/%%V/new_%s.%%04d.exr" % (cache.tcl_path(base), which)
    with _full_size(), _write(group, inner(group, which), pattern, crop) as write:
        _execute(
            write, [frame], view, lambda _: None, "%s: the %s input at frame %d" % (group.fullName(), which, frame)
        )
    fresh = "%s/%s/new_%s.%s.exr" % (base, view, which, cache.padded(frame))
    path = "%s/%s/%s.%s.exr" % (base, view, which, cache.padded(frame))
    _window(fresh, group.fullName())
    if _same_pixels(path, fresh):
        os.unlink(fresh)
    else:
        os.replace(fresh, path)
    return path


def preview(group: "nuke.Group", shown: "Union[int, str]", frame: int, view: str, folder: str, name: str) -> str:
    """A PNG of the plate (0), the exemplar input (1), the node's output (2) or a picture file; the PNG's path.

    Made once: ``name`` holds what it shows. Raises as :func:`plate` does.
    """
    base = "%s/previews" % folder
    path = "%s/%s/%s.%s.png" % (base, view, name, cache.padded(frame))
    if os.path.isfile(path):
        return path
    os.makedirs("%s/%s" % (base, view), exist_ok=True)
    made: "List[nuke.Node]" = []
    nuke.Undo.disable()
    try:
        with group:
            write = nuke.nodes.Write(name=WRITE_NAME)
            made.append(write)
            if isinstance(shown, str):
                source = nuke.nodes.Read(name=TEMPORARY[4])
                made.append(source)
                source["file"].setValue(cache.tcl_path(shown))
            else:
                source = inner(group, (names.PLATE, names.EXEMPLAR, names.CROP)[shown])
            write.setInput(0, source)
            write["file_type"].setValue("png")
            write["channels"].setValue("rgb")
            write["file"].setValue("%s/%%V/new_%s.%%04d.png" % (cache.tcl_path(base), name))
        _execute(write, [frame], view, lambda _: None, "%s: the picture of frame %d" % (group.fullName(), frame))
    finally:
        for node in made:
            nuke.delete(node)
        nuke.Undo.enable()
    os.replace("%s/%s/new_%s.%s.png" % (base, view, name, cache.padded(frame)), path)
    return path


def _same_pixels(old: str, new: str) -> bool:
    try:
        return exr.pixel_digest(old) == exr.pixel_digest(new)
    except (OSError, exr.BadFileError):
        return False  # there was none
