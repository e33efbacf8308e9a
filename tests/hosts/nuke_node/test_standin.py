"""The stand-in itself: it must refuse what the host refuses, or the node's tests prove nothing."""

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Start = Callable[..., Any]


@pytest.fixture
def host(start_host: Start) -> Any:
    return start_host(plugin=False, gui=True)


@pytest.fixture
def nuke(host: Any) -> Any:
    return host.module


def not_modelled() -> type[Exception]:
    return sys.modules["nuke_standin"].NotModelledError


@pytest.mark.parametrize(
    "call",
    [
        "nuke.exectue(node, 1, 1)",
        "nuke.nodes.Read(file='x', frist=1)",
        "node.setinput(0, None)",
        "node['disable'].setvalue(True)",
        "node.colour",
        "setattr(node, 'colour', 1)",
        "node['nothing']",
        "nuke.nodes.Blurr()",
        "nuke.nodes.Read('x')",
        "nuke.Text_Knob('a', 'b', 'c', 'd')",
        "nuke.menu('Nodes').addCommand('x', icn='y')",
        "nuke.env['version']",
    ],
)
def test_a_misspelt_name_raises(nuke: Any, call: str) -> None:
    node = nuke.nodes.NoOp()
    with pytest.raises((AttributeError, NameError, TypeError, KeyError, RuntimeError)):
        eval(call, {"nuke": nuke, "node": node, "setattr": setattr})


@pytest.mark.parametrize(
    "call",
    [
        "nuke.execute(node, 'a', 1)",
        "nuke.execute(node, 1, 2, 1, 'main')",
        "nuke.execute(node)",
        "nuke.execute(node, 1, 2, step=1)",
        "node.setInput('0', None)",
        "node.setInput(0, 'Read1')",
        "node.setXYpos(1.5, 2)",
        "node['label'].setValue(1)",
        "node['tile_color'].setValue(-1)",
        "node['xpos'].setValue('1')",
        "nuke.addBeforeRender(print, nodeclass='Write')",
        "nuke.message(1)",
        "nuke.Int_Knob(1)",
        "nuke.ProgressTask('x').setProgress(50.5)",
        "nuke.toNode(node)",
    ],
)
def test_a_wrong_argument_raises(nuke: Any, call: str) -> None:
    node = nuke.nodes.NoOp()
    with pytest.raises(TypeError):
        eval(call, {"nuke": nuke, "node": node})


@pytest.mark.parametrize("call", ["nuke.tcl('x')", "node.deepSample(1)", "nuke.Axis_Knob", "nuke.toNode('a').help()"])
def test_what_is_not_acted_out_says_so(nuke: Any, call: str) -> None:
    node = nuke.nodes.NoOp(name="a")
    with pytest.raises(not_modelled()):
        eval(call, {"nuke": nuke, "node": node})


def test_every_name_of_the_stand_in_is_in_types_nuke(host: Any) -> None:
    stubs = sys.modules["nuke_standin.stubs"]
    state = sys.modules["nuke_standin.state"]
    with pytest.raises(not_modelled()):
        state._checked("Node", "paint", lambda self: None)
    with pytest.raises(not_modelled()):
        state.modelled(type("Painter", (), {}))
    names = [n for n in vars(host.module) if not n.startswith("__")]
    assert len(names) > 80
    assert [n for n in names if not stubs.SURFACE.has(n)] == []


def test_groups_are_the_place_of_new_nodes(nuke: Any) -> None:
    group = nuke.nodes.Group()
    with group:
        inside = nuke.nodes.NoOp(name="inside")
        assert nuke.thisGroup() is group
        assert nuke.toNode("inside") is inside
    assert inside.fullName() == "Group1.inside"
    assert nuke.toNode("inside") is None
    assert nuke.allNodes() == [group]
    outside = nuke.nodes.NoOp()
    with pytest.raises(ValueError, match="not in the same group"):
        inside.setInput(0, outside)
    with pytest.raises(RuntimeError, match="not the current group"):
        group.end()


def test_a_deleted_node_is_dead(nuke: Any) -> None:
    node = nuke.nodes.NoOp()
    nuke.delete(node)
    for call in (lambda: node.name(), lambda: node["label"]):
        with pytest.raises(ValueError, match="not attached"):
            call()


def test_exr_knobs_appear_with_the_file_type(nuke: Any) -> None:
    write = nuke.nodes.Write()
    with pytest.raises(NameError):
        write["datatype"]
    write["file_type"].setValue("exr")
    assert write["datatype"].value() == "16 bit half"
    with pytest.raises(ValueError, match="not one of"):
        write["datatype"].setValue("32-bit float")


def test_channels_must_exist(nuke: Any) -> None:
    copy = nuke.nodes.Copy()
    with pytest.raises(ValueError, match=r"create it with nuke\.Layer"):
        copy["from0"].setValue("colormnet.a")
    with pytest.raises(ValueError, match="not in layer"):
        nuke.Layer("colormnet", ["other.a"])
    nuke.Layer("colormnet", ["colormnet.a"])
    copy["from0"].setValue("colormnet.a")


def chain(nuke: Any, folder: Path) -> Any:
    constant = nuke.nodes.Constant()
    constant["color"].setValue(0.5)
    write = nuke.nodes.Write(name="out")
    write["file_type"].setValue("exr")
    write["datatype"].setValue("32 bit float")
    write["file"].setValue(f"{folder.as_posix()}/%V.%04d.exr")
    write.setInput(0, constant)
    return write


def test_writing_and_reading_back(nuke: Any, tmp_path: Path) -> None:
    write = chain(nuke, tmp_path)
    nuke.execute(write, 1, 3, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["main.0001.exr", "main.0003.exr"]
    read = nuke.nodes.Read()
    read["file"].setValue(write["file"].value())
    assert nuke.sample(read, "rgba.red", 1, 1) == 0.5
    write["file"].setValue(f"{tmp_path}/new/x.%04d.exr")
    with pytest.raises(RuntimeError, match="No such file or directory"):
        nuke.execute(write, 1, 1)
    write["disable"].setValue(True)
    with pytest.raises(RuntimeError, match="disabled"):
        nuke.execute(write, 1, 1)


def test_without_views_named_all_are_rendered(start_host: Start, tmp_path: Path) -> None:
    nuke = start_host(plugin=False, views=("left", "right")).module
    write = chain(nuke, tmp_path)
    nuke.execute(write, 1, 1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["left.0001.exr", "right.0001.exr"]
    with pytest.raises(RuntimeError, match="no such view"):
        nuke.execute(write, 1, 1, 1, ["main"])


@pytest.mark.parametrize("event", ["BeforeRender", "BeforeFrameRender", "AfterFrameRender"])
def test_a_callback_that_raises_aborts(nuke: Any, tmp_path: Path, event: str) -> None:
    write = chain(nuke, tmp_path)
    calls: list[str] = []

    def boom() -> None:
        calls.append(nuke.thisNode().name())
        raise RuntimeError("boom")

    add, remove = (getattr(nuke, f"{verb}{event}") for verb in ("add", "remove"))
    add(boom)
    with pytest.raises(RuntimeError, match="boom"):
        nuke.execute(write, 1, 2)
    assert calls == ["out"]
    assert len(list(tmp_path.iterdir())) == (1 if event == "AfterFrameRender" else 0)
    remove(boom)
    nuke.execute(write, 1, 2)


def test_after_frame_is_not_called_on_cancel(host: Any, nuke: Any, tmp_path: Path) -> None:
    write = chain(nuke, tmp_path)
    calls: list[int] = []
    nuke.addAfterFrameRender(lambda: calls.append(nuke.frame()))
    host.cancel_render_after = 2
    with pytest.raises(RuntimeError, match="Cancelled"):
        nuke.execute(write, 1, 5)
    assert calls == [1, 2]


def test_one_render_at_a_time(nuke: Any, tmp_path: Path) -> None:
    write = chain(nuke, tmp_path)
    busy: list[str] = []

    def again() -> None:
        try:
            nuke.execute(write, 1, 1)
        except RuntimeError as error:
            busy.append(str(error))

    nuke.addAfterFrameRender(again)
    nuke.execute(write, 1, 1)
    nuke.addKnobChanged(again, nodeClass="NoOp")
    nuke.nodes.NoOp()["label"].setValue("x")
    assert busy == ["I'm already executing something else"] * 2


def test_main_thread_rules(host: Any, nuke: Any, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="from the main thread"):
        nuke.executeInMainThread(print)
    with pytest.raises(RuntimeError, match="from the main thread"):
        nuke.executeInMainThreadWithResult(print)
    write = chain(nuke, tmp_path)
    found: list[Any] = []

    def work() -> None:
        for call in (lambda: nuke.execute(write, 1, 1), lambda: nuke.message("x"), lambda: nuke.nodes.NoOp()):
            try:
                call()
            except RuntimeError as error:
                found.append(str(error))
        nuke.executeInMainThread(found.append, (threading.current_thread().name,))
        found.append(nuke.executeInMainThreadWithResult(lambda: threading.current_thread().name))

    thread = threading.Thread(target=work, name="other")
    thread.start()
    while thread.is_alive():
        host.process_events(timeout=0.01)
    thread.join()
    assert len(found) == 5
    assert found[-1] == "MainThread"


def test_terminal_mode_has_no_interface(start_host: Start) -> None:
    nuke = start_host(plugin=False).module
    for call in (
        lambda: nuke.ProgressTask("x"),
        lambda: nuke.message("x"),
        lambda: nuke.ask("x"),
        lambda: nuke.menu("Nodes"),
        lambda: nuke.toolbar("Nodes"),
        lambda: nuke.nodes.NoOp().showControlPanel(),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_proxy_mode_halves_what_is_read(nuke: Any, tmp_path: Path) -> None:
    nuke.execute(chain(nuke, tmp_path), 1, 1)
    read = nuke.nodes.Read()
    read["file"].setValue(f"{tmp_path.as_posix()}/main.0001.exr")
    assert (read.width(), read.height()) == (64, 48)
    nuke.root()["proxy"].setValue(True)
    assert (read.width(), read.height()) == (32, 24)


@pytest.mark.parametrize("management", ["Nuke", "OCIO"])
def test_reads_convert_to_the_working_space_and_raw_ones_do_not(nuke: Any, tmp_path: Path, management: str) -> None:
    standin = sys.modules["nuke_standin"]
    plane = np.full((4, 4), 0.5, np.float32)
    image = standin.Image(standin.Format(4, 4), (0, 0, 4, 4), {f"rgba.{c}": plane for c in ("red", "green", "blue")})
    sys.modules["nuke_standin.images"].write_png(str(tmp_path / "grey.png"), image)
    nuke.root()["colorManagement"].setValue(management)
    nuke.root()["workingSpaceLUT"].setValue("scene_linear")
    read = nuke.nodes.Read()
    read["file"].setValue((tmp_path / "grey.png").as_posix())
    assert nuke.sample(read, "rgba.red", 1, 1) == pytest.approx(0.2158, abs=1e-3)
    read["raw"].setValue(True)
    assert nuke.sample(read, "rgba.red", 1, 1) == pytest.approx(128 / 255)
    assert nuke.usingOcio() is (management == "OCIO")
    assert management == "Nuke" or "ACEScg" in nuke.getOcioColorSpaces()


def test_a_read_keeps_its_frame_until_reload_and_a_local_copy_for_ever(nuke: Any, tmp_path: Path) -> None:
    write = chain(nuke, tmp_path)
    nuke.execute(write, 1, 1)
    reads = {}
    for policy in ("off", "on"):
        reads[policy] = nuke.nodes.Read()
        reads[policy]["file"].setValue(f"{tmp_path.as_posix()}/main.0001.exr")
        reads[policy]["localizationPolicy"].setValue(policy)
        assert nuke.sample(reads[policy], "rgba.red", 1, 1) == 0.5
    write.input(0)["color"].setValue(0.25)
    nuke.execute(write, 1, 1)
    assert nuke.sample(reads["off"], "rgba.red", 1, 1) == 0.5
    for read in reads.values():
        read["reload"].execute()
    assert nuke.sample(reads["off"], "rgba.red", 1, 1) == 0.25
    assert nuke.sample(reads["on"], "rgba.red", 1, 1) == 0.5


def test_save_and_load_keep_values_and_lose_flags(nuke: Any, tmp_path: Path) -> None:
    group = nuke.nodes.Group(name="g")
    with group:
        inner = nuke.nodes.Input(name="in", number=0)
        nuke.nodes.Output().setInput(0, inner)
    group.addKnob(nuke.Tab_Knob("tab", "Tab"))
    values = {
        nuke.String_Knob("text"): 'quotes " [brackets] {braces} $dollar \\ and\nlines',
        nuke.Int_Knob("int"): -3,
        nuke.Double_Knob("double"): 0.125,
        nuke.Boolean_Knob("flag"): True,
        nuke.Enumeration_Knob("enum", "Enum", ["a b", "it's"]): "it's",
        nuke.File_Knob("file"): "[file dirname [value root.name]]/x",
        nuke.Multiline_Eval_String_Knob("lines"): "1001\n/a/b@2\n",
        nuke.Text_Knob("note"): "a note",
    }
    for knob, value in values.items():
        group.addKnob(knob)
        knob.setValue(value)
        knob.setTooltip(f"tip of {knob.name()}")
        knob.setFlag(nuke.INVISIBLE)
    group["disable"].setExpression("!g.flag || frame > 5")
    constant = nuke.nodes.Constant()
    group.setInput(0, constant)
    path = tmp_path / "a.nk"
    nuke.scriptSaveAs(str(path))
    with pytest.raises(RuntimeError, match="exists"):
        nuke.scriptSaveAs(str(path))
    nuke.scriptOpen(str(path))
    loaded = nuke.toNode("g")
    assert loaded is not group
    for knob, value in values.items():
        again = loaded[knob.name()]
        assert (again.Class(), again.value(), again.tooltip()) == (knob.Class(), value, f"tip of {knob.name()}")
        assert again.visible()
        assert not knob.visible()
    assert loaded["file"].evaluate() == f"{tmp_path.as_posix()}/x"
    assert loaded.input(0).Class() == "Constant"
    assert [n.name() for n in loaded.nodes()] == ["in", "Output1"]
    assert loaded["disable"].value() is False
    nuke.frame(6)
    assert loaded["disable"].value() is True


def test_backslashes_are_mangled_when_a_path_is_evaluated(nuke: Any) -> None:
    read = nuke.nodes.Read()
    read["file"].setValue("C:\\new\\take")
    assert read["file"].evaluate() == "C:\new\take".replace("\\", "")


def test_a_groups_on_create_comes_after_its_inner_nodes(nuke: Any, tmp_path: Path) -> None:
    group = nuke.nodes.Group(name="g")
    with group:
        nuke.nodes.NoOp(name="inside")
    nuke.scriptSaveAs(str(tmp_path / "a.nk"))
    order: list[str] = []
    nuke.addOnCreate(lambda: order.append(nuke.thisNode().name()))
    nuke.scriptOpen(str(tmp_path / "a.nk"))
    assert order == ["inside", "g"]


def test_overscan_alpha_and_other_layers_pass(nuke: Any, host: Any, shot: Any, tmp_path: Path) -> None:
    read = nuke.nodes.Read(first=1001, last=1006)
    read["file"].setValue(shot.pattern())
    write = nuke.nodes.Write()
    write["file_type"].setValue("exr")
    write["channels"].setValue("all")
    write["datatype"].setValue("32 bit float")
    write["file"].setValue(f"{tmp_path.as_posix()}/o.%04d.exr")
    write.setInput(0, read)
    nuke.execute(write, 1002, 1002)
    standin = sys.modules["nuke_standin"]
    a, b = standin.read(str(tmp_path / "o.1002.exr")), standin.read(str(shot.path("main", 1002)))
    assert (a.box, a.format) == (b.box, b.format) == ((-4, -4, 68, 52), standin.Format(64, 48))
    assert set(a.channels) == set(b.channels)
    for name, plane in a.channels.items():
        np.testing.assert_array_equal(plane, b.channels[name])
    nuke.frame(1002)
    box = read.bbox()
    assert (box.x(), box.y(), box.w(), box.h()) == (-4, -4, 72, 56)
