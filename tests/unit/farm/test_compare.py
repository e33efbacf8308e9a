import math

import cv2
import numpy as np
import pytest

from colormnet.farm.compare import Difference, ModeResult, Setting, measure, table


@pytest.fixture
def two(tmp_path):
    """Writes two sequences of grey pictures by their code values; gives their names."""

    def write(ones, others):
        for name, values in (("one", ones), ("other", others)):
            (tmp_path / name).mkdir()
            for number, value in enumerate(values, 1):
                picture = np.full((8, 8, 3), value, np.uint8)
                assert cv2.imwrite(str(tmp_path / name / f"f.{number:04d}.png"), picture)
        return [str(tmp_path / name / "f.%04d.png") for name in ("one", "other")]

    return write


def test_equal_frames_are_identical(two):
    found = measure(*two([10, 20, 30], [10, 20, 30]), [1, 2, 3], 2)
    assert found.identical
    assert found.mean_db == found.worst_db == math.inf


def test_known_differences(two):
    """Off by 51 of 255 in one frame of four: 0.2 squared over four."""
    found = measure(*two([10, 20, 30, 40], [10, 20, 81, 40]), [1, 2, 3, 4], 2)
    assert not found.identical
    assert found.worst_frame == 3
    assert found.worst_db == pytest.approx(-10 * math.log10(0.04), abs=1e-3)
    assert found.mean_db == pytest.approx(-10 * math.log10(0.01), abs=1e-3)


def test_a_jump_at_a_seam_is_told_from_a_jump_elsewhere(two):
    found = measure(*two([10, 20, 30, 40], [10, 20, 81, 91]), [1, 2, 3, 4], 2)
    assert found.seam_db == pytest.approx(-10 * math.log10(0.04), abs=1e-3)
    assert found.inside_db > 100.0, "nothing but rounding"


def result(mode, stages, seconds, identical=True):
    gap = Difference(identical, math.inf, math.inf, 1, math.inf, math.inf)
    if not identical:
        gap = Difference(False, 41.23, 35.5, 57, 44.0, 50.0)
    return ModeResult("clip", mode, 100, gap, seconds, stages)


def test_the_model_fills_machines_stage_by_stage():
    shot = result("parallel", [[3.0], [4.0, 4.0, 4.0, 2.0]], {1: 17.0})
    assert shot.modelled(1) == 17.0
    assert shot.modelled(2) == 3.0 + 8.0
    assert shot.modelled(4) == shot.modelled(9) == 3.0 + 4.0


def test_the_table_calls_only_identical_frames_identical():
    rows = [
        result("shot", [[10.0]], {1: 10.0}),
        result("segments", [[3.0], [3.0]], {1: 12.0}),
        result("parallel", [[3.0], [4.0, 4.0]], {1: 11.0, 2: 7.0}, identical=False),
    ]
    text = table(rows, Setting(workers=(1, 2)), (2, 4))
    shot, segments, parallel = text.splitlines()[2:5]
    assert "| reference |" in shot
    assert "| identical |" in segments
    assert "| 41.2 dB | 35.5 dB (57) | 44.0 / 50.0 dB | 11.0 | 7.0 | 7.0 |" in parallel
    assert "1.43 times with 2 at once" in text
    assert "`colormnet farm compare CLIP... --first 100 --segment 25 --device auto --workers 1,2`" in text
