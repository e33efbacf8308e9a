import csv
import io
import json
import re

import numpy as np
import pytest

from colormnet.errors import InputError
from colormnet.evaluation import outputs, report
from colormnet.evaluation.clips import Size
from colormnet.evaluation.methods import CopiedChroma, LeftGrey
from colormnet.evaluation.perceptual import NotComputed, PerceptualMetrics
from colormnet.evaluation.protocol import Evaluation, EvaluationSettings, SampleFrames, evaluate_clip, sample_indices
from colormnet.evaluation.scores import psnr_against_distance, set_scores

WORDS = NotComputed("weights X missing, put them at Y")


@pytest.fixture
def evaluation(panning, paint, make_clip):
    still = make_clip([paint(seed=4)] * 6, "still <life>")
    clips = [panning, still]
    methods = [LeftGrey(), CopiedChroma()]
    nothing = PerceptualMetrics(WORDS, WORDS, WORDS)
    runs = {method.name: [evaluate_clip(method, clip, perceptual=nothing) for clip in clips] for method in methods}
    sets = {
        method.name: set_scores(
            method.title, [run.scores for run in runs[method.name]], count_given=False, fid=WORDS, fvd=WORDS
        )
        for method in methods
    }
    samples = {
        clip.name: SampleFrames(
            {0: clip.truth[0]}, {i: clip.truth[i] for i in sample_indices(len(clip))}, Size(192, 128), clip.size
        )
        for clip in clips
    }
    return Evaluation(EvaluationSettings(size=Size(96, 64)), sets, runs, samples)


def test_the_set_weighs_clips_alike_whatever_their_length(evaluation):
    long, short = (run.scores for run in evaluation.clips["grey"])
    assert evaluation.sets["grey"].psnr == pytest.approx((long.psnr + short.psnr) / 2)
    assert evaluation.sets["grey"].frames == 15 + 5
    worst = min((long, short), key=lambda clip: clip.psnr)
    assert evaluation.sets["grey"].psnr_worst == worst.psnr
    assert evaluation.sets["grey"].psnr_worst_clip == worst.clip


def test_the_curve_says_how_many_clips_reach_a_distance(evaluation):
    curve = {point.distance: point for point in psnr_against_distance(run.scores for run in evaluation.clips["copy"])}
    assert sorted(curve) == list(range(1, 16))
    assert (curve[5].clips, curve[6].clips) == (2, 1)
    moving = evaluation.clips["copy"][0].scores.frames
    assert curve[5].psnr == pytest.approx((moving[5].psnr + 100.0) / 2)  # the still clip is copied exactly
    assert curve[6].psnr == pytest.approx(moving[6].psnr)


def test_json_holds_the_figures_and_words_where_there_is_none(evaluation, tmp_path):
    outputs.write_results(evaluation, tmp_path, {"clips": "two"})
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["format"] == outputs.FORMAT
    assert data["sets"]["copy"]["psnr"] == evaluation.sets["copy"].psnr
    for place in ("lpips", "fid", "fvd"):
        assert data["sets"]["copy"][place] == "not computed: weights X missing, put them at Y"
    assert {(clip["clip"], clip["method"]) for clip in data["clips"]} == {
        (clip, method) for clip in ("panning", "still <life>") for method in ("grey", "copy")
    }
    assert data["settings"]["size"] == {"width": 96, "height": 64}
    assert "wrap" in data["notes"]["psnr_wrapped_uint8"]


def test_csv_has_a_row_per_frame_and_the_means_follow_from_it(evaluation, tmp_path):
    outputs.write_results(evaluation, tmp_path, {})
    rows = list(csv.DictReader(io.StringIO((tmp_path / "frames.csv").read_text())))
    assert len(rows) == 2 * (16 + 6)
    mine = [row for row in rows if row["method"] == "copy" and row["clip"] == "panning" and row["given"] == "False"]
    assert np.mean([float(row["psnr"]) for row in mine]) == pytest.approx(evaluation.clips["copy"][0].scores.psnr)
    assert mine[0]["lpips"] == "not computed: weights X missing, put them at Y"
    clips = list(csv.DictReader(io.StringIO((tmp_path / "clips.csv").read_text())))
    assert float(clips[0]["psnr_quarter_4"]) == evaluation.clips["grey"][0].scores.psnr_quarters[3]
    assert "psnr_wrapped_uint8" in clips[0]


def test_writing_replaces_whole_files_and_leaves_nothing_else(evaluation, tmp_path):
    for _ in range(2):
        written = outputs.write_results(evaluation, tmp_path / "deep" / "er", {})
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == sorted(path.name for path in written)


def test_a_place_that_cannot_be_written_is_one_sentence(evaluation, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be made"):
        outputs.write_results(evaluation, tmp_path / "file" / "out", {})
    assert (tmp_path / "file").read_text() == "mine"


def test_the_report_is_self_contained_and_escapes_names(evaluation):
    page = report.render(evaluation, {"model": "<script>alert(1)</script>"})
    assert "still &lt;life&gt;" in page
    assert "<script" not in page
    addresses = re.findall(r'(?:src|href)="([^"]{0,40})', page)
    assert addresses
    assert all(address.startswith(("data:image/", "#")) for address in addresses)
    assert "url(" not in page
    assert "@import" not in page
    assert page.count("weights X missing, put them at Y") == 1
    assert "LPIPS, FID, FVD" in page


def test_findings_name_the_clips_that_are_worse_than_grey(evaluation):
    grey, copied = ([run.scores for run in evaluation.clips[name]] for name in ("grey", "copy"))
    assert copied[0].psnr < grey[0].psnr  # a copy of what has moved away is worse than nothing
    assert copied[1].psnr > grey[1].psnr
    sets = {"grey": evaluation.sets["grey"], "mine": evaluation.sets["copy"]}
    (sentence,) = report.findings(sets, {"grey": grey, "mine": copied})
    assert sentence.startswith(f"mine: {sets['mine'].psnr:.2f} dB true PSNR")
    assert "worse than left grey: panning." in sentence
    (sentence,) = report.findings(sets, {"grey": grey, "mine": grey})
    assert "worse than left grey: none." in sentence


def test_the_error_map_is_dark_where_right_and_bright_where_wrong():
    truth = np.zeros((4, 4, 3), np.uint8)
    result = truth.copy()
    result[:2] = 255
    shown = report.error_map(truth, result).astype(int).sum(axis=-1)
    assert shown[2:].max() < 20
    assert shown[:2].min() > 500
