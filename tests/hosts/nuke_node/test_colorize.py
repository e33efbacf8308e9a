"""Colorize: what the artist gets under the node, in every mode, and what is computed anew and what is not."""

import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colormnet_host import client as real_client
from colormnet_host import launcher as real_launcher
from colormnet_host import weights as real_weights

FRAMES = list(range(1001, 1007))


def colorize(scene: Any, **how: Any) -> Any:
    import colormnet_nuke

    return colormnet_nuke.colorize(scene.node(), **how)


@pytest.mark.parametrize("gui", [True, False])
def test_rgb_is_coloured_and_everything_else_is_the_plates(scene: Callable[..., Any], gui: bool) -> None:
    s = scene(gui=gui)
    node = s.build()
    before = s.host.picture(node, 1003)
    outcome = colorize(s)
    assert (outcome.coloured, outcome.reused, outcome.baked) == (6, 0, 6)
    after = s.host.picture(node, 1003)
    np.testing.assert_array_equal(s.rgb(node, 1003), s.expected(node, 1003).astype(np.float32))
    assert not np.array_equal(s.rgb(node, 1003)[..., 0], s.rgb(node, 1003)[..., 2])
    assert (after.box, after.format, set(after.channels)) == (before.box, before.format, set(before.channels))
    for name in ("rgba.alpha", "depth.Z"):
        np.testing.assert_array_equal(after.channels[name], before.channels[name])
    assert len(s.host.tasks) == (1 if gui else 0)
    assert s.host.messages == []


def test_the_button_returns_after_the_bake_and_the_rest_goes_on_behind(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    import threading

    s.worker.gate = threading.Event()
    node["colorize"].execute()
    assert "colouring" in node["status"].value()
    assert s.worker.submitted == []
    s.worker.gate.set()
    s.wait(node)
    assert [frame for _, frame in s.worker.submitted] == FRAMES
    assert node["status"].value() == "6 frames colorized"
    assert node["local_gpu"].value() == "cpu (test)"
    np.testing.assert_array_equal(s.rgb(node, 1006), s.expected(node, 1006).astype(np.float32))


def test_frames_go_to_the_worker_while_the_bake_goes_on(scene: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    seen: list[int] = []
    write_of = s.host._write

    def slow_write(node: Any, frame: int, view: str) -> None:
        if node.name() == "colormnet_bake":
            deadline = time.monotonic() + 120  # the third frame is written only once the worker has coloured the first
            while frame == 1003 and not s.worker.submitted and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append(len(s.worker.submitted))
        write_of(node, frame, view)

    s.host._write = slow_write
    colorize(s)
    assert max(seen) >= 1


def test_nothing_is_done_twice(scene: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    colorize(s)
    again = colorize(s)
    assert (again.coloured, again.reused, again.baked) == (0, 6, 0)


def test_a_rerendered_plate_frame_is_noticed_and_only_the_frames_from_there_change(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    s.shot.render("main", 1004, gain=0.5)
    s.nuke.toNode("plate_read")["reload"].execute()
    outcome = colorize(s)
    assert (outcome.coloured, outcome.reused) == (3, 3)
    history = sum(float(s.shot.grey("main", f).mean()) * (0.5 if f == 1004 else 1) for f in FRAMES) / 100
    tint = s.worker.tint(next(iter(s.generations(node, "main"))), history)
    np.testing.assert_allclose(s.rgb(node, 1006), s.shot.grey("main", 1006)[..., None] * tint, rtol=1e-6)


def test_a_new_exemplar_recolours_without_baking_the_plate(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    old = s.rgb(node, 1002)
    image = s.host.picture(s.nuke.toNode("exemplar_read"), 1)
    s.shot._write(s.shot.exemplar, {k: v * 0.7 for k, v in image.channels.items()})
    s.nuke.toNode("exemplar_read")["reload"].execute()
    outcome = colorize(s)
    assert (outcome.coloured, outcome.baked) == (6, 0)
    assert not np.array_equal(old, s.rgb(node, 1002))
    np.testing.assert_array_equal(s.rgb(node, 1002), s.expected(node, 1002).astype(np.float32))


def test_going_back_to_former_settings_finds_the_former_result(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    first = s.rgb(node, 1002)
    node["saturation"].setValue(0.5)
    assert colorize(s).coloured == 6
    assert not np.array_equal(first, s.rgb(node, 1002))
    node["saturation"].setValue(1.0)
    assert colorize(s).coloured == 0
    np.testing.assert_array_equal(first, s.rgb(node, 1002))


def test_new_weights_are_noticed(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    before = s.rgb(node, 1003)
    s.worker.weights = "w2"
    assert colorize(s).coloured == 6
    np.testing.assert_allclose(s.rgb(node, 1003)[..., 2], before[..., 2] * np.float32(0.9), rtol=1e-6)
    assert colorize(s).coloured == 0


@pytest.mark.parametrize("order", [[1006], [1004, 1001], [1005, 1002, 1003]])
def test_any_frames_asked_for_are_those_of_the_whole_range(scene: Callable[..., Any], order: list[int]) -> None:
    s = scene()
    node = s.build()
    for frame in order:
        colorize(s, frames=[frame])
        np.testing.assert_array_equal(s.rgb(node, frame), s.expected(node, frame).astype(np.float32))
    assert sorted(frame for _, frame in s.worker.submitted) == sorted(order)


def test_cancel_in_the_bake_and_resume(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    for after, error in ((3, RuntimeError), (1, s.nuke.CancelledError)):
        s.host.cancel_render_after, s.host.cancel_error = after, error
        node["colorize"].execute()
        s.wait(node)
        assert node["status"].value().startswith("Cancelled")
        assert node["tile_color"].value() == 0
        assert s.host.messages == []
    s.host.cancel_render_after = None
    node["colorize"].execute()
    s.wait(node)
    assert sorted(f for _, f in s.worker.submitted) == FRAMES
    np.testing.assert_array_equal(s.rgb(node, 1006), s.expected(node, 1006).astype(np.float32))


def test_cancel_button_and_progress_bar_keep_what_is_done(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    import colormnet_nuke.job as job

    def press_cancel(frame: int) -> None:
        if frame == 1004:
            s.host.cancel_tasks = True
            (work,) = job._running.values()
            assert work.cancel.wait(120)

    s.worker.before_frame = press_cancel
    node["colorize"].execute()
    s.wait(node)
    assert node["summary"].value() == "cancelled"
    done = sorted(f for _, f in s.worker.submitted)
    assert done
    assert done[-1] < 1006
    shown = s.rgb(node, 1001)
    assert not np.array_equal(shown[..., 0], shown[..., 2])
    grey = s.rgb(node, 1006)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])  # not done: the plate, not a held frame
    s.host.cancel_tasks, s.worker.before_frame = False, lambda frame: None
    node["colorize"].execute()
    s.wait(node)
    assert sorted(f for _, f in s.worker.submitted) == FRAMES
    node["cancel"].execute()
    assert node["status"].value() == "nothing to cancel"


def test_an_error_is_text_and_a_red_tile_and_goes_away(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    node["tile_color"].setValue(0x12345678)
    s.worker.fail = {1003: real_client.WorkerError("The weights are damaged; run doctor.", "weights")}
    node["colorize"].execute()
    s.wait(node)
    assert node["error_text"].value() == "The weights are damaged; run doctor."
    assert node["tile_color"].value() == 0xAA2222FF
    assert "weights are damaged" in node["summary"].value()
    assert len(s.host.messages) == 1
    s.worker.fail = {}
    node["colorize"].execute()
    s.wait(node)
    assert (node["error_text"].value(), node["tile_color"].value()) == ("", 0x12345678)
    assert len(s.host.messages) == 1


@pytest.mark.parametrize(
    ("code", "exit_code"), [("input", 2), ("weights", 3), ("device", 4), ("internal", 1), ("cancelled", 5)]
)
def test_worker_errors_have_the_command_lines_exit_codes(scene: Callable[..., Any], code: str, exit_code: int) -> None:
    import colormnet_host

    s = scene()
    s.build()
    error = real_client.Cancelled() if code == "cancelled" else real_client.WorkerError("no", code)
    s.worker.fail = {0: error}
    with pytest.raises(Exception, match=r"no|Cancelled") as caught:
        colorize(s)
    assert caught.value.exit_code == exit_code
    assert s.host.messages == []
    assert colormnet_host is not None


def test_out_of_memory_names_the_size_that_would_fit(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    s.worker.fail = {1002: real_client.OutOfMemory("Out of memory; working size 224 would fit.", 224)}
    with pytest.raises(Exception, match="224") as caught:
        colorize(s)
    assert caught.value.exit_code == 4
    assert "224" in node["status"].value()


def test_the_bake_leaves_no_trace_in_the_script(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    root = s.nuke.root()
    root["proxy"].setValue(True)
    names = [n.name() for n in node.nodes()]
    colorize(s)
    assert root["proxy"].value() is True
    assert [n.name() for n in node.nodes()] == names
    assert s.host._undo_disabled == 0
    s.worker.fail = {1002: RuntimeError("boom")}
    node["saturation"].setValue(0.9)
    with pytest.raises(Exception, match="boom"):
        colorize(s)
    assert root["proxy"].value() is True
    assert [n.name() for n in node.nodes()] == names
    root["proxy"].setValue(False)
    node["saturation"].setValue(1.0)
    node["reload"].execute()
    np.testing.assert_array_equal(s.rgb(node, 1003), s.expected(node, 1003).astype(np.float32))


def test_each_view_is_coloured_by_itself(scene: Callable[..., Any]) -> None:
    s = scene(views=("left", "right"))
    node = s.build()
    outcome = colorize(s)
    assert outcome.coloured == 12
    assert all(len(views) == 1 for _, _, views in s.host.executions)
    for view in ("left", "right"):
        np.testing.assert_array_equal(s.rgb(node, 1004, view), s.expected(node, 1004, view).astype(np.float32))
    assert len({name for name, _ in s.worker.submitted}) == 2


def test_one_view_of_a_stereo_script(scene: Callable[..., Any]) -> None:
    s = scene(views=("left", "right"))
    node = s.build()
    node["views"].setValue("right")
    assert colorize(s).coloured == 6
    np.testing.assert_array_equal(s.rgb(node, 1004, "right"), s.expected(node, 1004, "right").astype(np.float32))
    with pytest.raises(Exception, match="no view 'middle'"):
        colorize(s, views=["middle"])


def test_chroma_layers_are_added_and_rgb_stays(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    node["output"].setValue("chroma AOVs")
    node["confidence"].setValue(True)
    colorize(s)
    image = s.host.picture(node, 1002)
    assert {"colormnet.a", "colormnet.b", "colormnet.confidence"} <= set(image.channels)
    np.testing.assert_array_equal(image.channels["rgba.red"], s.shot.grey("main", 1002))


def test_bounding_box_policies(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    node["bounding_box"].setValue("format")
    colorize(s)
    image = s.host.picture(node, 1002)
    assert image.box == (0, 0, s.shot.width, s.shot.height)
    m = s.shot.margin
    inside = s.shot.grey("main", 1002)[m:-m, m:-m]
    np.testing.assert_array_equal(image.channels["rgba.green"], inside)
    node["bounding_box"].setValue("whole bounding box")
    colorize(s)
    assert s.host.picture(node, 1002).box == (-m, -m, s.shot.width + m, s.shot.height + m)


def test_a_bounding_box_that_changes_is_refused_with_the_way_out(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    import nuke_standin

    image = nuke_standin.read(str(s.shot.path("main", 1004)))
    nuke_standin.write_exr(str(s.shot.path("main", 1004)), image.over_box((0, 0, 60, 40)), False, "zip")
    with pytest.raises(Exception, match=r"bounding box changes at frame 1004.*'format'"):
        colorize(s)
    node["bounding_box"].setValue("format")
    assert colorize(s).coloured == 6


def test_non_square_pixels_follow_the_rule(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    import nuke_standin

    for frame in FRAMES:
        path = str(s.shot.path("main", frame))
        image = nuke_standin.read(path)
        wide = nuke_standin.Image(nuke_standin.Format(64, 48, 2.0), image.box, image.channels)
        nuke_standin.write_exr(path, wide, False, "zip")
    node["non_square"].setValue("refuse")
    with pytest.raises(Exception, match=r"not square \(2\)"):
        colorize(s)
    node["non_square"].setValue("flatten for the network")
    assert colorize(s).coloured == 6
    assert s.host.picture(node, 1002).format.aspect == 2.0


def test_further_exemplars(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene()
    node = s.build()
    extra = tmp_path / "paint.1005.exr"
    extra.write_bytes(s.shot.exemplar.read_bytes())
    node["more_exemplars"].setValue(f"1003\n{extra.as_posix()}@1005\n{extra.as_posix()}")
    import colormnet_nuke.settings as settings

    chosen = settings.read(node)
    assert [(bool(e.path), e.source, e.frame) for e in chosen.exemplars] == [
        (False, 1, 1001),
        (False, 1, 1003),
        (True, -1, 1005),
        (True, -1, None),
    ]
    assert colorize(s).coloured == 6
    extra.write_bytes(s.shot.exemplar.read_bytes() + b" ")
    assert colorize(s).coloured == 6  # a changed file is another exemplar


@pytest.mark.parametrize(
    ("knob", "value", "message"),
    [
        ("cache_dir", "", "cache directory is empty"),
        ("cache_dir", "relative/place", "not an absolute path"),
        ("cache_dir", "C:\\\\shows\\\\new", "forward slashes"),
        ("cache_dir", "/tmp/take#1", "must not hold #"),
        ("working_size", 32, "working size 32 is too small"),
        ("snapshot_every", 0, "snapshot spacing"),
        ("more_exemplars", "/nowhere/x.png@1002", "does not exist"),
        ("more_exemplars", "1001", "listed twice"),
        ("views", "left", "no view 'left'"),
    ],
)
def test_wrong_settings_are_said_in_one_sentence(
    scene: Callable[..., Any], knob: str, value: object, message: str
) -> None:
    s = scene()
    node = s.build()
    node[knob].setValue(value)
    with pytest.raises(Exception, match=message) as caught:
        colorize(s)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert node["error_text"].value() == str(caught.value)


def test_missing_inputs_ranges_and_saves_are_said(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    node["range"].setValue("custom")
    for text, message in (("1001-", "no frame range"), ("1005-1001", "empty"), ("", "no frames given")):
        node["custom_range"].setValue(text)
        with pytest.raises(Exception, match=message):
            colorize(s)
    node["range"].setValue("input")
    with pytest.raises(Exception, match="frame 2000 is not in its range 1001-1006"):
        colorize(s, frames=[2000])
    node.setInput(1, None)
    with pytest.raises(Exception, match="no exemplar"):
        colorize(s)
    node.setInput(0, None)
    with pytest.raises(Exception, match="no plate"):
        colorize(s)
    s.nuke.root()["name"].setValue("")
    with pytest.raises(Exception, match=r"no plate|save the script first"):
        colorize(s)


def test_the_plates_own_first_frame_as_exemplar(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    node["exemplar_source"].setValue("plate's own first frame")
    node.setInput(1, None)
    assert colorize(s).coloured == 6
    assert [frames for name, frames, _ in s.host.executions if "bake" in name] == [[1001], FRAMES]


def test_what_changes_no_pixel_makes_nothing_stale(scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    import colormnet_nuke

    monkeypatch.setattr(colormnet_nuke, "__version__", "9.9")  # an update of the plugin
    node["snapshot_every"].setValue(3)
    s.nuke.execute(s.nuke.toNode("out"), 1001, 1006)


def test_views_coloured_one_after_the_other_keep_their_bakes(scene: Callable[..., Any]) -> None:
    s = scene(views=("left", "right"))
    s.build()
    assert colorize(s, views=["left"]).baked == 6
    assert colorize(s, views=["right"]).baked == 6
    assert colorize(s).baked == 0


def test_an_upstream_error_is_said(scene: Callable[..., Any]) -> None:
    s = scene()
    s.build()
    s.shot.path("main", 1003).unlink()
    with pytest.raises(Exception, match=r"the plate cannot be rendered: .*plate\.main\.1003\.exr"):
        colorize(s)


def test_while_nuke_renders_something_else(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    s.host._executing = True
    node["colorize"].execute()
    s.wait(node)
    assert "rendering something else" in node["status"].value()
    s.host._executing = False


def test_every_knob_says_what_it_is_for(scene: Callable[..., Any]) -> None:
    node = scene(gui=True).build()
    shown = [k for k in node.allKnobs() if k._user and k.visible() and k.Class() != "Tab_Knob"]
    assert len(shown) > 25
    dividers = {"exemplar_line", "range_line", "quality_line", "output_line", "cache_line", "action_line"}
    assert {k.name() for k in shown if not k.tooltip()} == dividers


def test_device_and_buttons(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    colorize(s)
    assert set(s.worker.devices) == {"auto"}
    node["use_gpu"].setValue(False)
    node["free_gpu"].execute()
    assert (s.worker.devices[-1], s.worker.freed) == ("cpu", 1)
    s.worker.running = False
    node["free_gpu"].execute()
    assert node["status"].value() == "no worker is running"
    node["show_help"].execute()
    assert "Press Colorize" in s.host.messages[-1]


def test_clear_cache_asks_and_deletes_only_what_is_ours(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene(gui=True)
    node = s.build()
    colorize(s)
    folder = tmp_path / "colormnet" / node["node_id"].value()
    foreign = folder / "notes.txt"
    foreign.write_text("keep")
    s.host.answer(False)
    node["clear_cache"].execute()
    assert (folder / "bake").is_dir()
    s.host.answer(True)
    node["clear_cache"].execute()
    assert [p.name for p in folder.iterdir()] == ["notes.txt"]
    assert s.worker.forgotten
    grey = s.rgb(node, 1002)
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])


def test_a_copy_gets_a_folder_of_its_own(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    colorize(s)
    for each in s.nuke.allNodes():
        each.setSelected(each is node)
    s.nuke.nodeCopy("%clipboard%")
    copy = s.nuke.nodePaste("%clipboard%")
    copy.setInput(0, node.input(0))
    copy.setInput(1, node.input(1))
    import colormnet_nuke

    mine = node["node_id"].value()
    assert copy["node_id"].value() == mine
    colormnet_nuke.colorize(copy)
    assert copy["node_id"].value() != node["node_id"].value() == mine


def test_a_node_deleted_while_the_worker_is_at_it(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    import threading

    s.worker.gate = threading.Event()
    node["colorize"].execute()
    import colormnet_nuke.job as job

    work = job.running(node)
    s.nuke.delete(node)
    s.worker.gate.set()
    s.serve_until(work.finished.is_set)


@pytest.mark.parametrize("name", ["Client", "Session", "Ticket"])
def test_the_fake_worker_is_called_as_the_real_one(worker: Any, name: str) -> None:
    import sys

    fake = sys.modules["nuke_fake_engine"]
    mine, theirs = getattr(fake, name), getattr(real_client, name)
    for method, function in vars(mine).items():
        if inspect.isfunction(function) and not method.startswith("_") and hasattr(theirs, method):
            expected = list(inspect.signature(getattr(theirs, method)).parameters)
            assert list(inspect.signature(function).parameters) == expected, method
    expected = list(inspect.signature(real_launcher.Launcher).parameters)
    assert list(inspect.signature(fake.Launcher).parameters) == expected
    for function in ("find_weights", "renew"):
        theirs = inspect.signature(getattr(real_weights, function))
        assert list(inspect.signature(getattr(fake, function)).parameters) == list(theirs.parameters)
