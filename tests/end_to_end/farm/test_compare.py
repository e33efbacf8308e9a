import re
import subprocess

import pytest

from .conftest import COLORMNET


@pytest.mark.slow
def test_the_modes_are_measured_by_real_tasks_and_the_table_is_written(demo_clip, environment, tmp_path):
    """Six tasks of four small frames: *segments* is identical, *parallel* has a difference in dB, both have times."""
    words = ["farm", "compare", str(demo_clip), "--first", "4", "--segment", "2", "--width", "96"]
    words += ["--working-size", "48", "--device", "cpu", "--workers", "1", "--beyond", "2"]
    table = tmp_path / "new" / "table.md"
    answer = subprocess.run(
        [COLORMNET, *words, "-o", str(table)], env=environment, capture_output=True, text=True, timeout=500, check=False
    )
    assert answer.returncode == 0, answer.stderr
    written = table.read_text(encoding="utf-8")
    assert written.strip() == answer.stdout.strip()
    head, _, shot, segments, parallel = written.splitlines()[:5]
    assert "1 at once (s)" in head
    assert "2 (model, s)" in head
    assert "| shot | reference |" in shot
    assert "| segments | identical |" in segments
    assert re.search(r"\| parallel \| (identical|\d+\.\d dB) \|", parallel)
    assert all(re.search(r"\| \d+\.\d \| \d+\.\d \|$", row) for row in (shot, segments, parallel))
    assert "colormnet farm compare CLIP... --first 4 --segment 2 --width 96 --working-size 48" in written
