"""Training sequences: from clips with random steps, and from photographs warped into pseudo-clips.

Every sequence is drawn from a generator seeded by (seed, step, place in the batch): a resumed run sees the same data.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from colormnet.training.footage import Footage, Picture
from colormnet.training.settings import TrainingSettings

Array = npt.NDArray[np.float32]
_FAR = 60  # frames between an exemplar and the part of the shot that is trained on, at most
_MARGIN = 1.5  # photographs are scaled so that a moving crop stays inside them


@dataclass(frozen=True)
class Sequence:
    """One training sequence in network units. The exemplar is frame 0 of the arrays, the shot goes on from frame 1.

    Attributes:
        luminance: (T, 1, S, S).
        chroma: (T, 2, S, S).
        worn: (2, S, S): frame 1's chroma as a long run might have carried it there: blurred, faded, smeared, tinted.
    """

    luminance: Array
    chroma: Array
    worn: Array


class SequenceMaker:
    """Draws sequences from footage and photographs."""

    def __init__(self, clips: list[Footage], photos: list[Picture], settings: TrainingSettings) -> None:
        self._clips, self._photos, self._settings = clips, photos, settings

    def draw(self, step: int, place: int, foreign: bool) -> Sequence:
        """The sequence at ``place`` of the batch of ``step``.

        Args:
            step: optimizer step.
            place: index in the batch.
            foreign: whether the exemplar is a view of the scene from elsewhere, not an earlier frame of the shot.
        """
        rng = np.random.default_rng([self._settings.seed, step, place])
        use_photo = not self._clips or (bool(self._photos) and rng.random() < self._settings.photo_share)
        frames = self._from_photos(rng, foreign) if use_photo else self._from_clip(rng, foreign)
        return self._augment(rng, frames)

    def _from_clip(self, rng: np.random.Generator, foreign: bool) -> list[Array]:
        count, size = self._settings.frames, self._settings.size
        # Long clips hold more, but not in proportion: draw by the square root of the length.
        weight = np.sqrt([len(c.frames) for c in self._clips])
        clip = self._clips[rng.choice(len(self._clips), p=weight / weight.sum())].frames
        stride = int(rng.integers(1, 6 if rng.random() < 0.8 else 11))
        stride = max(1, min(stride, (len(clip) - 1) // max(1, count - 2)))
        start = int(rng.integers(0, max(1, len(clip) - stride * (count - 2))))
        shot = [min(start + stride * i, len(clip) - 1) for i in range(count - 1)]
        if rng.random() < 0.5:
            shot.reverse()
        far = len(clip) if foreign else int(rng.choice([2, 12, _FAR]))
        exemplar = shot[0] + int(rng.integers(-far, far + 1))
        index = [min(max(exemplar, 0), len(clip) - 1), *shot]
        height, width = clip.shape[1:3]
        side = int(min(height, width) * rng.uniform(0.6, 1.0))
        top, left = int(rng.integers(0, height - side + 1)), int(rng.integers(0, width - side + 1))
        crops = [clip[i, top : top + side, left : left + side] for i in index]
        interpolation = cv2.INTER_AREA if side >= size else cv2.INTER_LINEAR
        return [cv2.resize(crop, (size, size), interpolation=interpolation).astype(np.float32) / 255 for crop in crops]

    def _from_photos(self, rng: np.random.Generator, foreign: bool) -> list[Array]:
        count, size = self._settings.frames, self._settings.size
        layers = [self._layer(rng, background=True)]
        layers += [self._layer(rng, background=False) for _ in range(int(rng.integers(0, 3)))]
        frames = []
        for t in range(count):
            # The exemplar is the same scene elsewhere along every path.
            time = float(t) if t else float(rng.uniform(-8, 8))
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
        worn = _wear(rng, chroma[1]) if rng.random() < self._settings.wear_share else chroma[1]
        return Sequence(luminance.astype(np.float32), chroma, worn)


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


def _wear(rng: np.random.Generator, chroma: Array) -> Array:
    """What many steps of propagation do to a frame's chroma (2, S, S): short sequences cannot show it otherwise."""
    side = chroma.shape[-1]
    strength = rng.random()
    worn = chroma.transpose(1, 2, 0)
    sigma = 2.5 * strength * rng.random()
    if sigma > 0.3:
        worn = cv2.GaussianBlur(worn, (0, 0), sigma)
    for _ in range(int(rng.integers(0, 3))):  # colour left behind by what moved away
        size = int(side * rng.uniform(0.1, 0.4))
        mask = np.zeros((side, side), np.float32)
        top, left = rng.integers(0, side - size, 2)
        mask[top : top + size, left : left + size] = _blob(rng, size)
        shift = rng.integers(-side // 4, side // 4 + 1, 2)
        worn = worn + mask[..., None] * (np.roll(worn, tuple(shift), (0, 1)) - worn)
    coarse = rng.normal(0, 3 * strength, (4, 4, 2)).astype(np.float32)
    drift = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    worn = cv2.remap(worn, x + drift[..., 0], y + drift[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    worn = worn * np.float32(rng.uniform(1 - 0.3 * strength, 1 + 0.1 * strength))
    worn = worn + rng.normal(0, 0.015 * strength, 2).astype(np.float32)
    return np.ascontiguousarray(worn.transpose(2, 0, 1), np.float32)


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
