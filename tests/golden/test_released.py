"""The released network against its reference outputs (seeded weights, seeded clips; see README.md here)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from colormnet import Colorizer, MemorySettings, Model, load_model

from .reference_inputs import synthetic_clip, synthetic_state

HERE = Path(__file__).parent
ENCODER_OUTPUTS = ("key", "shrinkage", "selection", "f16", "f8", "f4")

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Case:
    reference: str
    weights: int
    clip: tuple[int, int, int, int]
    settings: MemorySettings
    exemplar: int | None  # a frame's picture from elsewhere; None: frame 0 is the exemplar


CONSOLIDATING = MemorySettings(
    every=2, working_frames=4, kept_frames=2, prototypes=32, long_term_tokens=100, count_long_term_usage=True
)
CASES = [
    Case("first", 1234, (24, 120, 150, 7), CONSOLIDATING, None),
    Case("any", 1234, (24, 120, 150, 7), CONSOLIDATING, 12),
    Case(
        "wide",
        55,
        (16, 91, 203, 3),
        MemorySettings(every=3, working_frames=4, kept_frames=2, prototypes=32, count_long_term_usage=False),
        None,
    ),
]


class Footage:
    """A clip, a model, and the features of every frame, computed once for all exemplars."""

    def __init__(self, weights: int, clip: tuple[int, int, int, int], precision: str) -> None:
        manifest = json.loads((HERE / "official_manifest.json").read_text())
        state = {name: torch.from_numpy(value) for name, value in synthetic_state(manifest, weights).items()}
        self.model: Model = load_model("released", state, device="cpu", precision=precision)
        frames, height, width, seed = clip
        self.luminance, self.chroma = synthetic_clip(frames, height, width, seed)
        encoder = Colorizer(self.model)
        self.keys = [encoder.encode(plane[0]) for plane in self.luminance]


@pytest.fixture(scope="module")
def footage():
    """The most recent footage stays; cases are ordered so that it is used again."""
    held: dict[tuple, Footage] = {}

    def get(case: Case, precision: str) -> Footage:
        name = (case.weights, case.clip, precision)
        if name not in held:
            held.clear()
            held[name] = Footage(*name)
        return held[name]

    return get


RUNS = [
    pytest.param(case, precision, id=f"{precision}-{case.reference}")
    for precision in ("float64", "float32")
    for case in CASES
]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("case", "precision"), RUNS)
def test_planes_and_encoder_outputs(case, precision, footage):
    reference = np.load(HERE / f"golden_{case.reference}.npz")
    clip = footage(case, precision)
    check_encoder(clip, reference, precision)
    session = Colorizer(clip.model, case.settings)
    if case.exemplar is None:
        session.add_exemplar(clip.luminance[0, 0], clip.chroma[0], first_frame=True)
    else:
        session.add_exemplar(clip.luminance[case.exemplar, 0], clip.chroma[case.exemplar])
    compared, means = 0, []
    last = len(clip.keys) - 1
    for number, keys in enumerate(clip.keys):
        planes = session.step(clip.luminance[number, 0], last=number == last, keys=keys)
        if f"ab_{number:03d}" in reference:
            difference = np.abs(planes.astype(np.float64) - reference[f"ab_{number:03d}"])
            worst, mean = (1e-6, 1e-6) if precision == "float64" else (1e-2, 5e-4)
            assert difference.max() <= worst, f"frame {number}: max |d| {difference.max():.2e}"
            means.append(difference.mean())
            compared += 1
    assert compared == sum(name.startswith("ab_") for name in reference.files)
    # In float32 a choice of the top-k that flips moves whole patches: the mean is over the clip.
    assert np.mean(means) <= mean, f"mean |d| {np.mean(means):.2e} over {compared} frames"


def check_encoder(clip, reference, precision):
    """Encoder outputs, stored in float32: slices, and mean, deviation and largest magnitude of the whole."""
    tolerance = 1e-6 if precision == "float64" else 2e-5
    numbers = {int(name.split("_")[1]) for name in reference.files if name.startswith("key_")}
    for number in numbers:
        keys = clip.keys[number]
        outputs = dict(zip(ENCODER_OUTPUTS, (keys.key, keys.shrinkage, keys.selection, *keys.maps), strict=True))
        for name, tensor in outputs.items():
            values = tensor[0].double().numpy()
            piece = values if name == "shrinkage" else values[:8, :6, :6]
            scale = np.abs(values).max()
            expected = reference[f"{name}_{number}_slice"].reshape(piece.shape)
            assert np.abs(piece - expected).max() <= tolerance * scale, f"{name} of frame {number}"
            statistics = np.array([values.mean(), values.std(), scale])
            difference = np.abs(statistics - reference[f"{name}_{number}_stats"].ravel())
            assert difference.max() <= tolerance * scale, f"statistics of {name} of frame {number}"


def test_every_name_shape_and_type_of_the_released_checkpoint():
    from colormnet.network.model import ColorMNet

    manifest = json.loads((HERE / "official_manifest.json").read_text())
    with torch.device("meta"):
        state = ColorMNet().state_dict()
    ours = {name: [list(t.shape), str(t.dtype)] for name, t in state.items()}
    theirs = {name: [shape, "torch." + dtype.removeprefix("torch.")] for name, (shape, dtype) in manifest.items()}
    assert ours == theirs
