import json

import numpy as np
import pytest

from colormnet.errors import InputError
from colormnet.evaluation.clips import Size
from colormnet.evaluation.paper_tables import table3_table, write_table3
from colormnet.evaluation.table3 import measure_table3, moving_texture, untrained_model
from colormnet.memory.settings import MemorySettings

SIZE = Size(112, 112)


@pytest.fixture(scope="module")
def table():
    seen = []
    model = untrained_model("cpu")
    # Memorises every second frame and consolidates four into two: the same rules, due after seven frames and not fifty.
    model.default_memory = MemorySettings(every=2, working_frames=4, kept_frames=2, prototypes=8)
    measured = measure_table3(model, SIZE, (4, 12, 24), lambda *told: seen.append(told))
    assert seen[-1] == ("mfp", 24, 24)
    return measured


def test_stacking_grows_with_the_clip_and_mfp_does_not(table):
    per_frame = (112 // 16) ** 2
    # The first frame is the exemplar; every step memorises one frame under stacking.
    assert [table.row("stacking", length).tokens for length in (4, 12, 24)] == [per_frame * n for n in (4, 12, 24)]
    # MFP: four working frames at most, and eight prototypes for every two frames it consolidates.
    assert table.row("mfp", 24).tokens <= 4 * per_frame + 8 * (24 // 4)
    assert table.row("mfp", 24).memory_bytes < 0.5 * table.row("stacking", 24).memory_bytes
    assert table.row("stacking", 24).memory_bytes > 1.7 * table.row("stacking", 12).memory_bytes


def test_times_are_means_of_the_steps_without_the_given_frame(table):
    steps = table.steps["stacking"]
    assert len(steps) == 24
    row = table.row("stacking", 12)
    assert row.seconds_per_frame == pytest.approx(np.mean([step.seconds for step in steps[1:12]]))
    assert row.last_work_seconds == pytest.approx(np.median([step.work_seconds for step in steps[11:12]]))


def test_the_sentence_follows_from_the_rows(table):
    share = table.row("mfp", 24).memory_bytes / table.row("stacking", 24).memory_bytes
    assert f"At 24 frames MFP holds {share:.1%}" in table.sentences[0]
    assert "7.8%" in table.sentences[1]


def test_table_plot_and_data_are_written(table, tmp_path):
    written = write_table3(table, tmp_path, {"model": "small & random"})
    assert [path.name for path in written] == ["table3.html", "table3.json", "table3.csv", "table3.svg"]
    data = json.loads((tmp_path / "table3.json").read_text())
    assert len(data["rows"]) == 6
    assert len(data["steps"]["mfp"]) == 24
    page = (tmp_path / "table3.html").read_text()
    assert "small &amp; random" in page
    assert "data:image/svg+xml;base64," in page
    assert page.count("<tr>") == 1 + 6
    assert len((tmp_path / "table3.csv").read_text().splitlines()) == 1 + 6
    assert len(table3_table(table).rows) == 6


def test_the_texture_moves_and_stays_in_range():
    frame = moving_texture(SIZE)
    planes = [frame(index) for index in range(0, 300, 7)]
    assert all(plane.shape == (112, 112) and np.abs(plane).max() <= 1 for plane in planes)
    assert not np.array_equal(frame(3), frame(4))
    assert np.array_equal(frame(5)[:, :-2], frame(4)[:, 2:])


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(InputError, match="two frames"):
        measure_table3(untrained_model("cpu"), SIZE, (1,))
