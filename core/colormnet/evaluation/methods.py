"""The methods that compete, all behind one small interface: three baselines, a folder of results, and our networks.

A method sees the exemplars and the grey planes, never a clip's true chroma. It answers with chroma alone; the
protocol puts every answer on the true luminance, so that all methods are judged on the same footing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.evaluation.clips import Clip, ClipSource, Size, read_clip, split
from colormnet.evaluation.metrics import Plane

if TYPE_CHECKING:
    from colormnet.memory.settings import MemorySettings
    from colormnet.model import Model


@dataclass(frozen=True)
class Exemplar:
    """A true colour frame handed to every method: its place in the clip and its planes in network units."""

    index: int
    luminance: Plane  # (H, W)
    chroma: Plane  # (2, H, W)


class GreyClip:
    """What a method may see of a clip: its name, its length and its luminance planes."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip

    @property
    def name(self) -> str:
        """The clip's name in the results."""
        return self._clip.name

    @property
    def size(self) -> Size:
        """The measured size."""
        return self._clip.size

    def __len__(self) -> int:
        return len(self._clip)

    def luminance(self, index: int) -> Plane:
        """Luminance (H, W) of a frame, float32 network units."""
        return self._clip.luminance(index)


class Method(ABC):
    """A way to colour a clip, frame after frame from the first."""

    name: str
    title: str

    @abstractmethod
    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:
        """Begin a clip. ``exemplars`` are ordered by index; the first is frame 0."""

    @abstractmethod
    def next(self, luminance: Plane) -> Plane:
        """Chroma (2, H, W) of the next frame, from its luminance (H, W), in network units; frame 0 comes first."""

    def peak_device_bytes(self) -> int | None:
        """Most accelerator memory held since ``start``; None where the method ran on the processor."""
        return None


class LeftGrey(Method):
    """No colour at all: the floor that any colorization has to clear."""

    name = "grey"
    title = "Left grey"

    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:  # noqa: D102
        self._grey = np.zeros_like(exemplars[0].chroma)

    def next(self, luminance: Plane) -> Plane:  # noqa: D102
        return self._grey


class CopiedChroma(Method):
    """The chroma of the exemplar nearest in time, pixel for pixel, whatever moved."""

    name = "copy"
    title = "Exemplar's chroma copied"

    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:  # noqa: D102
        self._exemplars = list(exemplars)
        self._index = 0

    def next(self, luminance: Plane) -> Plane:  # noqa: D102
        index = self._index
        self._index += 1
        return min(self._exemplars, key=lambda exemplar: abs(exemplar.index - index)).chroma


class OpticalFlow(Method):
    """Chroma carried from frame to frame by dense optical flow (OpenCV DIS, preset medium) on the grey planes.

    Each frame's chroma is the previous *result* warped by the flow from this frame back to the previous one, so
    errors add up as they do in use. With a last exemplar the clip is also carried backwards from it, and the two are
    mixed by their distance in time. The exemplar frames keep their given chroma.
    """

    name = "flow"
    title = "Optical flow (DIS), chained"

    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:  # noqa: D102
        height, width = exemplars[0].luminance.shape
        columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._grid = columns, rows
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
        self._first = exemplars[0]
        self._length = len(clip)
        self._index = 0
        self._chroma, self._grey = self._first.chroma, _grey_levels(self._first.luminance)
        self._backward: list[npt.NDArray[np.float16]] | None = None
        if len(exemplars) > 1:
            self._backward = self._carry_back(exemplars[-1], clip)

    def _carry_back(self, last: Exemplar, clip: GreyClip) -> list[npt.NDArray[np.float16]]:
        planes = [last.chroma.astype(np.float16)] * len(clip)
        grey, chroma = _grey_levels(last.luminance), last.chroma
        for index in range(last.index - 1, -1, -1):
            current = _grey_levels(clip.luminance(index))
            chroma = self._warp(chroma, current, grey)
            planes[index] = chroma.astype(np.float16)
            grey = current
        return planes

    def _warp(self, chroma: Plane, current: npt.NDArray[np.uint8], previous: npt.NDArray[np.uint8]) -> Plane:
        flow = self._flow.calc(current, previous, None)
        columns, rows = self._grid[0] + flow[..., 0], self._grid[1] + flow[..., 1]
        warped = [
            cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in chroma
        ]
        return np.stack(warped)

    def next(self, luminance: Plane) -> Plane:  # noqa: D102
        grey = _grey_levels(luminance)
        index = self._index
        self._index += 1
        if index > 0:
            self._chroma = self._warp(self._chroma, grey, self._grey)
        self._grey = grey
        if self._backward is None:
            return self._chroma
        weight = np.float32(index / (self._length - 1))
        return (1 - weight) * self._chroma + weight * self._backward[index].astype(np.float32)


def _grey_levels(luminance: Plane) -> npt.NDArray[np.uint8]:
    return np.asarray(np.rint(np.clip(luminance * 0.5 + 0.5, 0.0, 1.0) * 255.0), dtype=np.uint8)


class Results(Method):
    """Frames that some other program coloured, read from ``folder/CLIP`` or ``folder/CLIP.mp4`` and the like.

    Its own luminance is dropped: like every method it is judged on chroma alone, on the true luminance.
    """

    def __init__(self, name: str, clips: dict[str, ClipSource]) -> None:
        self.name = name
        self.title = name
        self._clips = clips

    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:  # noqa: D102
        from colormnet.errors import InputError

        if clip.name not in self._clips:
            raise InputError(f"The results '{self.name}' have no clip '{clip.name}'; add it, or leave it out.")
        self._frames = read_clip(self._clips[clip.name], clip.size, limit=len(clip))
        if len(self._frames) < len(clip):
            raise InputError(
                f"The results '{self.name}' have {len(self._frames)} frames of '{clip.name}', which has {len(clip)}; "
                "give all of them, or limit both with --frames."
            )
        self._index = 0

    def next(self, luminance: Plane) -> Plane:  # noqa: D102
        chroma = split(self._frames.truth[self._index])[1]
        self._index += 1
        return chroma


class Network(Method):
    """One of our networks with its memory, through the same session that colours plates.

    Frame 0 is the exemplar (first-frame rule); further exemplars are memorised before it.
    """

    def __init__(self, model: "Model", settings: "MemorySettings | None" = None, name: str | None = None) -> None:
        self._model = model
        self._settings = settings
        self.name = name or model.name
        self.title = f"ColorMNet {self.name}"

    def start(self, exemplars: Sequence[Exemplar], clip: GreyClip) -> None:  # noqa: D102
        from colormnet.session import Colorizer

        self._reset_device_peak()
        self._session: Colorizer = Colorizer(self._model, self._settings, clip_length=len(clip))
        for exemplar in exemplars[1:]:
            self._session.add_exemplar(exemplar.luminance, exemplar.chroma)
        self._session.add_exemplar(exemplars[0].luminance, exemplars[0].chroma, first_frame=True)
        self._length = len(clip)
        self._index = 0

    def next(self, luminance: Plane) -> Plane:  # noqa: D102
        self._index += 1
        return np.asarray(self._session.step(luminance, last=self._index == self._length), dtype=np.float32)

    def _reset_device_peak(self) -> None:
        if self._model.device.type == "cuda":
            import torch

            torch.cuda.reset_peak_memory_stats(self._model.device)

    def peak_device_bytes(self) -> int | None:  # noqa: D102
        if self._model.device.type != "cuda":
            return None
        import torch

        return int(torch.cuda.max_memory_allocated(self._model.device))


BASELINES: dict[str, Callable[[], Method]] = {"grey": LeftGrey, "copy": CopiedChroma, "flow": OpticalFlow}
"""The baselines by the name ``--methods`` knows them under."""
