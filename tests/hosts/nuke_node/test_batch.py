"""Renders and farms: verification that never computes, scripts without the plugin, terminal mode."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FRAMES = list(range(1001, 1007))


def colorize(scene: Any, **how: Any) -> Any:
    import colormnet_nuke

    return colormnet_nuke.colorize(scene.node(), **how)


def render(scene: Any, first: int = 1001, last: int = 1006) -> list[str]:
    scene.nuke.execute(scene.nuke.toNode("out"), first, last)
    return sorted(p.name for p in scene.folder.glob("out.*"))


def test_a_render_without_colour_stops_before_the_first_frame(scene: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    with pytest.raises(RuntimeError, match="has not been colorized") as caught:
        render(s)
    message = str(caught.value)
    assert "\n" not in message
    assert "Error:" not in message
    assert message.startswith("ColorMNet1 ")
    assert f"nuke -t {Path(__file__).resolve().parents[3].as_posix()}/nuke/colorize.py {s.script}" in message
    assert list(s.folder.glob("out.*")) == []
    assert s.worker.submitted == []


def test_a_complete_render(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    assert len(render(s)) == 6
    standin = sys.modules["nuke_standin"]
    out = standin.read(str(s.folder / "out.main.1004.exr"))
    np.testing.assert_array_equal(out.channels["rgba.blue"], s.expected(node, 1004)[..., 2].astype(np.float32))


def test_each_missing_frame_stops_the_render(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s, frames=[1001, 1002, 1003])
    assert len(render(s, 1001, 1003)) == 3
    with pytest.raises(RuntimeError, match="no colour for frame 1004"):
        render(s, 1003, 1005)
    import colormnet_nuke.results as results

    Path(results.attached(node).path("main", 1002)).unlink()
    with pytest.raises(RuntimeError, match="no colour for frame 1002"):
        render(s, 1001, 1003)
    with pytest.raises(RuntimeError, match="no colour for frame 2000"):
        render(s, 2000, 2000)


def test_command_line_ranges_are_checked_before_the_first_frame(scene: Callable[..., Any]) -> None:
    s = scene(arguments=("-x", "-F", "1001-1006", "shot.nk"))
    s.build()
    colorize(s, frames=FRAMES[:4])
    with pytest.raises(RuntimeError, match=r"2 frames \(the first is 1005\)"):
        render(s)
    assert list(s.folder.glob("out.*")) == []


@pytest.mark.parametrize(
    ("arguments", "refused"),
    [(["--view", "left"], ""), (["--view=left"], ""), (["--view", "right"], "6 frames"), ([], "6 frames")],
)
def test_only_the_views_of_a_render_have_to_be_coloured(
    scene: Callable[..., Any], arguments: list[str], refused: str
) -> None:
    """The left eye is coloured, the right one not yet: a command line that renders the left one goes through."""
    s = scene(views=("left", "right"), arguments=("-x", *arguments, "-F", "1001-1006", "shot.nk"))
    s.build()
    colorize(s, views=["left"])
    views = ["left", "right"] if not arguments else [arguments[-1].rpartition("=")[2]]
    write = s.nuke.toNode("out")
    if refused:
        with pytest.raises(RuntimeError, match=refused):
            s.nuke.execute(write, 1001, 1006, 1, views)
        assert list(s.folder.glob("out.*")) == []
    else:
        s.nuke.execute(write, 1001, 1006, 1, views)
        assert len(list(s.folder.glob("out.left.*"))) == 6


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        (["N", "-x", "-F", "1-4x2", "-F", "9", "a.nk"], (1, 3, 9)),
        (["N", "-xi", "a.nk"], (1001, 1002, 1003, 1004, 1005, 1006)),
        (["N", "-X", "out", "a.nk"], (1001, 1002, 1003, 1004, 1005, 1006)),
        (["N", "-t", "tool.py"], None),
        (["N", "-x", "-F", "A", "a.nk"], None),
    ],
)
def test_which_frames_are_asked_for(scene: Callable[..., Any], arguments: list[str], frames: object) -> None:
    s = scene()
    s.build()
    import colormnet_nuke.verify as verify

    write = s.nuke.toNode("out")
    assert verify.asked_frames(write, arguments) == frames
    write["use_limit"].setValue(True)
    write["first"].setValue(5)
    write["last"].setValue(6)
    if frames is not None and "-F" not in arguments:
        assert verify.asked_frames(write, arguments) == (5, 6)


@pytest.mark.parametrize("change", ["setting", "upstream", "exemplar"])
def test_colour_from_before_a_change_is_not_rendered_unless_allowed(scene: Callable[..., Any], change: str) -> None:
    s = scene()
    node = s.build()
    grade = s.nuke.nodes.Grade(name="grade")
    grade.setInput(0, s.nuke.toNode("exemplar_read" if change == "exemplar" else "plate_read"))
    node.setInput(1 if change == "exemplar" else 0, grade)
    colorize(s)
    assert len(render(s)) == 6
    if change == "setting":
        node["saturation"].setValue(0.5)
    else:
        grade["multiply"].setValue(0.5)
    with pytest.raises(RuntimeError, match="has changed, or the tree above it"):
        render(s)
    node["on_stale"].setValue("warn only")
    assert len(render(s)) == 6
    assert any(line.startswith("ColorMNet warning:") for line in s.host.printed)
    assert not any("Error:" in line for line in s.host.printed)


def test_looks_do_not_make_colour_stale(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    colorize(s)
    s.nuke.toNode("plate_read")["label"].setValue("the plate")
    s.nuke.toNode("plate_read").setXYpos(100, 200)
    s.nuke.toNode("plate_read").setName("renamed")
    node["use_gpu"].setValue(False)
    node["label"].setValue("hero")
    assert len(render(s)) == 6


def test_a_disabled_node_is_not_asked(scene: Callable[..., Any]) -> None:
    s = scene()
    s.build()["disable"].setValue(True)
    assert len(render(s)) == 6


def test_nodes_in_and_around_groups_are_found(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    nuke = s.nuke
    group = nuke.nodes.Group(name="wrap")
    with group:
        inside = nuke.nodes.Input(name="in", number=0)
        write = nuke.nodes.Write(name="inner_out")
        write["file_type"].setValue("exr")
        write["file"].setValue(f"{s.folder.as_posix()}/inner.%04d.exr")
        write.setInput(0, inside)
        nuke.nodes.Output().setInput(0, write)
    group.setInput(0, node)
    with pytest.raises(RuntimeError, match="has not been colorized"):
        nuke.execute(write, 1001, 1001)
    outer = nuke.toNode("out")
    outer.setInput(0, group)
    with pytest.raises(RuntimeError, match="has not been colorized"):
        nuke.execute(outer, 1001, 1001)
    nuke.toNode("out").setInput(0, nuke.toNode("plate_read"))
    assert len(render(s)) == 6


def test_a_render_finds_what_another_process_made(scene: Callable[..., Any], start_host: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    text = s.script.read_text()
    colorize(s)  # as a farm's task does: the script on disk is not saved
    assert s.script.read_text() == text
    host = start_host()
    nuke = host.module
    nuke.scriptOpen(str(s.script))
    assert nuke.toNode("ColorMNet1")["result_first"].value() == 1001
    nuke.execute(nuke.toNode("out"), 1001, 1006)
    assert len(list(s.folder.glob("out.*"))) == 6
    gui = start_host(gui=True)
    nuke = gui.module
    nuke.scriptOpen(str(s.script))
    node = nuke.toNode("ColorMNet1")
    assert node["result_key"].value() == ""  # the artist's script changes only when asked
    node["reload"].execute()
    assert node["status"].value() == "frames 1001-1006 read from the cache"


def test_a_script_opens_without_the_plugin_and_shows_its_frames(
    scene: Callable[..., Any], start_host: Callable[..., Any]
) -> None:
    s = scene(gui=True)
    node = s.build()
    node["output"].setValue("colour plate + chroma AOVs")
    colorize(s)
    expected = s.rgb(node, 1005)
    s.nuke.scriptSave()
    host = start_host(plugin=False, gui=True)
    host.module.scriptOpen(str(s.script))
    assert host.problems == []
    bare = host.module.toNode("ColorMNet1")
    np.testing.assert_array_equal(s.rgb(node, 1005), expected)
    image = host.picture(bare, 1005)
    np.testing.assert_array_equal(image.channels["rgba.red"], expected[..., 0])
    assert "colormnet.a" in image.channels
    assert "colormnet_nuke" not in sys.modules
    bare["saturation"].setValue(0.3)  # no callback of ours is in the script
    path = [p for p in sys.path if not p.endswith("nuke")]
    before, sys.path[:] = list(sys.path), path
    try:
        bare["colorize"].execute()
    finally:
        sys.path[:] = before
    assert host.messages == ["ColorMNet is not installed here; its cached frames still show."]


def test_script_and_cache_move_together(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    expected = s.rgb(node, 1003)
    s.nuke.scriptSave()
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "colormnet").rename(moved / "colormnet")
    s.script.rename(moved / "shot_v2.nk")
    s.nuke.scriptOpen(str(moved / "shot_v2.nk"))
    np.testing.assert_array_equal(s.rgb(s.node(), 1003), expected)


def test_what_a_crash_left_in_the_script_is_removed(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    with node:
        s.nuke.nodes.Write(name="colormnet_bake")
    s.nuke.scriptSave()
    s.nuke.scriptOpen(str(s.script))
    assert s.node().node("colormnet_bake") is None


def test_exit_codes_and_output_of_the_tool(scene: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    from colormnet_host.client import WorkerError

    s = scene()
    s.build()
    import colormnet_nuke.batch as batch

    script = str(s.script)
    assert batch.main([script, "--frames", "1001-1002"]) == 0
    assert "2 frames coloured, 0 were there already" in capsys.readouterr().out
    assert batch.main([script, "--node", "ColorMNet1"]) == 0
    out = capsys.readouterr()
    assert "4 frames coloured, 2 were there already" in out.out
    assert "Error:" not in out.out + out.err
    for arguments in ([], [script, "--nope"], ["/nowhere.nk"], [script, "--frames", "x"], [script, "--views", "up"]):
        assert batch.main(arguments) == 2
    assert batch.main([script, "--node", "Other"]) == 2
    assert "it has: ColorMNet1" in capsys.readouterr().err
    s.worker.weights = "w2"
    s.worker.fail = {1002: WorkerError("The weights are missing.", "weights")}
    assert batch.main([script]) == 3
    assert capsys.readouterr().err.startswith("Error: The weights are missing.")

    def interrupt(frame: int) -> None:
        if frame == 1003:
            import colormnet_nuke.job as job

            next(iter(job._running.values())).cancel.set()

    s.worker.fail, s.worker.before_frame = {}, interrupt
    assert batch.main([script]) == 5
    s.worker.before_frame = lambda frame: None
    assert batch.main([script]) == 0


def test_a_farm_that_stops_the_task_loses_nothing(
    scene: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    s = scene()
    s.build()
    import colormnet_nuke.batch as batch

    before = signal.getsignal(signal.SIGTERM)
    s.worker.before_frame = lambda frame: os.kill(os.getpid(), signal.SIGTERM) if frame == 1004 else None
    assert batch.main([str(s.script)]) == 5
    assert signal.getsignal(signal.SIGTERM) is before
    told = capsys.readouterr()
    assert "goes on from here" in told.err
    assert "Error:" not in told.out + told.err  # wrappers fail a task on it; this one is to be run again
    done = len(s.worker.submitted)
    assert 0 < done < 6
    s.worker.before_frame = lambda frame: None
    assert batch.main([str(s.script)]) == 0
    assert f"{6 - done} frames coloured, {done} were there already" in capsys.readouterr().out


def test_two_processes_on_one_cache_agree(scene: Callable[..., Any], start_host: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    for first in (1004, 1001):  # as a frame server does: in pieces, the later first, each in a fresh process
        start_host()
        import colormnet_nuke.engine as engine

        engine.Client = sys.modules["nuke_fake_engine"].Client
        engine.Launcher = sys.modules["nuke_fake_engine"].Launcher
        nuke = sys.modules["nuke"]
        nuke.scriptOpen(str(s.script))
        import colormnet_nuke

        colormnet_nuke.colorize(nuke.toNode("ColorMNet1"), frames=range(first, first + 3))
    host = sys.modules["nuke_standin.state"].host()
    node = sys.modules["nuke"].toNode("ColorMNet1")
    s.host = host
    for frame in FRAMES:
        np.testing.assert_array_equal(s.rgb(node, frame), s.expected(node, frame).astype(np.float32))


def test_no_qt_and_no_torch_in_terminal_mode(scene: Callable[..., Any], worker: Any) -> None:
    root = Path(__file__).resolve().parents[3]
    code = (
        "import runpy, sys; sys.argv = ['x', '-t', sys.argv[1]];"
        "runpy.run_path('tests/hosts/nuke_standin/__main__.py')['main'](sys.argv[1:]);"
        "import colormnet_nuke.batch, colormnet_nuke.buttons, colormnet_nuke.verify;"
        "bad = [m for m in sys.modules if m.split('.')[0] in ('PySide2', 'PySide6', 'torch', 'colormnet')];"
        "assert not bad, bad"
    )
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".py") as script:
        script.write("import nuke\nassert not nuke.GUI\nimport colormnet_nuke\n")
        script.flush()
        done = subprocess.run(
            [sys.executable, "-c", code, script.name],
            capture_output=True,
            text=True,
            cwd=root,
            env=dict(os.environ, NUKE_PATH=str(root / "nuke")),
            check=False,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("management", "config", "space", "chosen", "expected"),
    [
        ("Nuke", "nuke-default", "linear", "script's working space", ("lin_rec709_srgb", None)),
        ("OCIO", "custom", "scene_linear", "script's working space", ("scene_linear", "/show/config.ocio")),
        ("OCIO", "aces_1.2", "ACES - ACEScg", "script's working space", ("ACES - ACEScg", None)),
    ],
)
def test_the_working_space_is_read_from_the_script(
    scene: Callable[..., Any], management: str, config: str, space: str, chosen: str, expected: tuple[str, str | None]
) -> None:
    s = scene()
    node = s.build()
    root = s.nuke.root()
    root["colorManagement"].setValue(management)
    root["OCIO_config"].setValue(config)
    root["customOCIOConfigPath"].setValue("/show/config.ocio")
    root["workingSpaceLUT"].setValue(space)
    node["colour_space"].setValue(chosen)
    import colormnet_nuke.spaces as spaces

    assert spaces.of_node(node) == expected


def test_the_engine_knows_the_hosts_working_spaces() -> None:
    from colormnet.colour.spaces import resolve

    for name in ("lin_rec709_srgb", "scene_linear", "ACEScg", "ACES - ACEScg"):
        assert resolve(name)
