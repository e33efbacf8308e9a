"""Colorizer: the one object that holds a shot's state (network.md section 7)."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from colormnet.device import device_errors
from colormnet.errors import InputError, WeightsError
from colormnet.memory import snapshot
from colormnet.memory.bank import MemorisedFrame, MemoryBank
from colormnet.memory.settings import MemorySettings
from colormnet.memory.tokens import Tokens
from colormnet.model import Model, load_model
from colormnet.network.interface import Decoded, Keys, Values

__all__ = ["Colorizer", "MemorySettings", "Model", "load_model"]

_CHANGED_BY_A_STEP = ("_hidden", "_reference", "_last_memorised", "_own_exemplar", "_confidence")

Plane = TypeVar("Plane", NDArray[np.float32], Tensor)


class Colorizer:
    """Colorizes one clip, frame after frame, from one or more exemplars.

    Planes are (H, W) or (2, H, W), float32, in network units: ``L' = (L - 50) / 50``, ``a' = a / 110``,
    ``b' = b / 110`` (CIE Lab, D65). numpy arrays are answered with numpy arrays, torch tensors
    with tensors on the same device. The same calls give bit-identical results on the same device.
    """

    def __init__(self, model: Model, settings: MemorySettings | None = None, clip_length: int | None = None) -> None:
        """A new session.

        Args:
            model: from `load_model`.
            settings: rules of the memory; the model's own when None.
            clip_length: frames in the clip if known; the release's rule for counting usage depends on it.
        """
        if clip_length is not None and clip_length < 1:
            raise InputError(f"a clip has at least 1 frame, not {clip_length}")
        self.model = model
        self.settings = settings if settings is not None else model.default_memory
        self.clip_length = clip_length
        self.frame_index = 0
        self._bank = MemoryBank(self.settings)
        self._hidden: Tensor | None = None
        self._reference: tuple[Tensor, ...] | None = None
        self._last_memorised = 0
        self._size: tuple[int, int] | None = None
        self._exemplar_added = False
        self._own_exemplar: tuple[Tensor, Tensor] | None = None  # luminance and chroma of the very next frame
        self._confidence: Tensor | None = None
        self._as_numpy = True

    # -- what a user calls ------------------------------------------------------------------------------------------

    def add_exemplar(self, luminance: Plane, chroma: Plane, first_frame: bool = False) -> None:
        """Give a coloured picture to copy from; it stays in the memory for ever. Any number, at any time.

        Args:
            luminance: (H, W).
            chroma: (2, H, W).
            first_frame: the picture is the very frame that the next `step` colorizes: that step returns this chroma.

        Raises InputError when the shapes do not agree, values are not finite, or a second picture is given for the same
        frame.
        """
        light = self._plane(luminance, (None, None), "luminance")
        colour = self._plane(chroma, (2, light.shape[2], light.shape[3]), "chroma")
        if first_frame:
            if self._own_exemplar is not None:
                raise InputError(f"frame {self.frame_index} already has its own exemplar; give one per frame")
            self._check_size(light)
            self._own_exemplar = (light, colour)
            return
        with torch.inference_mode(), self._guard(light), self._all_or_nothing():
            light, colour = self._pad(light), self._pad(colour)
            keys = self.model.network.encode_key(light)
            hidden = self.model.network.initial_hidden(keys)
            values = self.model.network.encode_value(keys, light, colour, hidden, deep=False)
            self._bank.memorise(keys, values, permanent=True, evicting=self._evicting())
        self._exemplar_added = True

    def encode(self, luminance: Plane) -> Keys:
        """Features of a frame, which depend on its luminance alone; `step` takes them back as ``keys``.

        They can be kept and used again with another exemplar. Shape (H, W) as for `step`. May run in another thread
        while a frame is stepped; what the exemplars say of the frame is looked up with it, for the `step` to come.
        """
        light = self._plane(luminance, (None, None), "luminance")
        with torch.inference_mode(), self._guard(light):
            keys = self.model.network.encode_key(self._pad(light))
            self._bank.look_up(keys)
            return keys

    def step(self, luminance: Plane, last: bool = False, keys: Keys | None = None) -> Plane:
        """Colorize the next frame.

        Args:
            luminance: (H, W), of the same size for every frame of the session.
            last: whether the clip ends here (the last frame is never memorised).
            keys: what `encode` gave for this very luminance, to save the time.

        Returns:
            (2, H, W) float32 chroma.

        Raises InputError without any exemplar or for a frame of another size; OutOfMemoryError when the device is full.
        """
        light = self._plane(luminance, (None, None), "luminance")
        self._check_size(light)
        if len(self._bank) == 0 and self._own_exemplar is None:
            raise InputError("there is no exemplar to copy colour from; call add_exemplar before the first step")
        if self._own_exemplar is not None and self._own_exemplar[0].shape != light.shape:
            raise InputError(
                f"the exemplar given as frame {self.frame_index} is {_size(self._own_exemplar[0])}, the frame is "
                f"{_size(light)}; give it in the frame's size"
            )
        height, width = light.shape[2:]
        with torch.inference_mode(), self._guard(light), self._all_or_nothing():
            padded = self._pad(light)
            if keys is None:
                keys = self.model.network.encode_key(padded)
            elif keys.key.shape[2:] != self._token_grid(padded):
                raise InputError(f"the keys given belong to a frame of another size than {width}x{height}")
            if self._own_exemplar is not None:
                planes = self._step_exemplar(keys, padded, self._own_exemplar[1], last)
            else:
                planes = self._step(keys, padded, last)
            result = _crop(planes, height, width)[0].float()
            if self._confidence is not None:
                self._confidence = _crop(self._confidence, height, width)[0, 0].float().clamp(0, 1)
        self._size = (height, width)
        self._exemplar_added = False
        self.frame_index += 1
        return self._answer(result, luminance)

    @property
    def confidence(self) -> Any:
        """(H, W) float32 in [0, 1]: how sure the last step was of its colour, pixel by pixel.

        From the network's own head where it has one, else ``exp`` of the best similarity found in the memory: 1 where
        the memory holds the very same feature. Raises InputError before the first step.
        """
        if self._confidence is None:
            raise InputError("there is no confidence before the first step")
        if self._as_numpy:
            return self._confidence.cpu().numpy()
        return self._confidence

    @property
    def memory_bytes(self) -> int:
        """Bytes held by the session between frames: all memory tiers, hidden state, local attention's reference."""
        held = [self._hidden, *(self._reference or ())]
        return self._bank.nbytes() + sum(t.numel() * t.element_size() for t in held if t is not None)

    @property
    def memory_tokens(self) -> int:
        """Tokens in the memory, all tiers."""
        return len(self._bank)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a snapshot, whole or not at all. Going on from it equals never having stopped.

        Raises InputError when the place cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        for group, tokens in (("memory", self._bank.tokens), ("fine", self._bank.fine)):
            if tokens is not None:
                tensors.update({f"{group}.{name}": tensor for name, tensor in tokens.tensors().items()})
        for index, tensor in enumerate(self._reference or ()):
            tensors[f"reference.{index}"] = tensor
        optional = {"hidden": self._hidden, "confidence": self._confidence}
        if self._own_exemplar is not None:
            optional["exemplar.luminance"], optional["exemplar.chroma"] = self._own_exemplar
        tensors.update({name: tensor for name, tensor in optional.items() if tensor is not None})
        settings = self.settings.to_dict()
        header = {
            "model": self.model.name,
            "fingerprint": self.model.fingerprint,
            "precision": str(self.model.dtype).removeprefix("torch."),
            "settings": settings,
            "settings_hash": _settings_hash(settings, self.clip_length),
            "clip_length": self.clip_length,
            "frame_index": self.frame_index,
            "last_memorised": self._last_memorised,
            "size": self._size,
            "exemplar_added": self._exemplar_added,
            "as_numpy": self._as_numpy,
            "frames": [[frame.tokens, frame.permanent] for frame in self._bank.frames],
            "long_term": self._bank.long_term,
            "reference": None if self._reference is None else len(self._reference),
        }
        snapshot.write(path, header, tensors)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Model, settings: MemorySettings | None = None) -> "Colorizer":
        """A session that goes on where `save` left off.

        Raises WeightsError when the snapshot was made by another model, other weights or another precision, InputError
        when it is missing, truncated, or was made under other settings than the ones given.
        """
        saved = snapshot.read(path)
        header = saved.header
        precision = str(model.dtype).removeprefix("torch.")
        try:
            if header["fingerprint"] != model.fingerprint:
                raise WeightsError(
                    f"the snapshot {path} was made by the model {header['model']!r} with other weights than the loaded "
                    f"{model.name!r}; load that model or colorize from the start"
                )
            if header["precision"] != precision:
                raise WeightsError(
                    f"the snapshot {path} was made in {header['precision']}, the model runs in {precision}; "
                    f"load the model with precision={header['precision']!r}"
                )
            stored = MemorySettings.from_dict(header["settings"])
            if header["settings_hash"] != _settings_hash(header["settings"], header["clip_length"]):
                raise InputError(f"the snapshot {path} is damaged: its settings do not match their hash; delete it")
            if settings is not None and settings != stored:
                raise InputError(
                    f"the snapshot {path} was made under other memory settings; use those or colorize from the start"
                )
            session = cls(model, stored, header["clip_length"])
            session._restore(header, saved.tensors)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"the snapshot {path} is damaged ({error!r}); delete it and colorize from the start"
            ) from error
        return session

    # -- one step ---------------------------------------------------------------------------------------------------

    def _step_exemplar(self, keys: Keys, light: Tensor, chroma: Tensor, last: bool) -> Tensor:
        """The frame is an exemplar itself: its chroma is the answer, and it is memorised for ever."""
        colour = self._pad(chroma)
        if not last:
            hidden = self._hidden if self._hidden is not None else self.model.network.initial_hidden(keys)
            self._memorise(keys, light, colour, hidden, deep=True, permanent=True)
        self._own_exemplar = None
        self._confidence = torch.ones_like(light)
        return colour

    def _step(self, keys: Keys, light: Tensor, last: bool) -> Tensor:
        network = self.model.network
        # At the start, with an exemplar from elsewhere, there is no adjacent frame to attend to, and the hidden state
        # stays.
        opening = self.frame_index == 0
        every = 1 if self.settings.propagation != "mfp" else self.settings.every
        due = self.frame_index - self._last_memorised >= every
        memorising = (self._exemplar_added or opening or due) and not last
        hidden = self._hidden if self._hidden is not None else network.initial_hidden(keys)
        readout = self._bank.read(keys)
        local = None if self._reference is None else network.read_locally(keys, light, self._reference)
        update = not memorising and not last
        decoded = network.decode(keys, light, readout, local, hidden, update)
        self._hidden = decoded.hidden if update else hidden
        self._confidence = self._sureness(decoded, readout.similarity, light)
        if memorising:
            self._memorise(keys, light, decoded.chroma, hidden, deep=not opening, permanent=False, kept=decoded.kept)
        elif self.settings.local_reference == "previous" and not last:
            self._refer(keys, light, decoded.chroma, None, self._reference, decoded.kept)
        return decoded.chroma

    def _memorise(
        self,
        keys: Keys,
        light: Tensor,
        colour: Tensor,
        hidden: Tensor | None,
        deep: bool,
        permanent: bool,
        kept: tuple[Tensor, ...] | None = None,
    ) -> None:
        values = self.model.network.encode_value(keys, light, colour, hidden, deep)
        self._bank.memorise(keys, values, permanent, self._evicting())
        self._hidden = values.hidden if deep else hidden
        self._last_memorised = self.frame_index
        # Nothing before an exemplar counts any more.
        self._refer(keys, light, colour, values, None if permanent else self._reference, kept)

    def _refer(
        self,
        keys: Keys,
        light: Tensor,
        colour: Tensor,
        values: Values | None,
        earlier: tuple[Tensor, ...] | None,
        kept: tuple[Tensor, ...] | None,
    ) -> None:
        """Make this frame the one that local attention reads."""
        network = self.model.network
        if values is None and network.reference_needs_value:
            values = network.encode_value(keys, light, colour, self._hidden, deep=False)
        self._reference = network.reference(keys, light, colour, values, earlier, kept)

    def _sureness(self, decoded: Decoded, similarity: Tensor, light: Tensor) -> Tensor:
        """(1, 1, H, W) of the padded frame."""
        confidence = decoded.confidence if decoded.confidence is not None else similarity.exp()
        return F.interpolate(confidence.float(), light.shape[2:], mode="bilinear", align_corners=False)

    def _evicting(self) -> bool:
        return self.settings.evicts(self.clip_length, self.frame_index + 1)

    # -- planes in and out ------------------------------------------------------------------------------------------

    def _plane(self, plane: Any, shape: tuple[int | None, ...], what: str) -> Tensor:
        """(1, C, H, W) on the model's device and in its precision."""
        expected = " x ".join("any" if side is None else str(side) for side in shape)
        tensor = plane if isinstance(plane, Tensor) else torch.from_numpy(np.array(plane, order="C"))
        fits = tensor.ndim == len(shape) and all(
            want in (None, side) for want, side in zip(shape, tensor.shape, strict=True)
        )
        if not fits or 0 in tensor.shape:
            raise InputError(f"{what} has shape {tuple(tensor.shape)}, expected {expected} (network units)")
        if not tensor.is_floating_point():
            raise InputError(f"{what} is {tensor.dtype}, expected float32 in network units")
        if not bool(tensor.isfinite().all()):
            raise InputError(f"{what} of frame {self.frame_index} holds NaN or infinite values; replace them first")
        tensor = tensor.detach().to(self.model.device, self.model.dtype)
        return tensor.reshape(1, -1, *tensor.shape[-2:])

    def _pad(self, plane: Tensor) -> Tensor:
        """The plane grown to the network's grid in the network's way, the smaller half at the top and left."""
        height, width = plane.shape[2:]
        network = self.model.network
        more_y, more_x = -height % network.grid, -width % network.grid
        sides = (more_x // 2, more_x - more_x // 2, more_y // 2, more_y - more_y // 2)
        return F.pad(plane, sides, mode=network.padding) if any(sides) else plane

    def _token_grid(self, padded: Tensor) -> torch.Size:
        stride = self.model.network.token_stride
        return torch.Size(side // stride for side in padded.shape[2:])

    def _check_size(self, light: Tensor) -> None:
        if self._size is not None and light.shape[2:] != torch.Size(self._size):
            height, width = self._size
            raise InputError(
                f"frame {self.frame_index} is {_size(light)}, the session's frames are {width}x{height}; "
                "resize it or start another session"
            )

    def _guard(self, light: Tensor) -> Any:
        height, width = light.shape[2:]
        return device_errors(
            self.model.device, height, width, lambda: self.model.suggest_working_size(height, width, self.settings)
        )

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """A step that fails or is interrupted leaves the session as it was: the same frame can be tried again."""
        bank, rest = self._bank.state(), {name: getattr(self, name) for name in _CHANGED_BY_A_STEP}
        try:
            yield
        except BaseException:
            self._bank.restore(*bank)
            for name, value in rest.items():
                setattr(self, name, value)
            raise

    def _answer(self, result: Tensor, asked: Plane) -> Plane:
        self._as_numpy = not isinstance(asked, Tensor)
        if isinstance(asked, Tensor):
            return result.clone().to(asked.device)
        return result.contiguous().cpu().numpy().copy()

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _restore(self, header: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        device = self.model.device
        here = {name: tensor.to(device) for name, tensor in tensors.items()}
        frames = [MemorisedFrame(int(tokens), bool(permanent)) for tokens, permanent in header["frames"]]
        memory, fine = (_group(here, name) for name in ("memory", "fine"))
        self._bank.restore(frames, int(header["long_term"]), memory, fine)
        count = header["reference"]
        self._reference = None if count is None else tuple(here[f"reference.{index}"] for index in range(count))
        self._hidden = here.get("hidden")
        self._confidence = here.get("confidence")
        if "exemplar.luminance" in here:
            self._own_exemplar = (here["exemplar.luminance"], here["exemplar.chroma"])
        self.frame_index = int(header["frame_index"])
        self._last_memorised = int(header["last_memorised"])
        self._size = None if header["size"] is None else (int(header["size"][0]), int(header["size"][1]))
        self._exemplar_added = bool(header["exemplar_added"])
        self._as_numpy = bool(header["as_numpy"])


def _group(tensors: dict[str, Tensor], name: str) -> Tokens | None:
    """The tokens saved under ``name``, or None where there were none."""
    fields = {key.split(".", 1)[1]: tensor for key, tensor in tensors.items() if key.startswith(f"{name}.")}
    return Tokens(**fields) if fields else None


def _settings_hash(settings: dict[str, Any], clip_length: int | None) -> str:
    text = json.dumps([settings, clip_length], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _crop(padded: Tensor, height: int, width: int) -> Tensor:
    top, left = (padded.shape[2] - height) // 2, (padded.shape[3] - width) // 2
    return padded[:, :, top : top + height, left : left + width]


def _size(plane: Tensor) -> str:
    return f"{plane.shape[-1]}x{plane.shape[-2]}"
