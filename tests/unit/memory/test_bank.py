"""Tiers, consolidation, eviction and usage of the memory (network.md section 5)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from colormnet.errors import InputError
from colormnet.memory.bank import MemoryBank
from colormnet.memory.consolidation import consolidate, evict
from colormnet.memory.readout import read
from colormnet.memory.settings import MemorySettings
from colormnet.memory.tokens import NEW_LIFE, Tokens
from colormnet.network.interface import Keys, Values

SIDE = (3, 4)
TOKENS = SIDE[0] * SIDE[1]
SMALL = MemorySettings(working_frames=4, kept_frames=2, prototypes=5, long_term_tokens=12, top_k=6)


def frame(seed, channels=6):
    generator = torch.Generator().manual_seed(seed)

    def draw(count):
        return torch.randn(1, count, *SIDE, generator=generator, dtype=torch.float64)

    return Keys(draw(channels), draw(1) ** 2 + 1, draw(channels).sigmoid(), ())


def value_of(number):
    return Values(torch.full((1, 2, *SIDE), float(number), dtype=torch.float64), None)


FINE = (6, 8)


def with_fine(keys, values, seed):
    """The same frame with what it has on a finer grid."""
    generator = torch.Generator().manual_seed(seed)
    fine = torch.randn(1, 3, *FINE, generator=generator, dtype=torch.float64)
    return keys._replace(fine=fine), values._replace(fine=torch.full((1, 4, *FINE), float(values.value[0, 0, 0, 0])))


def filled(settings, frames, evicting=True):
    bank = MemoryBank(settings)
    bank.memorise(frame(0), value_of(0), permanent=True, evicting=evicting)
    for number in range(1, frames):
        bank.read(frame(1000 + number))
        bank.memorise(frame(number), value_of(number), permanent=False, evicting=evicting)
    return bank


def test_frames_stay_apart_until_the_working_memory_is_full():
    bank = filled(SMALL, 3)
    assert len(bank) == 3 * TOKENS
    assert bank.long_term == 0


def test_at_the_limit_the_first_and_the_newest_frames_stay():
    bank = filled(SMALL, 4)
    assert bank.long_term == 5
    assert [f.permanent for f in bank.frames] == [True, False]
    assert len(bank) == 5 + 2 * TOKENS
    kept = bank.tokens.value[5:]
    assert torch.equal(kept[:TOKENS], torch.zeros(TOKENS, 2, dtype=torch.float64))
    assert torch.equal(kept[TOKENS:], torch.full((TOKENS, 2), 3.0, dtype=torch.float64))


def test_weighted_prototypes_follow_the_definition():
    candidates = filled(MemorySettings(working_frames=9, kept_frames=2, top_k=6), 4).tokens
    made = consolidate(candidates, 5, weighted=True)
    best = (candidates.usage / candidates.life).topk(5).indices
    assert torch.equal(made.key, candidates.key[best])
    for row, token in enumerate(best):
        difference = candidates.key - candidates.key[token]
        distance = (candidates.selection[token] * difference**2).sum(1)
        weight = (-candidates.shrinkage[:, 0] * distance / math.sqrt(6)).softmax(0)
        torch.testing.assert_close(made.value[row], weight @ candidates.value)
        torch.testing.assert_close(made.shrinkage[row], weight @ candidates.shrinkage)
    assert torch.equal(made.usage, torch.zeros(5, dtype=torch.float64))
    assert torch.equal(made.life, torch.full((5,), NEW_LIFE, dtype=torch.float64))


def test_selected_prototypes_are_the_vectors_themselves():
    candidates = filled(MemorySettings(working_frames=9, kept_frames=2, top_k=6), 4).tokens
    made = consolidate(candidates, 5, weighted=False)
    best = (candidates.usage / candidates.life).topk(5).indices
    assert torch.equal(made.value, candidates.value[best])
    assert torch.equal(made.shrinkage, candidates.shrinkage[best])


def test_fewer_candidates_than_prototypes_keep_them_all():
    candidates = filled(SMALL, 2).tokens
    assert len(consolidate(candidates, 500, weighted=True)) == len(candidates)


def test_eviction_goes_by_usage_per_read_not_by_usage():
    zeros = torch.zeros(3, 1)
    tokens = Tokens(
        zeros,
        zeros,
        zeros,
        torch.tensor([[0.0], [1.0], [2.0]]),
        torch.tensor([9.0, 2.0, 3.0]),
        torch.tensor([90.0, 2.0, 2.0]),
    )
    assert evict(tokens, 2).value.flatten().tolist() == [1.0, 2.0]
    assert evict(tokens, 3) is tokens


def test_long_term_memory_is_bounded_when_it_evicts_and_not_otherwise():
    bounded, unbounded = filled(SMALL, 40), filled(SMALL, 40, evicting=False)
    assert bounded.long_term <= SMALL.long_term_tokens
    assert unbounded.long_term > SMALL.long_term_tokens


def test_the_bank_does_not_grow_with_the_clip():
    sizes = []
    bank = MemoryBank(SMALL)
    bank.memorise(frame(0), value_of(0), permanent=True, evicting=True)
    for number in range(1, 400):
        bank.read(frame(number + 5000))
        bank.memorise(frame(number), value_of(number), permanent=False, evicting=True)
        sizes.append(bank.nbytes())
    assert max(sizes[200:]) <= max(sizes[:100])


def test_every_exemplar_stays_for_ever():
    bank = filled(SMALL, 6)
    bank.memorise(frame(77), value_of(77), permanent=True, evicting=True)
    for number in range(100, 130):
        bank.memorise(frame(number), value_of(number), permanent=False, evicting=True)
    stored = set(bank.tokens.value[bank.long_term :, 0].tolist())
    assert {0.0, 77.0} <= stored
    assert sum(f.permanent for f in bank.frames) == 2


def test_a_read_counts_usage_and_life():
    bank = filled(SMALL, 2)
    before = bank.tokens.usage.clone(), bank.tokens.life.clone()
    bank.read(frame(9))
    torch.testing.assert_close((bank.tokens.usage - before[0]).sum(), torch.tensor(float(TOKENS), dtype=torch.float64))
    torch.testing.assert_close(bank.tokens.life - before[1], torch.ones(2 * TOKENS, dtype=torch.float64))


def test_stacking_keeps_everything_and_recurrent_only_the_previous_frame():
    stacking = filled(MemorySettings(propagation="stacking"), 30)
    assert len(stacking) == 30 * TOKENS
    recurrent = filled(MemorySettings(propagation="recurrent"), 30)
    assert len(recurrent) == 2 * TOKENS
    assert recurrent.tokens.value[:, 0].unique().tolist() == [0.0, 29.0]


def test_the_release_counts_usage_only_for_long_clips():
    release = MemorySettings()  # length / (10 - 5) * 128 >= 10000
    assert not release.evicts(390, 1)
    assert release.evicts(391, 1)
    assert release.evicts(None, 1)
    assert release.evicts(100, 101), "a clip that outlasts its declared length must not fill the memory without bound"
    assert not MemorySettings(count_long_term_usage=False).evicts(10_000, 1)
    assert MemorySettings(count_long_term_usage=True).evicts(1, 1)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("every", 0),
        ("kept_frames", 10),
        ("top_k", 0),
        ("prototypes", 20_000),
        ("consolidation", "mean"),
        ("local_reference", "next"),
        ("propagation", "flow"),
        ("working_frames", 0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(setting, value):
    with pytest.raises(InputError, match=setting):
        MemorySettings(**{setting: value})


@settings(max_examples=30)
@given(
    working=st.integers(2, 6),
    kept=st.integers(1, 5),
    prototypes=st.integers(1, 8),
    exemplars=st.lists(st.integers(0, 30), max_size=3),
)
def test_the_tiers_always_add_up(working, kept, prototypes, exemplars):
    kept = min(kept, working - 1)
    rules = MemorySettings(
        working_frames=working, kept_frames=kept, prototypes=prototypes, long_term_tokens=20, top_k=4
    )
    bank = MemoryBank(rules)
    bank.memorise(frame(0), value_of(0), permanent=True, evicting=True)
    for number in range(1, 31):
        bank.read(frame(number + 200))
        bank.memorise(frame(number), value_of(number), permanent=number in exemplars, evicting=True)
        assert len(bank) == bank.long_term + sum(f.tokens for f in bank.frames)
        assert bank.long_term <= 20
        assert sum(not f.permanent for f in bank.frames) + 1 < max(working, 2)
        assert all(bool(t.isfinite().all()) for t in bank.tokens.tensors().values())


def test_the_exemplars_answer_on_their_own_and_finer_whatever_came_in_since():
    bank = MemoryBank(SMALL)
    for number, permanent in ((1, True), (2, False), (3, True), (4, False), (5, False)):
        keys, values = with_fine(frame(number), value_of(number), number)
        bank.memorise(keys, values, permanent=permanent, evicting=True)
    before = bank.tokens
    for number in (1, 3):
        asked, _ = with_fine(frame(7), value_of(7), number)  # the very features of an exemplar
        answer = bank.read(asked).exemplars
        assert answer.value.shape == (1, 4, *FINE)
        assert torch.equal(answer.similarity, torch.zeros(1, 1, *FINE, dtype=torch.float64))
        assert float(answer.value.amin()) >= 1.0, "frames that are no exemplars have no say"
        assert float(answer.value.amax()) <= 3.0
    assert float((bank.tokens.usage - before.usage).sum()) == pytest.approx(2 * TOKENS)  # a look-up counts nothing


def test_without_exemplars_there_is_no_answer_of_theirs():
    bank = MemoryBank(SMALL)
    bank.memorise(*with_fine(frame(1), value_of(1), 1), permanent=False, evicting=True)
    assert bank.read(with_fine(frame(2), value_of(2), 2)[0]).exemplars is None


def test_what_was_looked_up_ahead_is_what_a_read_finds_until_an_exemplar_comes_in():
    bank = MemoryBank(SMALL)
    bank.memorise(*with_fine(frame(1), value_of(1), 1), permanent=True, evicting=True)
    asked = [with_fine(frame(n), value_of(n), n)[0] for n in (10, 11)]
    direct = [bank.read(keys).exemplars for keys in asked]
    for keys in asked:
        bank.look_up(keys)
    for keys, expected in zip(asked, direct, strict=True):
        found = bank.read(keys).exemplars
        assert torch.equal(found.value, expected.value)
        assert torch.equal(found.similarity, expected.similarity)
    bank.memorise(*with_fine(frame(2), value_of(2), 10), permanent=True, evicting=True)
    assert torch.equal(bank.read(asked[0]).exemplars.similarity, torch.zeros(1, 1, *FINE, dtype=torch.float64))


def test_an_exemplar_that_comes_in_while_the_others_are_asked_ahead_is_asked_too(monkeypatch):
    bank = MemoryBank(SMALL)
    bank.memorise(*with_fine(frame(1), value_of(1), 1), permanent=True, evicting=True)
    asked = with_fine(frame(10), value_of(10), 10)[0]

    def interrupted(*arguments):
        monkeypatch.undo()
        bank.memorise(*with_fine(frame(2), value_of(2), 10), permanent=True, evicting=True)
        return read(*arguments)

    monkeypatch.setattr("colormnet.memory.bank.read", interrupted)
    bank.look_up(asked)
    assert torch.equal(bank.read(asked).exemplars.similarity, torch.zeros(1, 1, *FINE, dtype=torch.float64))
