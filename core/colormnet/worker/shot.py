"""One shot under one set of exemplars and settings: what `colormnet colorize` would be told, as the worker keeps it."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from colormnet_host.protocol import Pixels

from ..colour.spaces import ColourSpace, default_space
from ..colouring import FrameColouring, PreparedExemplar, PreparedFrame
from ..errors import InputError
from ..exemplars import FittedExemplar, fit_exemplar, turned
from ..media.frames import Windows
from .chain import Recipe, extend
from .pictures import from_buffer, read_picture
from .planes import Plane, plane_digest, text_digest
from .requests import ShotSettings

if TYPE_CHECKING:
    from ..session import Model


@dataclass(frozen=True)
class StoredExemplar:
    """An exemplar as it is kept in the session's directory, independent of the file it came from."""

    file: str  # name in the exemplars folder: digest of the content and the extension
    pixels: Pixels | None  # None: a picture file
    space: str  # empty: by what the file says; the plate's own for a buffer
    frame: int | None
    origin: str  # for messages

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        pixels = None if self.pixels is None else self.pixels.header()
        return {"file": self.file, "pixels": pixels, "space": self.space, "frame": self.frame, "origin": self.origin}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "StoredExemplar":
        """From `to_json`."""
        pixels = None if value["pixels"] is None else Pixels(**value["pixels"])
        return StoredExemplar(value["file"], pixels, value["space"], value["frame"], value["origin"])


@dataclass(frozen=True)
class Definition:
    """What the client declared; ``name`` is the generation: it changes with everything that alters results."""

    settings: ShotSettings
    frames: tuple[int, ...]
    exemplars: tuple[StoredExemplar, ...]
    name: str

    @staticmethod
    def make(settings: ShotSettings, frames: tuple[int, ...], exemplars: tuple[StoredExemplar, ...]) -> "Definition":
        """A definition under its name. Raises InputError for an exemplar of a frame that is not there."""
        for exemplar in exemplars:
            if exemplar.frame is not None and exemplar.frame not in frames:
                raise InputError(
                    f"The exemplar {exemplar.origin} is declared for frame {exemplar.frame}, which is not among the "
                    f"frames of the shot; correct the number, or leave it out for a picture from elsewhere."
                )
        settled = {key: value for key, value in settings.to_json().items() if key != "snapshot_every"}
        named = [{key: value for key, value in item.to_json().items() if key != "origin"} for item in exemplars]
        name = text_digest(json.dumps(settled, sort_keys=True), json.dumps(frames), json.dumps(named))
        return Definition(settings, frames, exemplars, name)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        exemplars = [exemplar.to_json() for exemplar in self.exemplars]
        return {"settings": self.settings.to_json(), "frames": list(self.frames), "exemplars": exemplars}


@dataclass(frozen=True)
class Geometry:
    """Size of the plate's pixels, and where they lie."""

    height: int
    width: int
    pixel_aspect: float
    windows: Windows


class Shot:
    """A definition on plates of one size: colouring rules, prepared exemplars and the names of its results."""

    def __init__(self, definition: Definition, geometry: Geometry, short_side: int, exemplar_folder: Path) -> None:
        """``short_side``: the working size with the model's default put in. Raises InputError."""
        settings = definition.settings
        self.definition = definition
        self.geometry = geometry
        self.space = ColourSpace(settings.space, settings.config)
        self.colouring = FrameColouring(
            self.space, geometry.height, geometry.width, short_side, settings.saturation, geometry.pixel_aspect
        )
        self.places = {frame: place for place, frame in enumerate(definition.frames)}
        size = self.colouring.size
        # What the luminance at the working size depends on, the plate's pixels aside.
        self.plate_rule = text_digest(
            self.space.name,
            settings.config or os.environ.get("OCIO", ""),
            f"{geometry.height}x{geometry.width}x{geometry.pixel_aspect!r}",
            f"{size.height}x{size.width}",
        )[:16]
        self.notes: list[str] = []
        self.recipe: Recipe | None = None
        self.name = ""  # of place 0; stays when the recipe is released
        self.settled_on: dict[int, str | None] = {}  # digests of the frames that the exemplars were settled with
        self._folder = exemplar_folder
        self._digests: list[str] = []  # luminance of the frames `_names` was made for
        self._names: list[str] = []

    # --- exemplars ------------------------------------------------------------------------------------------------

    def own_frames(self) -> list[int]:
        """Frames of the plate that exemplars are declared for; they must be known before the first step."""
        return [item.frame for item in self.definition.exemplars if item.frame is not None]

    def settle(self, session: str, model: "Model", own_luminance: dict[int, Plane]) -> Recipe:
        """Read the exemplars and decide how each is used, as `colormnet colorize` does. Raises InputError."""
        if self.recipe is not None:
            return self.recipe
        starting: list[PreparedExemplar] = []
        carried: dict[int, PreparedExemplar] = {}
        named: list[str] = []
        notes: list[str] = []
        for item in self.definition.exemplars:
            luminance = None if item.frame is None else own_luminance[item.frame]
            fitted = self._fit(item, None if luminance is None else PreparedFrame(luminance, luminance, 0))
            prepared = fitted.prepared
            notes += fitted.notes
            own = None
            if item.frame is not None and fitted.carried:
                own = self.places[item.frame]
                carried[own] = prepared
            if own != 0:  # the first frame's own exemplar is remembered by the first step itself
                starting.append(prepared)
            planes = [prepared.luminance, prepared.chroma]
            if own is not None and prepared.full_chroma is not None:
                planes.append(prepared.full_chroma)
            named.append(f"{plane_digest(*planes)} {own}")
        settings, size = self.definition.settings, self.colouring.size
        memory = settings.memory(model.default_memory)
        name = text_digest(
            *_engine_identity(model),
            repr(memory or model.default_memory),
            str(len(self.definition.frames)),
            f"{size.height}x{size.width}",
            *named,
        )
        self.notes = notes
        self.name = name
        self.recipe = Recipe(
            session=session,
            model=model,
            memory=memory,
            exemplars=tuple(starting),
            carried=carried,
            size=(size.height, size.width),
            length=len(self.definition.frames),
            snapshot_every=settings.snapshot_every,
            name=name,
        )
        return self.recipe

    def _fit(self, item: StoredExemplar, own_frame: PreparedFrame | None) -> FittedExemplar:
        path = self._folder / item.file
        if item.pixels is not None:
            picture = from_buffer(item.pixels, path.read_bytes())
            pixels, windows = picture.pixels, picture.windows
            name = item.space or self.space.name
        else:
            picture = read_picture(path)
            if picture.hint is None or picture.info is None:
                raise InputError(f"The exemplar {item.origin} does not say what it is; save it as EXR or PNG.")
            pixels, windows = turned(picture.pixels, picture.info)
            name = item.space or default_space(**vars(picture.hint))
        space = ColourSpace(name, self.definition.settings.config)
        return fit_exemplar(
            item.origin,
            pixels,
            windows,
            space,
            self.colouring,
            self.geometry.windows,
            item.frame,
            own_frame,
        )

    # --- names ----------------------------------------------------------------------------------------------------

    def release(self) -> None:
        """Let go of the model and the prepared exemplars; they come back when a frame is asked for."""
        self.recipe = None

    def names(self, digests: Sequence[str]) -> Sequence[str]:
        """Names of places 0 to ``len(digests)`` for the luminance of that many frames, once `settle` was called."""
        if self._names[:1] != [self.name]:  # not begun, or other weights by now
            self._digests, self._names = [], [self.name]
        pairs = zip(self._digests, digests, strict=False)
        same = next((place for place, (one, other) in enumerate(pairs) if one != other), len(self._digests))
        if same < len(digests):
            del self._digests[same:], self._names[same + 1 :]
            for place in range(same, len(digests)):
                self._names.append(extend(self._names[place], digests[place], place))
                self._digests.append(digests[place])
        return self._names


def _engine_identity(model: "Model") -> list[str]:
    """All outside the shot that bits depend on: a state from another machine or release is another state."""
    import torch

    device = torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else str(torch.get_num_threads())
    return [model.fingerprint, str(model.dtype), model.device.type, device, torch.__version__]
