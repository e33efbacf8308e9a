"""`colormnet evaluate` as a person runs it, on the bundled clip; the report in a real browser."""

import csv
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from colormnet.cli.main import app
from colormnet.evaluation.clips import Size, find_clips, read_clip

DEMO = Path(str(files("colormnet") / "demo_media" / "big_buck_bunny.mp4"))
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def colormnet(*arguments):
    """The command line within this process: a new one for each call would spend its time on starting."""
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)], prog_name="colormnet")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder with the bundled movie and a folder of frames cut from it."""
    folder = tmp_path_factory.mktemp("clips")
    shutil.copy(DEMO, folder / "bunny.mp4")
    (folder / "frames").mkdir()
    cut = read_clip(find_clips([DEMO])[0], Size(160, 96), limit=12)
    for number, frame in zip(cut.numbers, cut.truth, strict=True):
        cv2.imwrite(str(folder / "frames" / f"f.{number:04d}.png"), np.ascontiguousarray(frame[..., ::-1]))
    return folder


@pytest.fixture(scope="module")
def measured(clips, tmp_path_factory):
    """One run over both clips with the shipped model and the three baselines."""
    out = tmp_path_factory.mktemp("report")
    done = colormnet(clips, "--size", "160x96", "--frames", "10", "-o", out)
    assert done.exit_code == 0, done.stderr
    return done, out


@pytest.mark.slow
def test_the_table_and_the_files_agree(measured):
    done, out = measured
    data = json.loads((out / "results.json").read_text())
    assert list(data["sets"]) == ["grey", "copy", "flow", "lite"]
    assert data["sets"]["lite"]["clips"] == 2
    assert data["sets"]["lite"]["frames"] == 18
    for scores in data["sets"].values():
        assert f"{scores['psnr']:.2f}" in done.stdout
    rows = list(csv.DictReader((out / "frames.csv").read_text().splitlines()))
    assert {row["clip"] for row in rows} == {"bunny", "frames"}
    means = [
        np.mean(
            [
                float(row["psnr"])
                for row in rows
                if row["clip"] == clip and row["method"] == "flow" and row["index"] != "0"
            ]
        )
        for clip in ("bunny", "frames")
    ]
    assert data["sets"]["flow"]["psnr"] == pytest.approx(np.mean(means))


@pytest.mark.slow
def test_colour_beats_grey_and_the_given_frame_is_perfect(measured):
    _, out = measured
    data = json.loads((out / "results.json").read_text())["sets"]
    assert data["flow"]["psnr"] > data["grey"]["psnr"] + 3
    assert data["lite"]["psnr"] > data["grey"]["psnr"] + 1
    assert data["grey"]["chroma_kept_last_quarter"] == 0.0
    rows = csv.DictReader((out / "frames.csv").read_text().splitlines())
    given = {row["method"]: float(row["psnr"]) for row in rows if row["given"] == "True"}
    assert given["lite"] == given["flow"] == given["copy"] == 100.0
    assert given["grey"] < 50


def test_a_folder_of_results_is_judged_like_any_method(clips, tmp_path):
    theirs = tmp_path / "theirs" / "frames"
    theirs.mkdir(parents=True)
    for frame in sorted((clips / "frames").iterdir()):
        shutil.copy(frame, theirs / frame.name)
    done = colormnet(
        clips / "frames", "--methods", "grey", "--results", f"copyist={tmp_path / 'theirs'}",
        "--size", "native", "--protocol", "first-last", "-o", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    sets = json.loads((tmp_path / "out" / "results.json").read_text())["sets"]
    assert sets["copyist"]["psnr"] == 100.0
    assert sets["copyist"]["frames"] == 10
    assert sets["grey"]["psnr"] < 40


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nowhere"], 2, "There is no clip at nowhere"),
        ([], 2, "No clip was named"),
        ([DEMO, "--methods", "grey,magic"], 2, "no method 'magic'"),
        ([DEMO, "--size", "huge"], 2, "size 'huge'"),
        ([DEMO, "--frames", "1"], 2, "--frames 1"),
        ([DEMO, "--results", "mine"], 2, "NAME=FOLDER"),
        ([DEMO, "--weights", "nowhere.safetensors"], 3, "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_measured_is_one_sentence_and_an_exit_code(arguments, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = colormnet(*arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_results_never_go_into_a_clip(clips):
    before = sorted(path.name for path in (clips / "frames").iterdir())
    done = colormnet(clips / "frames", "--methods", "grey", "-o", clips / "frames")
    assert done.exit_code == 2
    assert sorted(path.name for path in (clips / "frames").iterdir()) == before


# Lists every image with its natural size, its place and whether it is decoded, for the test to read out of the page.
PROBE = """<script>
addEventListener('load', () => {
  const seen = [...document.images].map(image => {
    const box = image.getBoundingClientRect();
    return {alt: image.alt, complete: image.complete, width: image.naturalWidth, kind: image.src.slice(0, 20),
            box: [box.left + scrollX, box.top + scrollY, box.width, box.height]};
  });
  const note = document.createElement('pre');
  note.id = 'probe';
  const loaded = performance.getEntriesByType('resource').map(entry => entry.name.slice(0, 40));
  note.textContent = JSON.stringify({images: seen, wide: document.documentElement.scrollWidth, loaded: loaded});
  document.body.append(note);
});
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed: the report is not opened in a browser")
def test_the_report_shows_its_pictures_and_plots_in_a_browser(measured, tmp_path):
    page = (measured[1] / "report.html").read_text()
    probed = tmp_path / "probed.html"
    probed.write_text(page.replace("</body>", PROBE + "</body>"))
    shot = tmp_path / "shot.png"
    browser = [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,6000"]
    dump = subprocess.run(
        [*browser, "--dump-dom", probed.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    subprocess.run([*browser, f"--screenshot={shot}", probed.as_uri()], capture_output=True, timeout=120, check=True)
    found = re.search(r'<pre id="probe">(.*?)</pre>', dump.stdout, re.DOTALL)
    assert found, dump.stderr[-500:]
    seen = json.loads(found[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))
    images = seen["images"]
    # Two clips: a plot each and three strips of grey, exemplar, truth and a result and an error map for three methods.
    assert len([image for image in images if "svg" in image["kind"]]) == 2 + 2
    assert len([image for image in images if "jpeg" in image["kind"]]) == 2 * 3 * (3 + 2 * 3)
    for image in images:
        assert image["complete"], image["alt"]
        assert image["width"] > 0, image["alt"]
        assert image["box"][2] > 100, image["alt"]
        assert image["box"][3] > 50, image["alt"]
    assert not [name for name in seen["loaded"] if not name.startswith("data:")]
    assert seen["wide"] <= 1400
    screen = cv2.imread(str(shot))
    for image in images:
        left, top, width, height = (int(value) for value in image["box"])
        if top + height > screen.shape[0]:
            continue
        # An error map of a good result may be nearly black; everything else has something to see.
        shown = screen[top : top + height, left : left + width]
        assert shown.size
        if "Error" in image["alt"]:
            assert shown.mean() < 200, image["alt"]
        else:
            assert shown.std() > 5, image["alt"]
