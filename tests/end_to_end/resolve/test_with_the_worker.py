"""Real frames, real renders, the real worker and the lite model; only Resolve and Fusion are stand-ins."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from fusion_host import FusionHost, write_exr
from resolve_standin import Resolve, World, read_rgb
from resolve_support import Footage, Recorder, make_footage, states, three_clips
from typer.testing import CliRunner

from colormnet_host.client import Client
from colormnet_host.launcher import Launcher
from colormnet_host.weights import find_weights, renew
from colormnet_resolve.colouring import Colourist
from colormnet_resolve.runner import Summary, run_pass
from colormnet_resolve.settings import PassSettings

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
SPACE = "Gamma 2.4 Rec.709 - Texture"
HANDLES, LEFT, LENGTH = 2, 6, 8
WORKING_SIZE = 112


def settings(output: Path, footage: Footage, **changes: object) -> PassSettings:
    base = PassSettings(
        output=str(output), exemplars=(str(footage.exemplars[0]),), handles=HANDLES, working_size=WORKING_SIZE
    )
    return base._replace(**changes)  # type: ignore[arg-type]


def straight_run(footage: Footage, shot: int, output: Path) -> list[np.ndarray]:
    """The same frames by ``colormnet colorize``."""
    from colormnet.cli.main import app

    first = LEFT - HANDLES
    arguments = ["colorize", str(footage.folder / f"shot{shot + 1}.%04d.exr"), "-e", str(footage.exemplars[0])]
    arguments += ["-o", str(output / "straight.%04d.exr"), "--frames", f"{first}-{first + LENGTH + 2 * HANDLES - 1}"]
    arguments += ["--space", SPACE, "--working-size", str(WORKING_SIZE), "--device", "cpu"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return [read_rgb(output / f"straight.{first + n:04d}.exr") for n in range(LENGTH + 2 * HANDLES)]


def on_timeline(world: World, shot: int) -> list[np.ndarray]:
    """What the timeline shows over a clip."""
    seen = [world.visible(world.timelines[0], 86400 + LENGTH * shot + n) for n in range(LENGTH)]
    return [read_rgb(found[1]) for found in seen if found is not None]


def test_done_failing_cancelled_and_resumed(engine: Launcher, footage: Footage, tmp_path: Path) -> None:
    world = three_clips(footage)
    items = world.timelines[0].tracks[0].items
    output = tmp_path / "out"
    colourist = Colourist(engine)

    def run(recorder: Recorder, resume: bool = False, **changes: object) -> Summary:
        return run_pass(Resolve(world), settings(output, footage, **changes), recorder, colourist, resume=resume)

    # One clip is already done.
    world.timelines[0].playhead = 86400
    before = world.snapshot()
    assert states(run(Recorder())) == {"shot1": "done"}
    assert world.snapshot() == before

    # The whole track: the first is unchanged, the second's render fails, the third is cancelled while it is coloured.
    world.quirks.failing_media = {"shot2.exr"}
    cancelling = Recorder(stop_at="Colouring 'shot3': frame 3 of 12")
    summary = run(cancelling, select="track")
    assert states(summary) == {"shot1": "unchanged", "shot2": "failed", "shot3": "cancelled"}
    assert "Clip could not be rendered" in summary.outcomes[1].message
    assert [len(item.takes) for item in items] == [2, 1, 1]
    assert world.snapshot() == before

    # Resumed: what failed fails again, the cancelled one is finished.
    assert states(run(Recorder(), resume=True)) == {"shot2": "failed", "shot3": "done"}
    assert world.snapshot() == before, "the timeline is otherwise unchanged, Deliver and playhead are as they were"
    assert [len(item.takes) for item in items] == [2, 1, 2]
    assert [item.selected for item in items] == [1, 0, 1]
    for shot in (0, 2):
        assert items[shot].takes[0].media.name == f"shot{shot + 1}.exr"
        take = items[shot].takes[1]
        assert (take.start, take.end - take.start, take.media.frames) == (HANDLES, LENGTH, LENGTH + 2 * HANDLES)

    # Pixels: the takes, handles included, are those of `colormnet colorize`, and they have colour.
    for shot in (0, 2):
        folder = tmp_path / f"straight{shot}"
        folder.mkdir()
        expected = straight_run(footage, shot, folder)
        for found, wanted in zip(on_timeline(world, shot), expected[HANDLES : HANDLES + LENGTH], strict=True):
            np.testing.assert_array_equal(found, wanted)
        for path, wanted in zip(items[shot].takes[1].media.files, expected, strict=True):
            np.testing.assert_array_equal(read_rgb(path), wanted)
        assert np.ptp(expected[4], axis=-1).mean() > 0.01, "grey frames would be equal too"

    # Temporary files are gone: the manifest, and one whole sequence for each coloured clip.
    names = sorted(path.name for path in output.rglob("*") if path.is_file())
    assert names[0] == "colormnet-pass.json"
    assert len(names) == 1 + 2 * (LENGTH + 2 * HANDLES)
    assert all(name.endswith(".exr") for name in names[1:])
    assert not list(output.rglob(".*"))
    colourist.close()


def test_a_running_worker_reads_new_weights(engine: Launcher, footage: Footage, tmp_path: Path) -> None:
    """The file itself is everybody's and is not touched: a clip is coloured, then the weights are said to be newer."""
    world = three_clips(footage)
    colourist = Colourist(engine)
    chosen = settings(tmp_path / "out", footage, handles=0)
    assert states(run_pass(Resolve(world), chosen, Recorder(), colourist)) == {"shot2": "done"}
    first = [read_rgb(path) for path in world.timelines[0].tracks[0].items[1].takes[1].media.files]
    with Client(engine) as client:
        before = client.status()
        assert before is not None
        assert before.models == ("lite",)
        found = find_weights("lite", engine.python)
        assert not renew(client, found._replace(changed=0.0)), "they are older than the worker"
        assert renew(client, found._replace(changed=time.time()))
        after = client.status()
        assert after is not None
        assert (after.pid, after.models) == (before.pid, ())
    again = settings(tmp_path / "again", footage, handles=0)
    assert states(run_pass(Resolve(world), again, Recorder(), colourist)) == {"shot2": "done"}
    for path, pixels in zip(world.timelines[0].tracks[0].items[1].takes[2].media.files, first, strict=True):
        np.testing.assert_array_equal(read_rgb(path), pixels)
    colourist.close()


OUTSIDE = """
import atexit, json, os, sys
sys.path[:0] = {paths!r}
from pathlib import Path
from resolve_standin import Resolve
from resolve_support import Footage, three_clips
grey = [[Path({folder!r}) / f"shot{{shot}}.{{n:04d}}.exr" for n in range(24)] for shot in (1, 2, 3)]
world = three_clips(Footage(Path({folder!r}), grey, [], []))
world.quirks.headless = True
before = world.snapshot()

def tell():
    takes = [[take.media.path for take in item.takes] for item in world.timelines[0].tracks[0].items]
    Path({told!r}).write_text(json.dumps({{"takes": takes, "unchanged": world.snapshot() == before}}))

atexit.register(tell)

def scriptapp(name):
    return Resolve(world)
"""


def test_from_an_external_shell_with_a_headless_resolve(engine: Launcher, footage: Footage, tmp_path: Path) -> None:
    """``colormnet-resolve`` in a process of its own, reaching Resolve by the vendor's module."""
    modules = tmp_path / "Modules"
    modules.mkdir()
    told = tmp_path / "told.json"
    paths = [str(ROOT / "tests/hosts/resolve"), str(ROOT / "resolve")]
    module = OUTSIDE.format(paths=paths, folder=str(footage.folder), told=str(told))
    (modules / "DaVinciResolveScript.py").write_text(module)
    command = [sys.executable, "-m", "colormnet_host.resolve_command", "-o", str(tmp_path / "out"), "--handles", "0"]
    command += ["-e", str(footage.exemplars[0]), "--device", "cpu", "--working-size", str(WORKING_SIZE)]
    environment = {**os.environ, "RESOLVE_SCRIPT_API": str(tmp_path), "COLORMNET_PYTHON": sys.executable}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT / "plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shot2: done - coloured, take 2" in done.stdout
    found = json.loads(told.read_text())
    assert [len(takes) for takes in found["takes"]] == [1, 2, 1]
    assert found["unchanged"]


MOVIES = [("prores4444", "prores", 96, 54), ("dnxhr", "dnxhd", 256, 144)]  # DNxHR takes nothing smaller


@pytest.mark.parametrize(("delivery", "codec", "width", "height"), MOVIES)
def test_delivery_as_a_movie(
    engine: Launcher, tmp_path: Path, delivery: str, codec: str, width: int, height: int
) -> None:
    footage = make_footage(tmp_path, shots=1, length=4, width=width, height=height)
    world = World()
    timeline = world.add_timeline()
    world.add_clip(timeline, world.add_sequence(footage.grey[0], "shot.exr"), 86400, 4)
    colourist = Colourist(engine)
    pictures = (str(footage.exemplars[0]),)
    if delivery == "dnxhr":  # an editor's slip on the way: a grey picture among the exemplars
        pictures += (str(footage.grey[0][2]),)
    chosen = settings(tmp_path / "out", footage, delivery=delivery, handles=0, exemplars=pictures)
    recorder = Recorder()
    summary = run_pass(Resolve(world), chosen, recorder, colourist)
    colourist.close()
    assert states(summary) == {"shot.exr": "done"}, summary.outcomes
    assert any("no colour to speak of" in text for text in recorder.warnings) == (delivery == "dnxhr")
    movie = summary.outcomes[0].media
    take = timeline.tracks[0].items[0].takes[1]
    assert (take.media.path, take.media.frames) == (movie, 4)
    reader = imageio_ffmpeg.read_frames(movie, pix_fmt="rgb48le", bits_per_pixel=48)
    assert next(reader)["codec"].startswith(codec)
    picture = np.frombuffer(next(reader), "<u2").reshape(height, width, 3).astype(np.float32) / 65535
    reader.close()
    luma = picture @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    np.testing.assert_allclose(luma.mean(), read_rgb(footage.grey[0][0]).mean(), atol=0.01)
    assert np.ptp(picture, axis=-1).mean() > 0.01, "it has colour"
    assert list((tmp_path / "out").rglob("*.exr")) == [], "the frames it was made of are gone"


def test_the_fuse_renders_twelve_frames_in_a_shuffled_order(engine: Launcher, footage: Footage, tmp_path: Path) -> None:
    if shutil.which("luajit") is None:
        pytest.skip("luajit is not installed (Debian package luajit): the Fuse is not run")
    from colormnet.cli.main import app

    plates = []
    for number in range(12):
        grey = read_rgb(footage.grey[0][number])
        plates.append(np.dstack([grey, np.ones_like(grey[..., :1])]))
        write_exr(tmp_path / f"plate.{number:04d}.exr", plates[-1])
    arguments = ["colorize", str(tmp_path / "plate.%04d.exr"), "-e", f"{footage.exemplars[0]}@0", "--device", "cpu"]
    arguments += ["-o", str(tmp_path / "straight.%04d.exr"), "--space", SPACE, "--working-size", str(WORKING_SIZE)]
    straight = CliRunner().invoke(app, arguments)
    assert straight.exit_code == 0, straight.output

    raw = tmp_path / "raw"
    raw.mkdir()
    order = list(range(12))
    random.Random(6).shuffle(order)
    assert order != sorted(order)
    cache = {"COLORMNET_CACHE": os.environ["COLORMNET_CACHE"]}
    with FusionHost(raw, lambda n: plates[n] if 0 <= n < 12 else None, cache) as host:
        host.set(Folder=tmp_path / "cache", Exemplars=f"{footage.exemplars[0]}@0", Live=1, Space=SPACE)
        host.set(WorkingSize=WORKING_SIZE, Timeout=300)
        for number in order:
            shown = host.render(number)
            assert shown.kind == "image", shown.message
            assert shown.pixels is not None
            np.testing.assert_array_equal(shown.pixels[..., :3], read_rgb(tmp_path / f"straight.{number:04d}.exr"))
            np.testing.assert_array_equal(shown.pixels[..., 3], 1.0)
        asked = host.calls.count("write_exr")
        for number in range(12):  # again: all finished, nothing is written or asked
            assert host.render(number).kind == "image"
        assert host.calls.count("write_exr") == asked
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.suffix == ".part" or ".tmp." in path.name]
    assert np.ptp(read_rgb(tmp_path / "straight.0005.exr"), axis=-1).mean() > 0.01, "grey frames would be equal too"
