"""What goes wrong in a real shop: odd paths, a disk that fills up, renamed and deleted nodes, half a plate."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from colormnet_host import client

FRAMES = list(range(1001, 1007))


def colorize(scene: Any, **how: Any) -> Any:
    import colormnet_nuke

    return colormnet_nuke.colorize(scene.node(), **how)


def coloured(scene: Any, node: Any, frame: int) -> bool:
    rgb = scene.rgb(node, frame)
    return not np.array_equal(rgb[..., 0], rgb[..., 2])


@pytest.mark.parametrize("place", ["Größe mit Leerzeichen", "take [1]", "$HOME", "日本 (v2)", "it's & more"])
def test_paths_of_any_kind(scene: Callable[..., Any], tmp_path: Path, place: str) -> None:
    s = scene()
    s.folder = tmp_path / place
    s.folder.mkdir()
    s.script = s.folder / "shot ü [a].nk"
    node = s.build()
    exemplar = s.folder / "ref é [2] $x.exr"
    exemplar.write_bytes(s.shot.exemplar.read_bytes())
    node["exemplar_source"].setValue("file")
    node["exemplar_file"].setValue(exemplar.as_posix().replace("[", "\\[").replace("]", "\\]").replace("$", "\\$"))
    assert colorize(s).coloured == 6
    np.testing.assert_array_equal(s.rgb(node, 1004), s.expected(node, 1004).astype(np.float32))
    assert (s.folder / "colormnet").is_dir()


def test_a_disk_that_fills_up_at_the_end_is_said(scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene(gui=True)
    node = s.build()
    import colormnet_nuke.cache as cache

    def full(path: str, value: Any) -> None:
        raise OSError(28, "No space left on device", path)

    monkeypatch.setattr(cache, "write_json", full)
    node["colorize"].execute()
    s.wait(node)
    assert "No space left on device" in node["error_text"].value()
    assert len(s.host.messages) == 1
    monkeypatch.undo()
    node["colorize"].execute()
    s.wait(node)
    assert node["status"].value() == "6 frames colorized, 6 of them were there already"
    assert coloured(s, node, 1006)


def test_a_disk_that_fills_up_in_the_bake_is_said(scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    s = scene()
    node = s.build()
    import colormnet_nuke.cache as cache

    before = cache.append

    def full(path: str, value: Any) -> None:
        if path.endswith("bake.jsonl") and value["frame"] == 1004:
            raise OSError(28, "No space left on device", path)
        before(path, value)

    monkeypatch.setattr(cache, "append", full)
    with pytest.raises(Exception, match="No space left on device") as caught:
        colorize(s)
    assert caught.value.exit_code == 2
    monkeypatch.undo()
    colorize(s)
    np.testing.assert_array_equal(s.rgb(node, 1006), s.expected(node, 1006).astype(np.float32))


def test_a_cache_directory_that_cannot_be_made_is_said(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene()
    node = s.build()
    (tmp_path / "file").write_text("in the way")
    node["cache_dir"].setValue(f"{tmp_path.as_posix()}/file/cache")
    with pytest.raises(Exception, match=r"cache directory cannot be made.*choose another") as caught:
        colorize(s)
    assert caught.value.exit_code == 2
    assert (tmp_path / "file").read_text() == "in the way"


def test_an_error_in_a_path_with_the_word_cancel_is_an_error(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene()
    node = s.build()
    s.nuke.toNode("plate_read")["file"].setValue(f"{tmp_path.as_posix()}/cancelled takes/plate.%04d.exr")
    with pytest.raises(Exception, match=r"cannot be rendered.*cancelled takes") as caught:
        colorize(s)
    assert caught.value.exit_code == 2
    assert node["tile_color"].value() == 0xAA2222FF


def test_a_missing_plate_frame_keeps_what_is_done_and_goes_on_when_it_comes(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    gone = s.shot.path("main", 1004)
    content = gone.read_bytes()
    gone.unlink()
    node["colorize"].execute()
    s.wait(node)
    assert "plate.main.1004.exr" in node["error_text"].value()
    assert not coloured(s, node, 1005)
    gone.write_bytes(content)
    s.nuke.toNode("plate_read")["reload"].execute()
    node["colorize"].execute()
    s.wait(node)
    assert node["error_text"].value() == ""
    np.testing.assert_array_equal(s.rgb(node, 1006), s.expected(node, 1006).astype(np.float32))
    assert sorted(f for _, f in s.worker.submitted) == FRAMES


def test_a_renamed_node_keeps_its_frames(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    node.setName("Colour_of_the_hero")
    import colormnet_nuke

    assert colormnet_nuke.colorize(node).reused == 6
    s.nuke.execute(s.nuke.toNode("out"), 1001, 1006)
    assert len(list(tmp_path.glob("out.*.exr"))) == 6


def test_a_panel_follows_its_node(scene: Callable[..., Any]) -> None:
    from PySide6 import QtWidgets

    application = QtWidgets.QApplication.instance() or QtWidgets.QApplication([])
    s = scene(gui=True)
    node = s.build()
    import colormnet_nuke
    import colormnet_nuke.panel as panel_module

    first = panel_module.show(node)
    node.setName("Renamed")
    assert panel_module.show(node) is first
    assert "Renamed" in first.windowTitle()
    other = colormnet_nuke.create(node.input(0), node.input(1))
    other.setName("ColorMNet1")
    second = panel_module.show(other)
    assert second is not first
    assert second.source.node is other
    s.nuke.delete(node)
    first.refresh()  # a window left open
    for button in (first.go_button, first.add_there_button, first.add_here_button, first.remove_button):
        button.click()
    assert "is gone" in first.title.text()
    third = colormnet_nuke.create(other.input(0), other.input(1))
    third.setName("Renamed")
    assert panel_module.show(third).source.node is third
    assert application is not None


def test_frames_below_zero(scene: Callable[..., Any]) -> None:
    s = scene()
    node = s.build()
    for frame in range(-2, 1):
        os.link(s.shot.path("main", 1003 + frame), s.shot.folder / f"plate.main.{frame:04d}.exr")
    read = s.nuke.toNode("plate_read")
    read["first"].setValue(-2)
    read["last"].setValue(0)
    assert colorize(s).frames == (-2, -1, 0)
    assert coloured(s, node, -1)


def test_everything_is_said_where_the_plugin_is_missing(scene: Callable[..., Any], start_host: Any) -> None:
    s = scene(gui=True)
    s.build()
    colorize(s)
    s.nuke.scriptSaveAs(str(s.script), 1)
    host = start_host(plugin=False, gui=True)
    import sys

    nuke = sys.modules["nuke"]
    sys.path[:] = [p for p in sys.path if not p.endswith("/nuke")]
    nuke.scriptOpen(str(s.script))
    node = nuke.toNode("ColorMNet1")
    for button in ("colorize", "reload", "open_panel", "show_help"):
        node[button].execute()
    assert len(host.messages) == 4
    assert all("not installed here" in text for text in host.messages)
    image = host.picture(node, 1004, "main")
    assert not np.array_equal(image.channels["rgba.red"], image.channels["rgba.blue"])


def test_clearing_a_copys_cache_leaves_the_originals(scene: Callable[..., Any]) -> None:
    s = scene(gui=True)
    node = s.build()
    colorize(s)
    for each in s.nuke.allNodes():
        each.setSelected(each is node)
    s.nuke.nodeCopy("%clipboard%")
    copy = s.nuke.nodePaste("%clipboard%")
    copy.setInput(0, node.input(0))
    copy["clear_cache"].execute()
    assert "ColorMNet1 too and stays" in copy["status"].value()
    assert copy["node_id"].value() != node["node_id"].value()
    assert not coloured(s, copy, 1002)
    assert coloured(s, node, 1002)
    assert colorize(s).reused == 6


def test_a_lost_identity_never_reaches_another_folder(scene: Callable[..., Any], tmp_path: Path) -> None:
    s = scene(gui=True)
    node = s.build()
    foreign = tmp_path / "colormnet" / "results" / "of somebody.txt"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("keep")
    for wrong in ("", "..", "a/b"):
        node["node_id"].setValue(wrong)
        s.host.answer(True)
        node["clear_cache"].execute()
        assert "lost its identity" in node["error_text"].value()
    assert foreign.read_text() == "keep"


def test_a_script_with_an_error_above_the_node_opens(
    scene: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    s = scene()
    s.build()
    colorize(s)
    s.nuke.scriptSaveAs(str(s.script), 1)
    import colormnet_nuke.results as results

    def broken(*_: Any) -> None:
        raise RuntimeError("the tree above has an error")

    monkeypatch.setattr(results, "attach", broken)
    s.nuke.scriptOpen(str(s.script))
    assert coloured(s, s.node(), 1002)


def stopped_half_way(s: Any, kill: bool) -> None:
    """A repainted exemplar; Colorize ends after the second frame, by cancelling or by the process dying."""
    image = s.host.picture(s.nuke.toNode("exemplar_read"), 1)
    s.shot._write(s.shot.exemplar, {k: v * 0.7 for k, v in image.channels.items()})
    s.nuke.toNode("exemplar_read")["reload"].execute()

    def stop(frame: int) -> None:
        if frame == 1003:
            raise MemoryError("gone") if kill else client.Cancelled()

    s.worker.before_frame = stop
    with pytest.raises(Exception, match=r"Cancelled|MemoryError"):
        colorize(s)
    s.worker.before_frame = lambda frame: None


@pytest.mark.parametrize("kill", [False, True])
def test_half_a_recolour_is_never_rendered_with_the_old_half(scene: Callable[..., Any], kill: bool) -> None:
    s = scene()
    node = s.build()
    colorize(s)
    old = {frame: s.rgb(node, frame) for frame in FRAMES}
    stopped_half_way(s, kill)
    s.nuke.scriptSaveAs(str(s.script), 1)
    s.nuke.scriptOpen(str(s.script))  # as a farm does: what is there is taken up by itself
    node = s.node()
    assert not np.array_equal(s.rgb(node, 1002), old[1002]), "the new half shows"
    assert not coloured(s, node, 1005), "and not the old one beside it"
    with pytest.raises(RuntimeError, match=r"no colour for frame 1003.*colorize.py"):
        s.nuke.execute(s.nuke.toNode("out"), 1001, 1006)
    assert colorize(s).coloured == 4
    s.nuke.execute(s.nuke.toNode("out"), 1001, 1006)
    np.testing.assert_array_equal(s.rgb(node, 1006), s.expected(node, 1006).astype(np.float32))


def test_frames_of_another_past_do_not_count(tmp_path: Path, scene: Callable[..., Any]) -> None:
    scene()
    from colormnet_nuke.cache import FrameRecord, Results

    results = Results(str(tmp_path), "key")
    results.make(["main"])
    for frame in FRAMES:
        Path(results.path("main", frame)).touch()

    def note(frame: int, chain: str, after: str, weights: str = "w1", pending: bool = False) -> list[int]:
        record = FrameRecord(chain, f"session-{weights}", 1.0, 1.0)
        results.add("main", frame, record, (frame - 1, after) if after else None, pending)
        return sorted(results.frames("main"))

    for frame in FRAMES:
        done = note(frame, f"a{frame}", f"a{frame - 1}" if frame > 1001 else "")
    assert done == FRAMES
    assert note(1003, "a1003", "a1002") == FRAMES, "made again from the same past"
    assert note(1004, "b1004", "a1003") == [1001, 1002, 1003, 1004], "the plate changed at 1004"
    assert note(1006, "c1006", "c1005") == [1001, 1002, 1003, 1004, 1006], "1005 is not there to tell"
    assert note(1005, "b1005", "b1004") == [1001, 1002, 1003, 1004, 1005, 1006]
    assert note(1006, "d1006", "d1005") == [1006], "those before it were made from another past"
    assert note(1006, "d1006", "d1005", "w2", pending=True) == [], "new weights"
