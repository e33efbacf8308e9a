"""The session: rules of a step, several exemplars, snapshots, determinism, bad input (network.md section 7)."""

import numpy as np
import pytest
import torch

from colormnet import Colorizer, MemorySettings, Model
from colormnet.errors import InputError, WeightsError
from colormnet.network.interface import Keys
from colormnet.network.variants import SMALL, build_variant, variant

BUSY = MemorySettings(every=2, working_frames=3, kept_frames=2, prototypes=6, long_term_tokens=14)
HEIGHT, WIDTH, FRAMES = 90, 130, 16


def make_model(seed=0, name="released", **options):
    torch.manual_seed(seed)
    return Model(name, build_variant(SMALL + name), variant(name).memory, **options)


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def clip():
    generator = np.random.default_rng(4)
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    luminance = np.stack([np.sin((x + 3 * t) / 9) * np.cos((y - 2 * t) / 13) for t in range(FRAMES)])
    luminance = (luminance + 0.05 * generator.standard_normal(luminance.shape)).astype(np.float32)
    chroma = 0.4 * np.stack([np.roll(luminance, 7, 2), -luminance], 1)
    return luminance, chroma.astype(np.float32)


def run(session, luminance, start=0, stop=FRAMES):
    return [session.step(luminance[t], last=t == FRAMES - 1) for t in range(start, stop)]


def start(model, clip, first=True, settings=BUSY, **options):
    session = Colorizer(model, settings, **options)
    session.add_exemplar(clip[0][0], clip[1][0], first_frame=first)
    return session


def test_the_exemplar_frame_returns_its_own_chroma_to_the_bit(model, clip):
    session = start(model, clip)
    assert np.array_equal(session.step(clip[0][0]), clip[1][0])
    assert np.array_equal(session.confidence, np.ones((HEIGHT, WIDTH), np.float32))
    assert session.frame_index == 1


def test_planes_come_back_as_they_were_given(model, clip):
    ours = start(model, clip)
    ours.step(clip[0][0])
    array = ours.step(clip[0][1])
    other = Colorizer(model, BUSY)
    other.add_exemplar(torch.from_numpy(clip[0][0]), torch.from_numpy(clip[1][0]), first_frame=True)
    other.step(torch.from_numpy(clip[0][0]))
    tensor = other.step(torch.from_numpy(clip[0][1]))
    assert isinstance(array, np.ndarray)
    assert isinstance(tensor, torch.Tensor)
    assert isinstance(other.confidence, torch.Tensor)
    assert array.shape == (2, HEIGHT, WIDTH)
    assert array.dtype == np.float32
    assert np.array_equal(array, tensor.numpy())


def test_confidence_is_per_pixel_between_0_and_1(model, clip):
    session = start(model, clip)
    with pytest.raises(InputError, match="before the first step"):
        _ = session.confidence
    run(session, clip[0], 0, 4)
    sure = session.confidence
    assert sure.shape == (HEIGHT, WIDTH)
    assert sure.dtype == np.float32
    assert 0 <= sure.min() < sure.max() <= 1


@pytest.mark.parametrize("first", [True, False])
def test_the_same_calls_give_the_same_bits(model, clip, first):
    one, two = run(start(model, clip, first), clip[0]), run(start(model, clip, first), clip[0])
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


@pytest.mark.parametrize("first", [True, False])
def test_resuming_at_any_frame_equals_never_having_stopped(model, clip, first, tmp_path):
    straight = start(model, clip, first)
    whole, sureness, files = [], [], []
    for t in range(FRAMES):
        files.append(tmp_path / f"{t}.snapshot")
        straight.save(files[-1])
        whole.append(straight.step(clip[0][t], last=t == FRAMES - 1))
        sureness.append(straight.confidence)
    assert straight._bank.long_term == BUSY.long_term_tokens - 2 or straight._bank.long_term > 0
    for t in range(FRAMES):
        resumed = Colorizer.load(files[t], model)
        assert resumed.frame_index == t
        for number in range(t, min(t + 5, FRAMES)):
            assert np.array_equal(resumed.step(clip[0][number], last=number == FRAMES - 1), whole[number]), (t, number)
            assert np.array_equal(resumed.confidence, sureness[number])


def test_a_chain_of_snapshots_equals_the_straight_run(model, clip, tmp_path):
    whole = run(start(model, clip), clip[0])
    session = start(model, clip)
    for t in range(FRAMES):
        session.save(tmp_path / "chain")
        session = Colorizer.load(tmp_path / "chain", model)
        assert np.array_equal(session.step(clip[0][t], last=t == FRAMES - 1), whole[t])


def test_keys_computed_before_and_used_again_change_nothing(model, clip):
    encoder = Colorizer(model)
    keys = [encoder.encode(plane) for plane in clip[0]]
    assert isinstance(keys[0], Keys)
    for exemplar in (0, 5):
        plain, cached = Colorizer(model, BUSY), Colorizer(model, BUSY)
        for session in (plain, cached):
            session.add_exemplar(clip[0][exemplar], clip[1][exemplar])
        for t in range(6):
            assert np.array_equal(plain.step(clip[0][t]), cached.step(clip[0][t], keys=keys[t]))


def test_an_exemplar_from_elsewhere_colours_frame_0_without_local_attention(clip):
    """With local attention removed nothing changes for frame 0, and something does for frame 1."""
    with_attention, without = make_model(), make_model()
    torch.nn.init.zeros_(without.network.short_term_attn.projection.weight)
    torch.nn.init.zeros_(without.network.short_term_attn.projection.bias)
    sessions = [start(m, clip, first=False) for m in (with_attention, without)]
    for t, same in ((0, True), (1, False)):
        one, two = (s.step(clip[0][t]) for s in sessions)
        assert np.array_equal(one, two) is same


def test_the_last_frame_is_never_memorised(model, clip):
    session, other = start(model, clip), start(model, clip)
    run(session, clip[0], 0, 2)
    run(other, clip[0], 0, 2)
    before = session.memory_tokens
    session.step(clip[0][2], last=True)
    other.step(clip[0][2])
    assert session.memory_tokens == before
    assert other.memory_tokens > before


def test_every_nth_frame_is_memorised(model, clip):
    session = start(model, clip, settings=MemorySettings(every=3))
    tokens = []
    for plane in clip[0][:8]:
        session.step(plane)
        tokens.append(session.memory_tokens)
    per_frame = tokens[0]
    assert [t // per_frame for t in tokens] == [1, 1, 1, 2, 2, 2, 3, 3]


def test_an_exemplar_in_the_middle_stays_and_changes_what_follows(model, clip):
    plain, helped = start(model, clip), start(model, clip)
    run(plain, clip[0], 0, 5)
    run(helped, clip[0], 0, 5)
    helped.add_exemplar(clip[0][9], -clip[1][9])
    one, two = run(plain, clip[0], 5), run(helped, clip[0], 5)
    assert not np.array_equal(one[0], two[0])
    assert sum(f.permanent for f in helped._bank.frames) == 2


def test_a_later_frame_can_be_an_exemplar_itself(model, clip):
    session = start(model, clip)
    run(session, clip[0], 0, 7)
    session.add_exemplar(clip[0][7], clip[1][7], first_frame=True)
    assert np.array_equal(session.step(clip[0][7]), clip[1][7])
    assert not np.array_equal(session.step(clip[0][8]), clip[1][8])


def test_several_exemplars_before_the_first_frame(model, clip):
    session = Colorizer(model, BUSY)
    session.add_exemplar(clip[0][3], clip[1][3])
    session.add_exemplar(clip[0][9], clip[1][9])
    session.add_exemplar(clip[0][0], clip[1][0], first_frame=True)
    assert np.array_equal(session.step(clip[0][0]), clip[1][0])
    run(session, clip[0], 1)
    assert sum(f.permanent for f in session._bank.frames) == 3


def test_an_exemplar_from_elsewhere_may_have_another_size(model, clip):
    session = Colorizer(model, BUSY)
    session.add_exemplar(clip[0][0][:60, :70], clip[1][0][:, :60, :70])
    assert session.step(clip[0][0]).shape == (2, HEIGHT, WIDTH)


@pytest.mark.parametrize("size", [(1, 1), (112, 112), (113, 112), (50, 225)])
def test_any_size_comes_back_in_its_own_size(model, size):
    generator = np.random.default_rng(0)
    luminance = generator.uniform(-1, 1, size).astype(np.float32)
    chroma = generator.uniform(-1, 1, (2, *size)).astype(np.float32)
    session = Colorizer(model)
    session.add_exemplar(luminance, chroma, first_frame=True)
    assert np.array_equal(session.step(luminance), chroma)
    assert session.step(luminance).shape == (2, *size)
    assert session.confidence.shape == size


def test_the_memory_is_as_large_after_a_long_clip_as_after_a_short_one(model):
    """Between frame 100 and frame 1,000: the same peak of bytes held (token counts; network of 7 x 7 tokens)."""
    generator = np.random.default_rng(1)
    light = torch.from_numpy(generator.uniform(-1, 1, (8, 40, 40)).astype(np.float32))
    settings = MemorySettings(every=1, working_frames=4, kept_frames=2, prototypes=16, long_term_tokens=64)
    session = Colorizer(model, settings)
    keys = [session.encode(plane) for plane in light]
    session.add_exemplar(light[0], torch.zeros(2, 40, 40), first_frame=True)
    held = []
    for t in range(150):
        session.step(light[t % 8], keys=keys[t % 8])
        held.append(session.memory_bytes)
    assert max(held[30:]) == max(held[:30])
    assert session._bank.long_term == 64


def test_the_model_runs_in_other_precisions(clip):
    exact = make_model(dtype=torch.float64)
    half = make_model(dtype=torch.bfloat16)
    results = []
    for model in (exact, half):
        session = start(model, clip)
        session.step(clip[0][0])
        results.append(session.step(clip[0][1]))
        assert results[-1].dtype == np.float32
    assert np.abs(results[0] - results[1]).mean() < 0.05


# -- what is refused ---------------------------------------------------------------------------------------------


def test_without_an_exemplar_there_is_nothing_to_copy(model, clip):
    with pytest.raises(InputError, match="add_exemplar"):
        Colorizer(model).step(clip[0][0])


def test_a_frame_of_another_size_is_refused_and_changes_nothing(model, clip):
    session, other = start(model, clip), start(model, clip)
    run(session, clip[0], 0, 3)
    run(other, clip[0], 0, 3)
    with pytest.raises(InputError, match="64x64"):
        session.step(np.zeros((64, 64), np.float32))
    assert np.array_equal(session.step(clip[0][3]), other.step(clip[0][3]))


@pytest.mark.parametrize(
    ("luminance", "chroma"),
    [
        (np.zeros((4, 4, 1), np.float32), np.zeros((2, 4, 4), np.float32)),
        (np.zeros((4, 4), np.float32), np.zeros((4, 4, 2), np.float32)),
        (np.zeros((4, 4), np.float32), np.zeros((2, 4, 5), np.float32)),
        (np.zeros((0, 4), np.float32), np.zeros((2, 0, 4), np.float32)),
        (np.zeros((4, 4), np.uint8), np.zeros((2, 4, 4), np.float32)),
        (np.full((4, 4), np.nan, np.float32), np.zeros((2, 4, 4), np.float32)),
        (np.zeros((4, 4), np.float32), np.full((2, 4, 4), np.inf, np.float32)),
    ],
)
def test_planes_of_wrong_shape_type_or_content_are_refused(model, luminance, chroma):
    with pytest.raises(InputError):
        Colorizer(model).add_exemplar(luminance, chroma)


def test_two_exemplars_for_one_frame_are_refused(model, clip):
    session = start(model, clip)
    with pytest.raises(InputError, match="already has its own exemplar"):
        session.add_exemplar(clip[0][0], clip[1][0], first_frame=True)


def test_keys_of_another_size_are_refused(model, clip):
    session = start(model, clip)
    keys = session.encode(np.zeros((300, 300), np.float32))
    with pytest.raises(InputError, match="another size"):
        session.step(clip[0][0], keys=keys)


def test_a_snapshot_of_another_model_precision_or_settings_is_refused(model, clip, tmp_path):
    path = tmp_path / "s"
    session = start(model, clip)
    session.step(clip[0][0])
    session.save(path)
    with pytest.raises(WeightsError, match="other weights"):
        Colorizer.load(path, make_model(seed=1))
    with pytest.raises(WeightsError):
        Colorizer.load(path, make_model(dtype=torch.float64))
    with pytest.raises(InputError, match="other memory settings"):
        Colorizer.load(path, model, MemorySettings())
    assert Colorizer.load(path, model, BUSY).settings == BUSY


@pytest.mark.parametrize("part", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_snapshot_is_refused(model, clip, tmp_path, part):
    path = tmp_path / "s"
    start(model, clip).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(InputError, match=r"damaged or truncated"):
        Colorizer.load(path, model)


def test_other_files_are_not_snapshots(model, tmp_path):
    from safetensors.torch import save_file

    with pytest.raises(InputError, match="no snapshot"):
        Colorizer.load(tmp_path / "absent", model)
    save_file({"a": torch.zeros(2)}, tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="not a colormnet snapshot"):
        Colorizer.load(tmp_path / "weights.safetensors", model)


def test_a_snapshot_is_written_whole_or_not_at_all(model, clip, tmp_path):
    session = start(model, clip)
    path = tmp_path / "s"
    session.save(path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="could not be written"):
        session.save(tmp_path / "no" / "such" / "folder")
    session.step(clip[0][0])
    session.save(path)
    assert path.read_bytes() != before
    assert [p.name for p in tmp_path.iterdir()] == ["s"]
