import numpy as np
import pytest

from colormnet.evaluation.clips import compose, split
from colormnet.evaluation.methods import BASELINES, CopiedChroma, GreyClip, LeftGrey, Network, OpticalFlow
from colormnet.evaluation.protocol import exemplars_of
from colormnet.evaluation.table3 import untrained_model


def run(method, clip, protocol="first"):
    method.start(exemplars_of(clip, protocol), GreyClip(clip))
    return [method.next(clip.luminance(index)) for index in range(len(clip))]


def error(clip, answers, index):
    return float(np.abs(answers[index] - clip.planes(index)[1]).mean())


def test_left_grey_has_no_chroma(panning):
    assert not any(answer.any() for answer in run(LeftGrey(), panning))


def test_copied_chroma_stays_where_it_was(panning):
    answers = run(CopiedChroma(), panning)
    assert all(np.array_equal(answer, panning.planes(0)[1]) for answer in answers)


def test_copied_chroma_takes_the_exemplar_nearest_in_time(panning):
    answers = run(CopiedChroma(), panning, "first-last")
    first, last = panning.planes(0)[1], panning.planes(15)[1]
    assert np.array_equal(answers[7], first)
    assert np.array_equal(answers[8], last)


def test_optical_flow_follows_what_moves(panning):
    flow, copied = run(OpticalFlow(), panning), run(CopiedChroma(), panning)
    assert np.array_equal(flow[0], panning.planes(0)[1])
    for index in (2, 5, 8):
        assert error(panning, flow, index) < 0.5 * error(panning, copied, index)


def test_optical_flow_is_chained_so_that_a_broken_frame_ruins_what_follows(panning, make_clip):
    frames = list(panning.truth)
    frames[5] = np.random.default_rng(3).integers(0, 256, frames[5].shape, dtype=np.uint8)
    whole, broken = run(OpticalFlow(), panning), run(OpticalFlow(), make_clip(frames))
    assert np.array_equal(whole[4], broken[4])
    assert error(panning, broken, 8) > 1.5 * error(panning, whole, 8)


def test_optical_flow_with_a_last_exemplar_is_pulled_to_it(panning):
    one, two = run(OpticalFlow(), panning), run(OpticalFlow(), panning, "first-last")
    assert np.allclose(two[15], panning.planes(15)[1], atol=2e-3)  # the backward pass is kept in half floats
    assert error(panning, two, 13) < error(panning, one, 13)


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_a_method_can_be_used_for_one_clip_after_another(name, panning, paint, make_clip):
    method = BASELINES[name]()
    run(method, make_clip([paint(48, 80, seed=index) for index in range(3)]))
    again, fresh = run(method, panning), run(BASELINES[name](), panning)
    assert all(np.array_equal(one, other) for one, other in zip(again, fresh, strict=True))


def test_a_method_sees_nothing_of_the_true_colour(panning, make_clip):
    hidden = make_clip([panning.truth[0], *(compose(*_without_colour(frame)) for frame in panning.truth[1:])])
    for name, build in BASELINES.items():
        seen, unseen = run(build(), panning), run(build(), hidden)
        # The grey of a grey picture differs from the grey of the coloured one by rounding alone.
        assert np.abs(np.stack(seen) - np.stack(unseen)).mean() < 0.02, name


@pytest.mark.parametrize("protocol", ["first", "first-last"])
def test_a_network_carries_the_first_exemplar_and_remembers_the_last(protocol, paint, make_clip):
    clip = make_clip([paint(112, 112, seed=index) for index in (0, 0, 1, 1)])
    method = Network(untrained_model("cpu"))
    answers = run(method, clip, protocol)
    assert method.name == "small-released"
    assert np.allclose(answers[0], clip.planes(0)[1])
    assert all(answer.shape == (2, 112, 112) and np.isfinite(answer).all() for answer in answers)
    # A second start begins a new session: nothing of the first clip is left in the memory.
    assert all(np.array_equal(one, other) for one, other in zip(run(method, clip, protocol), answers, strict=True))
    if protocol == "first-last":
        assert not np.array_equal(answers[2], run(method, clip, "first")[2])


def _without_colour(picture):
    luminance, chroma = split(picture)
    return luminance, np.zeros_like(chroma)
