"""What the node's buttons do. Each button's script is one import and one call of a function here."""

import nuke

from . import build, cache, engine, job, knobs, names, results, settings, status
from .problems import NodeError, SetupError, of_engine

NOTHING = "not colorized"


def _node() -> "nuke.Group":
    node = nuke.thisNode()
    if not isinstance(node, nuke.Group) or not names.is_ours(node):
        raise SetupError("This button belongs on a ColorMNet node.")
    return node


def colorize() -> None:
    """Bake, colour, read back."""
    job.press(_node())


def cancel() -> None:
    """Stop the node's job after the frame in hand."""
    node = _node()
    work = job.running(node)
    if work is None:
        node["status"].setValue("nothing to cancel")
        return
    work.cancel.set()
    node["status"].setValue("stopping after the frame in hand...")


def clear_cache() -> None:
    """Delete the node's files and its sessions at the worker, after asking."""
    node = _node()
    try:
        if job.running(node) is not None:
            raise SetupError("%s is being colorized; press Cancel first" % node.fullName())
        folder = settings.folder(node)
        others = build.twins(node)
        if others:  # a copy, or copied: the frames are not this node's alone
            results.forget(node)
            node["node_id"].setValue(build.new_id())
            status.say(node, "the cache is that of %s too and stays; this node has its own now" % others[0], NOTHING)
            return
        if nuke.GUI and not nuke.ask("Delete the cached plate and colour of %s?\n\n%s" % (node.name(), folder)):
            return
        results.forget(node)
        cache.clear(folder)
        _forget_sessions(node)
        status.say(node, "cache cleared", NOTHING)
    except OSError as error:
        status.problem(node, SetupError("The cache cannot be deleted: %s" % error), popup=True)
    except NodeError as problem:
        status.problem(node, problem, popup=True)


def _forget_sessions(node: "nuke.Group") -> None:
    mark = "-%s-" % node["node_id"].value()

    def forget(client: engine.Client) -> None:
        for session in client.sessions():
            if mark in str(session.get("name", "")):
                client.forget_session(str(session["name"]))

    try:
        engine.on_worker(_device(node), forget)
    except Exception as error:  # the worker's side is a cache of its own and bounded; ours is gone
        status.say(node, "cache cleared; the worker did not answer: %s" % error)


def reload() -> None:
    """Look at the disk again, also for results that a farm made."""
    node = _node()
    try:
        if results.attach(node, settings.read(node)):
            first, last = node["result_first"].value(), node["result_last"].value()
            status.say(node, "frames %d-%d read from the cache" % (first, last), "frames %d-%d" % (first, last))
        elif node["result_key"].value():
            results.reload(node)
            status.say(node, "read again; the settings have changed since these frames were made")
        else:
            status.say(node, "there are no cached frames for these settings", NOTHING)
    except NodeError as problem:
        status.problem(node, problem, popup=True)


def free_gpu() -> None:
    """Make the worker drop its models."""
    node = _node()

    def free(client: engine.Client) -> None:
        client.free_gpu()
        health = client.status()
        if health is not None:
            node["local_gpu"].setValue(health.device)

    try:
        ran = engine.on_worker(_device(node), free)
        node["status"].setValue("the worker has freed the GPU" if ran else "no worker is running")
    except Exception as error:
        status.problem(node, of_engine(error), popup=True)


def _device(node: "nuke.Group") -> str:
    return "auto" if node["use_gpu"].value() else "cpu"


def open_panel() -> None:
    """Exemplars, confidence, wipe."""
    from . import panel

    panel.show(_node())


def show_help() -> None:
    """How to use the node."""
    nuke.message(knobs.HELP)
