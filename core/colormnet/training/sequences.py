"""Training sequences: from clips with random steps, and from photographs warped into pseudo-clips.

Every sequence is drawn from a generator seeded by (seed, round, place in the batch): a resumed run sees the same data.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.training.footage import Footage, Picture
from colormnet.training.settings import TrainingSettings

Array = npt.NDArray[np.float32]
_PAN = 0.006  # sideways motion of the window on a clip, at most, in window sides a frame
_MARGIN = 1.5  # photographs are scaled so that a moving crop stays inside them


@dataclass(frozen=True)
class Sequence:
    """One training sequence in network units. The exemplar is frame 0 of the arrays, the shot goes on from frame 1.

    Attributes:
        luminance: (T, 1, S, S).
        chroma: (T, 2, S, S).
    """

    luminance: Array
    chroma: Array


class SequenceMaker:
    """Draws sequences from footage and photographs."""

    def __init__(self, clips: list[Footage], photos: list[Picture], settings: TrainingSettings) -> None:
        self._clips, self._photos, self._settings = clips, photos, settings

    def draw(self, turn: int, place: int, foreign: bool, photos: bool) -> Sequence:
        """The sequence at ``place`` of the batch of round ``turn``.

        Args:
            turn: number of the round of training.
            place: index in the batch.
            foreign: whether the exemplar is a view of the scene from elsewhere, not the frame before the shot's first.
            photos: whether the sequence is made from photographs, else from a clip.
        """
        rng = np.random.default_rng([self._settings.seed, turn, place])
        frames = self._from_photos(rng, foreign) if photos else self._from_clip(rng, foreign)
        return self._augment(rng, frames)

    def _from_clip(self, rng: np.random.Generator, foreign: bool) -> list[Array]:
        count, size = self._settings.frames, self._settings.size
        # Long clips hold more, but not in proportion: draw by the square root of the length.
        weight = np.sqrt([len(c.frames) for c in self._clips])
        clip = self._clips[rng.choice(len(self._clips), p=weight / weight.sum())].frames
        stride = int(rng.choice([1, 1, 1, 2, 3, 5]))
        stride = max(1, min(stride, (len(clip) - 1) // (count - 1)))
        start = int(rng.integers(0, max(1, len(clip) - stride * (count - 1))))
        index = [_there_and_back(start + stride * i, len(clip)) for i in range(count)]
        if rng.random() < 0.5:
            index.reverse()
        if foreign:
            index[0] = int(rng.integers(0, len(clip)))
        height, width = clip.shape[1:3]
        side = int(min(height, width) * rng.uniform(0.7, 1.0))
        ends = rng.uniform(0, [height - side + 1, width - side + 1], (2, 2))  # corner of the window, first and last
        reach = _PAN * side * count * rng.random()
        path = np.linspace(ends[0], ends[0] + (ends[1] - ends[0]).clip(-reach, reach), count).astype(int)
        crops = [clip[i, top : top + side, left : left + side] for i, (top, left) in zip(index, path, strict=True)]
        interpolation = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
        return [cv2.resize(crop, (size, size), interpolation=interpolation).astype(np.float32) / 255 for crop in crops]

    def _from_photos(self, rng: np.random.Generator, foreign: bool) -> list[Array]:
        count, size = self._settings.photo_frames, self._settings.size
        layers = [self._layer(rng, background=True)]
        layers += [self._layer(rng, background=False) for _ in range(int(rng.integers(0, 3)))]
        frames = []
        for t in range(count):
            # A foreign exemplar is the same scene elsewhere along every path.
            time = float(rng.uniform(-8, 8)) if foreign and t == 0 else float(t)
            frame = np.zeros((size, size, 3), np.float32)
            for layer in layers:
                picture, mask = layer.at(time, size)
                frame = picture if mask is None else frame + mask[..., None] * (picture - frame)
            frames.append(frame)
        if rng.random() < 0.3:  # exposure drifts within a shot
            drift = rng.uniform(-0.04, 0.04)
            frames = [np.clip(f * (1 + drift * t), 0, 1) for t, f in enumerate(frames)]
        return frames

    def _layer(self, rng: np.random.Generator, background: bool) -> "_Layer":
        size = self._settings.size
        photo = self._photos[int(rng.integers(len(self._photos)))]
        scale = _MARGIN * size / min(photo.shape[:2]) if background else size / min(photo.shape[:2])
        picture = cv2.resize(
            photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        )
        return _Layer(picture.astype(np.float32) / 255, rng, background, size)

    def _augment(self, rng: np.random.Generator, frames: list[Array]) -> Sequence:
        stack = np.stack(frames)
        if rng.random() < 0.5:
            stack = stack[:, :, ::-1]
        lab = np.stack([cv2.cvtColor(np.ascontiguousarray(f), cv2.COLOR_RGB2LAB) for f in stack]).transpose(0, 3, 1, 2)
        luminance: Array = (lab[:, :1] / 50 - 1).astype(np.float32)
        chroma: Array = (lab[:, 1:] / 110).astype(np.float32)
        if rng.random() < 0.5:
            gamma = np.float32(rng.uniform(0.7, 1.4))
            luminance = (2 * ((luminance + 1) / 2).clip(0, 1) ** gamma - 1).astype(np.float32)
        if rng.random() < 0.3:  # film grain: in the plate, not in its colour
            luminance = luminance + rng.normal(0, rng.uniform(0.005, 0.03), luminance.shape).astype(np.float32)
        if rng.random() < self._settings.hue_share:
            angle = rng.uniform(0, 2 * np.pi)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
            chroma = np.einsum("ij,tjhw->tihw", turn, chroma)
            chroma = chroma * np.float32(rng.uniform(0.6, 1.4))
        chroma = np.ascontiguousarray(chroma, np.float32)
        return Sequence(luminance.astype(np.float32), chroma)


def _there_and_back(index: int, count: int) -> int:
    """``index`` reflected at the ends of a clip of ``count`` frames: a short clip plays forwards and backwards."""
    if count == 1:
        return 0
    place = index % (2 * (count - 1))
    return min(place, 2 * (count - 1) - place)


class _Layer:
    """A photograph that moves: translation, rotation, zoom and a slow bend, each a smooth function of time."""

    def __init__(self, picture: Array, rng: np.random.Generator, background: bool, size: int) -> None:
        self._picture = picture
        reach = 0.02 if background else 0.05
        still = rng.random() < (0.25 if background else 0.1)
        self._velocity = np.zeros(2) if still else rng.normal(0, reach * size, 2)
        self._turn = 0.0 if still else rng.normal(0, 0.02)
        self._zoom = 0.0 if still else rng.normal(0, 0.02)
        self._bend = 0.0 if still else rng.uniform(0, 0.012) * size
        self._phase = rng.uniform(0, 2 * np.pi, 4)
        self._centre = np.array(picture.shape[1::-1]) / 2
        self._mask: Array | None = None
        if not background:
            self._place = rng.uniform(0.2, 0.8, 2) * size
            self._mask = _blob(rng, int(size * rng.uniform(0.25, 0.6)))
        else:
            self._place = np.full(2, size / 2)

    def at(self, time: float, size: int) -> tuple[Array, Array | None]:
        """The layer's picture (S, S, 3) and mask (S, S) at a time in frames."""
        angle, zoom = self._turn * time, np.exp(self._zoom * time)
        y, x = np.mgrid[0:size, 0:size].astype(np.float32)
        if self._bend:
            wave = 2 * np.pi / size
            swing = np.float32(self._bend * np.sin(0.5 * time + self._phase[0]))
            x, y = x + swing * np.sin(wave * y + self._phase[1]), y + swing * np.sin(wave * x + self._phase[2])
        place = self._place + self._velocity * time
        cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
        dx, dy = x - np.float32(place[0]), y - np.float32(place[1])
        u, v = np.float32(cos) * dx + np.float32(sin) * dy, np.float32(cos) * dy - np.float32(sin) * dx
        picture = cv2.remap(
            self._picture,
            (u + np.float32(self._centre[0])).astype(np.float32),
            (v + np.float32(self._centre[1])).astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        if self._mask is None:
            return picture, None
        half = np.float32(self._mask.shape[0] / 2)
        mask = cv2.remap(self._mask, (u + half).astype(np.float32), (v + half).astype(np.float32), cv2.INTER_LINEAR)
        return picture, mask


def _blob(rng: np.random.Generator, side: int) -> Array:
    """A soft-edged random star-shaped mask (side, side) in [0, 1]."""
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    y, x = (y - side / 2) / (side / 2), (x - side / 2) / (side / 2)
    angle = np.arctan2(y, x)
    radius = np.full_like(angle, 0.7)
    for harmonic in range(1, 5):
        radius += np.float32(rng.normal(0, 0.12 / harmonic)) * np.sin(
            harmonic * angle + np.float32(rng.uniform(0, 6.3))
        )
    edge = np.float32(side / 2 / 1.5)
    mask: Array = ((radius.clip(0.2, 0.95) - np.hypot(x, y)) * edge + 0.5).clip(0, 1).astype(np.float32)
    return mask
