import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from colormnet.errors import InputError
from colormnet.evaluation.ablation import FULL, PAPER, AblationSettings, SeedScores, run_ablation, summarise
from colormnet.evaluation.paper_tables import ablation_table, write_ablation

DEMO = Path(str(files("colormnet") / "demo_media" / "big_buck_bunny.mp4"))


def scores(*psnr):
    return [SeedScores(seed, value, value + 5, 0.9, value + 3) for seed, value in enumerate(psnr, start=1)]


def table(**variants):
    named = {name.replace("_", "-"): scores(*values) for name, values in variants.items()}
    return summarise(named, dict.fromkeys(named, 1000), 20.0)


def test_error_bars_are_the_spread_over_the_seeds():
    rows = {row.variant: row for row in table(resnet=(24.0, 25.0, 26.0), released=(27.0, 27.5, 29.0)).rows}
    assert rows["resnet"].psnr == 25.0
    assert rows["resnet"].psnr_spread == pytest.approx(1.0)
    # Seed by seed 3, 2.5 and 3 dB behind: the spread that both share through the seed drops out.
    assert rows["resnet"].behind_full == pytest.approx(np.mean([3.0, 2.5, 3.0]))
    assert rows["resnet"].behind_full_error == pytest.approx(np.std([3.0, 2.5, 3.0], ddof=1) / np.sqrt(3))
    assert rows[FULL].behind_full is None


def test_an_order_is_judged_against_its_error():
    made = table(resnet=(24.0, 24.1, 23.9), dinov2=(27.2, 26.5, 27.4), concat=(29.0, 29.1, 29.0), released=(27.0,) * 3)
    verdicts = {row.variant: row.verdict for row in made.rows}
    assert verdicts == {"resnet": "held", "dinov2": "within the error bars", "concat": "did not hold", FULL: None}
    text = " ".join(made.sentences)
    assert "did not hold against concat" in text
    assert "not reproduced" in text


def test_the_papers_own_order_is_recognised():
    made = summarise(
        {
            name: scores(*(row.psnr_wrapped_uint8 - 8 + jitter for jitter in (-0.01, 0.0, 0.01)))
            for name, row in PAPER.items()
        },
        dict.fromkeys(PAPER, 1),
        20.0,
    )
    assert made.rank_correlation == pytest.approx(1.0)
    assert "The paper's order held" in " ".join(made.sentences)


def test_a_reversed_order_is_recognised():
    made = table(stacking=(30.0, 30.1), resnet=(29.0, 29.1), released=(28.0, 28.1))
    assert made.rank_correlation == pytest.approx(-1.0)


def test_table_and_plot_show_every_variant_and_the_papers_figures(tmp_path):
    made = table(resnet=(24.0, 25.0), released=(27.0, 28.0))
    write_ablation(made, tmp_path, {"training": "none: made up for a test"})
    page = (tmp_path / "ablation.html").read_text()
    for text in ("24.50 ± 0.71", "35.01", "35.77", "+3.00 ± 0.00", "random", "made up for a test"):
        assert text in page
    data = json.loads((tmp_path / "ablation.json").read_text())
    assert [row["variant"] for row in data["rows"]] == ["resnet", FULL]
    assert data["rows"][0]["seeds"][1]["psnr"] == 25.0
    assert ablation_table(made).strong == (1,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variants": ("resnet", "vgg")}, "no variant 'vgg'"),
        ({"variants": ("resnet",)}, "two variants"),
        ({"seeds": 1}, "two seeds"),
        ({"clips": ()}, "--train-on"),
    ],
)
def test_an_ablation_that_could_prove_nothing_is_refused(change, message, tmp_path):
    with pytest.raises(InputError, match=message):
        AblationSettings(**{"out": tmp_path, "clips": (DEMO,), **change})


@pytest.mark.slow
def test_variants_are_trained_for_equal_budgets_and_measured(tmp_path, panning):
    told = []
    settings = AblationSettings(
        out=tmp_path, clips=(DEMO,), variants=("recurrent", FULL), seeds=2, steps=2, batch=1, frames=3
    )
    made = run_ablation(settings, [panning], lambda *step: told.append(step))
    assert {(name, seed): total for name, seed, _, total in told} == {
        (name, seed): 2 for name in ("recurrent", FULL) for seed in (1, 2)
    }
    assert [row.variant for row in made.rows] == ["recurrent", FULL]
    for row in made.rows:
        assert [run.seed for run in row.seeds] == [1, 2]
        assert row.seeds[0].psnr != row.seeds[1].psnr
        assert row.parameters > 1000
    # The runs are kept: asking again trains nothing and finds the same figures.
    told.clear()
    again = run_ablation(settings, [panning], lambda *step: told.append(step))
    assert not told
    assert again == made
