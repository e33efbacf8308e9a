"""Run inside Nuke by test_smoke.py: ``nuke -t smoke_script.py FOLDER [colorize]``.

Prints one line a check and SMOKE OK last. Python 3.7. Uses no footage: a Constant, graded by frame, is the plate. With
``colorize`` the engine is asked for colour.
"""

import os
import struct
import sys

import nuke

FOLDER = sys.argv[1].replace("\\", "/")
COLORIZE = "colorize" in sys.argv[2:]


def check(what, good):
    """One line; a failed check ends the run."""
    sys.stdout.write(("ok: " if good else "FAILED: ") + what + "\n")
    sys.stdout.flush()
    if not good:
        sys.exit(1)


check("no interface in terminal mode", not nuke.GUI)
check("init.py has put the plugin in reach", "colormnet_nuke" in sys.modules)

import colormnet_nuke  # noqa: E402
from colormnet_nuke import bake, cache, exr, knobs, names, results, settings, upstream, verify  # noqa: E402

root = nuke.root()
root["first_frame"].setValue(1)
root["last_frame"].setValue(4)
constant = nuke.nodes.Constant(name="grey")
constant["color"].setValue(0.25)
grade = nuke.nodes.Grade(name="moving")
grade["multiply"].setExpression("1 + frame / 10")
grade.setInput(0, constant)
paint = nuke.nodes.Grade(name="paint")
paint.setInput(0, grade)
node = colormnet_nuke.create(grade, paint)
check("two inputs", node.maxInputs() == 2 and node.input(0).name() == "moving" and node.input(1).name() == "paint")
wanted = [knob.name() for knob, _ in knobs._artist() + knobs._buttons() + knobs._record()]
check("every knob is there", all(node.knob(name) is not None for name in wanted))
check("the chroma layer exists", names.LAYER in nuke.layers())

write = nuke.nodes.Write(name="out")
write["file_type"].setValue("exr")
write["file"].setValue(FOLDER + "/out.%04d.exr")
write.setInput(0, node)
script = FOLDER + "/smoke.nk"
nuke.scriptSaveAs(script, 1)

chosen = settings.read(node)
check("the cache is beside the script", chosen.folder.startswith(FOLDER + "/colormnet/"))
check("frames of the input", chosen.frames == (1, 2, 3, 4))
before = results.key(node, chosen)
nuke.scriptOpen(script)
node = nuke.toNode("ColorMNet1")
check("the script opens again", node is not None and names.is_ours(node))
check("its state is told the same", results.key(node, settings.read(node)) == before)
check("values survive", node["use_gpu"].value() is True and node["summary"].value() == "not colorized")
check("nodes above are found", [n.name() for n in upstream.above(node.input(0))][:2] == ["moving", "grey"])

root = nuke.root()
root["proxy"].setValue(True)
store = cache.Bake(settings.folder(node), "smoke")
baked = []
bake.plate(node, store, nuke.views()[0], [1, 2], False, lambda frame, record: baked.append(frame), "")
check("the bake told of each frame", baked == [1, 2])
check("proxy mode is on again", bool(root["proxy"].value()))
root["proxy"].setValue(False)
header = exr.read_header(store.path(nuke.views()[0], 1))
check("32-bit float channels", struct.pack("<i", 2) in header.channels)
check("the whole format at full size", header.data[2] - header.data[0] + 1 >= node.width())
check("no bake node is left", node.node(bake.WRITE_NAME) is None)

try:
    nuke.execute(nuke.toNode("out"), 1, 1)
    stopped = False
except RuntimeError:
    stopped = True
check("a render without colour stops", stopped)
check("and wrote nothing", not os.path.exists(FOLDER + "/out.0001.exr"))
check("the advice names the tool", os.path.isfile(verify.TOOL))

if COLORIZE:
    node["use_gpu"].setValue(False)
    node["working_size"].setValue(112)
    node["exemplar_frame"].setValue(1)
    outcome = colormnet_nuke.colorize(node, frames=[1, 2, 3])
    check("three frames coloured", outcome.coloured == 3)
    nuke.execute(nuke.toNode("out"), 1, 3)
    check("and rendered", all(os.path.isfile(FOLDER + "/out.000" + number + ".exr") for number in "123"))
    check("nothing is done twice", colormnet_nuke.colorize(node, frames=[1, 2, 3]).coloured == 0)

sys.stdout.write("SMOKE OK\n")
