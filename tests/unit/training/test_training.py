"""Training on real frames: the loss falls, and an interrupted run ends with the same weights."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import colormnet
from colormnet.errors import InputError, WeightsError
from colormnet.training import loop
from colormnet.training.settings import TrainingSettings, paper

# The bundled clip: these runs are thrown away, no shipped weights have seen it.
CLIP = Path(colormnet.__file__).parent / "demo_media" / "big_buck_bunny.mp4"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(out: Path, **changes) -> TrainingSettings:
    settings = TrainingSettings(
        out=out, clips=(CLIP,), steps=6, batch=1, frames=3, size=64, warm_up=1, save_every=2, hue_share=0.0
    )
    return replace(settings, **changes)


def losses(out: Path) -> list[float]:
    lines = [json.loads(line) for line in (out / "curve.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.slow
def test_loss_falls_on_real_frames(tmp_path):
    loop.train(small(tmp_path, steps=30, batch=2, learning_rate=1e-3, foreign_share=1.0, decay=False))
    curve = losses(tmp_path)
    assert len(curve) == 30
    assert np.mean(curve[-8:]) < 0.85 * np.mean(curve[:8])


@pytest.mark.slow
def test_interrupted_run_ends_with_the_weights_of_a_straight_one(tmp_path):
    straight = load_file(loop.train(small(tmp_path / "straight")))
    with pytest.raises(colormnet.errors.InterruptedRun):
        loop.train(small(tmp_path / "cut"), stop_after=3)
    resumed = load_file(loop.train(small(tmp_path / "cut")))
    steps = [json.loads(line)["step"] for line in (tmp_path / "cut" / "curve.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4, 5, 6]  # what was done again is written once
    assert straight.keys() == resumed.keys()
    for name in straight:
        assert torch.equal(straight[name], resumed[name]), name


@pytest.mark.slow
def test_validation_writes_curve_and_preview_and_leaves_training_alone(tmp_path):
    changes = {"steps": 4, "save_every": 4}
    plain = load_file(loop.train(small(tmp_path / "plain", **changes)))
    watched = small(
        tmp_path / "watched", validation=(CLIP,), validate_every=2, validation_frames=4, validation_size=64, **changes
    )
    weights = load_file(loop.train(watched))
    assert all(torch.equal(plain[name], weights[name]) for name in plain)
    lines = [json.loads(x) for x in (tmp_path / "watched" / "curve.jsonl").read_text().splitlines()]
    scores = [line["validation"] for line in lines if "validation" in line]
    assert len(scores) == 2
    assert all(10 < score["psnr"] < 60 for score in scores)
    assert (tmp_path / "watched" / "preview_000004.png").stat().st_size > 1000


@pytest.mark.slow
def test_trained_weights_load_as_the_lite_model(tmp_path):
    weights = loop.train(small(tmp_path, steps=1))
    model = colormnet.load_model("lite", weights)
    assert model.default_memory.local_reference == "previous"
    assert model.default_working_size == loop.LITE_WORKING_SIZE


@pytest.mark.parametrize("name", ["small-released", "small-recurrent", "small-no-local-attention"])
@pytest.mark.slow
def test_variants_take_a_training_step(tmp_path, name):
    settings = small(
        tmp_path, steps=2, network=name, size=112, loss="l1", frozen_stages=0, ema=0.0, frame_by_frame=False
    )
    before = {k: v.clone() for k, v in loop.build_network(settings).state_dict().items()}
    after = load_file(loop.train(settings))
    assert any(not torch.equal(before[k], after[k]) for k in before)
    assert len(losses(tmp_path)) == 2


def test_a_run_with_other_settings_is_not_resumed(tmp_path):
    with pytest.raises(colormnet.errors.InterruptedRun):
        loop.train(small(tmp_path), stop_after=0)
    with pytest.raises(WeightsError, match="other settings"):
        loop.train(small(tmp_path, learning_rate=1.0))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    (tmp_path / "resume.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match="damaged"):
        loop.train(small(tmp_path))


def test_settings_are_checked():
    with pytest.raises(InputError, match="Nothing to train on"):
        TrainingSettings(out=Path("x"))
    with pytest.raises(InputError, match="hue_share"):
        TrainingSettings(out=Path("x"), clips=(CLIP,), hue_share=2.0)


def test_paper_preset_is_the_papers():
    settings = paper(TrainingSettings(out=Path("x"), clips=(CLIP,)))
    assert (settings.learning_rate, settings.batch, settings.steps) == (2e-5, 4, 160_000)
    assert settings.loss == "l1"
    assert not settings.decay
    assert not settings.frame_by_frame
