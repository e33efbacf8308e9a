import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from colormnet.errors import InputError
from colormnet.evaluation import metrics, protocol
from colormnet.evaluation.clips import compose, split
from colormnet.evaluation.methods import CopiedChroma, LeftGrey, Method
from colormnet.evaluation.perceptual import NotComputed, PerceptualMetrics
from colormnet.evaluation.protocol import EvaluationSettings, evaluate_clip, sample_indices

NONE = PerceptualMetrics(*[NotComputed("weights X missing, put them at Y")] * 3)


class Told(Method):
    """Answers what it was built with: chroma per frame."""

    name = "told"
    title = "Told"

    def __init__(self, answer):
        self.answer = answer

    def start(self, exemplars, clip):
        self.index = -1

    def next(self, luminance):
        self.index += 1
        return self.answer(self.index)


def measured(method, clip, **options):
    return evaluate_clip(method, clip, perceptual=NONE, **options).scores


@settings(max_examples=40)
@given(arrays(np.uint8, (16, 16, 3)))
def test_true_luminance_and_true_chroma_give_back_the_truth(picture):
    assert np.array_equal(compose(*split(picture)), picture)


def test_the_truth_itself_scores_perfectly(panning):
    scores = measured(Told(lambda index: panning.planes(index)[1]), panning)
    assert scores.psnr == scores.psnr_chroma == metrics.PSNR_CEILING
    assert scores.ssim == pytest.approx(1.0)
    assert scores.chroma_kept_last_quarter == pytest.approx(1.0)
    assert scores.psnr_drift == 0.0
    assert scores.colourfulness == scores.colourfulness_truth
    assert scores.cdc == scores.cdc_truth


def test_left_grey_scores_as_the_grey_frames_do(panning):
    scores = measured(LeftGrey(), panning)
    zero = np.zeros((2, 64, 96), np.float32)
    expected = [metrics.psnr(panning.truth[index], compose(panning.luminance(index), zero)) for index in range(1, 16)]
    assert scores.psnr == pytest.approx(np.mean(expected))
    assert scores.chroma_kept_last_quarter == 0.0
    assert scores.colourfulness < 1.0 < scores.colourfulness_truth


def test_the_exemplar_frame_counts_only_when_asked_for(panning):
    counted = measured(CopiedChroma(), panning, count_given=True)
    left_out = measured(CopiedChroma(), panning)
    assert counted.counted == 16
    assert left_out.counted == 15
    assert counted.frames[0].psnr == metrics.PSNR_CEILING
    assert counted.psnr == pytest.approx((15 * left_out.psnr + metrics.PSNR_CEILING) / 16)
    assert left_out.frames[0].given
    assert not left_out.frames[1].given


def test_first_last_gives_both_ends_and_measures_distance_to_the_nearer(panning):
    scores = measured(CopiedChroma(), panning, protocol="first-last")
    assert [frame.distance for frame in scores.frames] == [*range(8), *reversed(range(8))]
    assert [frame.index for frame in scores.frames if frame.given] == [0, 15]
    assert scores.counted == 14


def test_fading_shows_in_the_last_quarter(panning):
    fading = Told(lambda index: panning.planes(index)[1] * np.float32(1 - 0.05 * index))
    scores = measured(fading, panning)
    assert scores.chroma_kept_last_quarter == pytest.approx(np.mean([0.25, 0.3, 0.35]), abs=0.03)
    assert scores.psnr_quarters == tuple(sorted(scores.psnr_quarters, reverse=True))
    assert scores.psnr_drift == pytest.approx(scores.psnr_quarters[3] - scores.psnr_quarters[0])
    assert scores.psnr_drift < -3


def test_quarters_need_four_frames(make_clip, panning):
    short = measured(CopiedChroma(), make_clip(panning.truth[:4]))
    assert short.counted == 3
    assert short.psnr_quarters is None
    assert short.psnr_drift is None


@pytest.mark.parametrize("answer", [np.full((2, 64, 96), np.nan, np.float32), np.zeros((2, 32, 48), np.float32)])
def test_a_method_that_answers_nonsense_gets_no_score(panning, answer):
    with pytest.raises(InputError, match="frame 4 of 'panning'"):
        measured(Told(lambda index: answer if index == 3 else panning.planes(index)[1]), panning)


def test_time_and_memory_are_of_the_method(panning, monkeypatch):
    """By a clock that goes on by 20 ms in every frame of the method, and by much more in all that is around it."""
    now, held = [0.0], []
    monkeypatch.setattr(protocol, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    chroma = [panning.planes(index)[1] for index in range(len(panning))]
    planes = type(panning).planes

    def slow_planes(clip, index):
        now[0] += 5.0
        return planes(clip, index)

    def slow(index):
        now[0] += 0.02
        if index == 5:
            held.append(np.ones(64 * 2**20, np.uint8))
        return chroma[index]

    monkeypatch.setattr(type(panning), "planes", slow_planes)
    scores = measured(Told(slow), panning)
    assert scores.seconds_per_frame == pytest.approx(0.02)
    assert scores.peak_memory_of == "process"
    assert scores.peak_memory_bytes > 48 * 2**20


def test_peak_memory_is_seen():
    """In a process of its own: here other tests' memory may go back to the system meanwhile."""
    code = (
        "import time, numpy as np\n"
        "from colormnet.evaluation.memory_use import PeakResidentMemory\n"
        "with PeakResidentMemory() as memory:\n"
        "    held = np.ones(64 * 2**20, np.uint8)\n"
        "    end = time.monotonic() + 60\n"
        "    while memory.peak - memory.start < 48 * 2**20 and time.monotonic() < end:\n"
        "        time.sleep(0.01)\n"
        "    del held\n"
        "print(memory.peak - memory.start)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 48 * 2**20 < int(run.stdout) < 200 * 2**20


def test_missing_networks_are_words_and_never_numbers(panning):
    scores = measured(LeftGrey(), panning)
    assert str(scores.lpips) == "not computed: weights X missing, put them at Y"
    assert all(isinstance(frame.lpips, NotComputed) for frame in scores.frames)


def test_a_clip_of_nothing_but_exemplars_can_be_counted_when_asked_for(make_clip, panning):
    scores = measured(CopiedChroma(), make_clip(panning.truth[:2]), protocol="first-last", count_given=True)
    assert scores.psnr == metrics.PSNR_CEILING
    assert np.isfinite(scores.seconds_per_frame)


def test_a_clip_of_nothing_but_exemplars_is_refused(make_clip, panning):
    with pytest.raises(InputError, match="Every frame"):
        measured(LeftGrey(), make_clip(panning.truth[:2]), protocol="first-last")


def test_settings_are_checked():
    with pytest.raises(InputError, match="at least 2"):
        EvaluationSettings(frames=1)
    with pytest.raises(InputError, match="first-last"):
        EvaluationSettings(protocol="last")


@pytest.mark.parametrize("length", [2, 3, 5, 16, 300])
def test_the_frames_shown_exist_and_are_not_the_exemplar(length):
    shown = sample_indices(length)
    assert shown
    assert all(0 < index < length for index in shown)
