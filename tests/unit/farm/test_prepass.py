from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from colormnet.memory.settings import MemorySettings
from colormnet.prepass import memory_places


def test_memory_frames_come_every_so_many_and_with_every_exemplar_of_their_own():
    rules = MemorySettings(every=5)
    assert memory_places(18, [], rules) == [0, 5, 10, 15]
    assert memory_places(16, [], rules) == [0, 5, 10], "the last frame is never memorised"
    assert memory_places(18, [0, 7], rules) == [0, 5, 7, 12]


def test_settings_that_memorise_every_frame():
    assert memory_places(5, [], MemorySettings(propagation="stacking")) == [0, 1, 2, 3]


@given(st.integers(1, 60), st.sets(st.integers(0, 59), max_size=4), st.integers(1, 8))
def test_no_gap_is_longer_than_the_setting(frames, own, every):
    places = memory_places(frames, own, MemorySettings(every=every))
    assert places == sorted(set(places))
    assert all(later - earlier <= every for earlier, later in pairwise(places))
    assert {place for place in own if place < frames - 1} <= set(places)
