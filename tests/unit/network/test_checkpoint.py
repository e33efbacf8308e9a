"""Finding, verifying, reading and fetching weights."""

import functools
import http.server
import json
import os
import pickle
import threading
import warnings
import zipfile
from dataclasses import replace
from hashlib import sha256

import pytest
import torch
from typer.testing import CliRunner

from colormnet import load_model
from colormnet.errors import DeviceError, InputError, WeightsError
from colormnet.network import checkpoint
from colormnet.network.config import RELEASED, small
from colormnet.network.fetch import fetch
from colormnet.network.model import ColorMNet


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(3)
    return ColorMNet(small(RELEASED))


@pytest.fixture
def saved(network, tmp_path):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save_weights(path, network, network.config.to_dict(), {"note": "a test"})
    return path


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A weights folder of its own."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(checkpoint.WEIGHTS_VARIABLE, str(folder))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    return folder


def test_a_saved_checkpoint_loads_as_the_same_network(network, saved):
    one, two = load_model("released", saved, device="cpu"), load_model("released", saved, device="cpu")
    for name, tensor in network.state_dict().items():
        assert torch.equal(one.network.state_dict()[name], tensor)
    assert one.fingerprint == two.fingerprint
    assert not any(p.requires_grad for p in one.network.parameters())


def test_the_fingerprint_sees_one_changed_weight_and_the_precision(network, saved, tmp_path):
    plain = load_model("released", saved, device="cpu")
    other = ColorMNet(network.config)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    state["decoder.pred.bias"] += 1e-6
    other.load_state_dict(state)
    checkpoint.save_weights(tmp_path / "other.safetensors", other, network.config.to_dict(), {})
    assert load_model("released", tmp_path / "other.safetensors", device="cpu").fingerprint != plain.fingerprint
    assert load_model("released", saved, device="cpu", precision="float64").fingerprint != plain.fingerprint


def test_missing_weights_say_where_they_were_looked_for_and_how_to_get_them(elsewhere):
    with pytest.raises(WeightsError, match="colormnet weights fetch") as caught:
        load_model("released")
    assert str(elsewhere) in str(caught.value)
    with pytest.raises(WeightsError, match="no weights file"):
        load_model("released", elsewhere / "absent.pth")


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_one_sentence(network, saved, tmp_path, part):
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    for source in (saved, tmp_path / "whole.pth"):
        content = source.read_bytes()
        cut = tmp_path / f"cut{source.suffix}"
        cut.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(WeightsError, match="truncated or not a checkpoint") as caught:
            load_model("released", cut, device="cpu")
        assert "\n" not in str(caught.value)


class Malicious:
    def __reduce__(self):
        return os.mkdir, (os.environ["COLORMNET_TEST_TRAP"],)


def test_a_checkpoint_never_runs_code(tmp_path, monkeypatch):
    trap = tmp_path / "trap"
    monkeypatch.setenv("COLORMNET_TEST_TRAP", str(trap))
    torch.save({"a": Malicious()}, tmp_path / "evil.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"a": Malicious()}))
    for name, said in (("evil.pth", "program code"), ("old.pth", "truncated or not a checkpoint")):
        with pytest.raises(WeightsError, match=said):
            load_model("released", tmp_path / name, device="cpu")
    assert not trap.exists()


@pytest.mark.parametrize("kind", ["text", "noise", "picture", "pickle", "archive", "module", "header", "code"])
@pytest.mark.filterwarnings("error")
def test_what_is_no_checkpoint_is_said_in_our_words_alone(tmp_path, kind, monkeypatch):
    monkeypatch.setenv("COLORMNET_TEST_TRAP", str(tmp_path / "trap"))
    path = tmp_path / ("no.safetensors" if kind == "header" else "no.pth")
    contents = {
        "text": b"no checkpoint\n" * 40,
        "noise": bytes(range(1, 250)) * 20,
        "picture": b"\xff\xd8\xff\xe0" + bytes(500),
        "pickle": pickle.dumps({"a": [1, 2, 3]}),
        "header": b"\xff" * 400,
    }
    if kind == "archive":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "b")
    elif kind == "module":
        torch.save(torch.nn.Linear(2, 2), path)
    elif kind == "code":
        torch.save({"a": Malicious()}, path)
    else:
        path.write_bytes(contents[kind])
    with pytest.raises(WeightsError) as caught:
        checkpoint.read_weights(path)
    said = str(caught.value)
    assert str(path) in said
    assert "give a" in said  # what to do
    for foreign in ("PyTorch", "torch", "weights_only", "pickle", "Unpickler", "\n"):
        assert foreign not in said.replace(str(path), ""), said
    assert str(caught.value.__cause__) or isinstance(caught.value.__cause__, EOFError)  # kept for --verbose


def test_weights_that_may_not_be_read_are_not_called_truncated(tmp_path, monkeypatch):
    path = tmp_path / "mine.pth"
    torch.save({"a": torch.zeros(3)}, path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(checkpoint.torch, "load", refuse)
    with pytest.raises(WeightsError, match=r"cannot be read \(Permission denied\)") as caught:
        checkpoint.read_weights(path)
    assert "truncated" not in str(caught.value)


def test_weights_of_another_network_are_refused_by_name(network, saved, tmp_path):
    wider = ColorMNet(replace(network.config, width=0.25))
    checkpoint.save_weights(tmp_path / "wide.safetensors", wider, network.config.to_dict(), {})
    with pytest.raises(WeightsError, match="has shape"):
        load_model("released", tmp_path / "wide.safetensors", device="cpu")
    with pytest.raises(WeightsError, match=r"entries are missing \(first decoder"):
        load_model("released", {"a": torch.zeros(1)}, device="cpu")
    with pytest.raises(WeightsError, match="not a state dict"):
        load_model("released", {"state": {"a": torch.zeros(1)}}, device="cpu")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds list"):
        load_model("released", tmp_path / "list.pth", device="cpu")
    with pytest.raises(WeightsError, match="not for the model 'lite'"):
        load_model("lite", saved, device="cpu")


def test_weights_with_nan_are_refused(network, tmp_path):
    broken = ColorMNet(network.config)
    broken.load_state_dict(network.state_dict())
    with torch.no_grad():
        broken.decoder.pred.bias.fill_(float("nan"))
    checkpoint.save_weights(tmp_path / "nan.safetensors", broken, network.config.to_dict(), {})
    with pytest.raises(WeightsError, match="NaN"):
        load_model("released", tmp_path / "nan.safetensors", device="cpu")


def test_another_file_than_the_published_one_is_a_warning_with_both_hashes(tmp_path):
    path = tmp_path / checkpoint.RELEASED_FILE.name
    path.write_bytes(b"not it")
    with pytest.warns(UserWarning, match=sha256(b"not it").hexdigest()) as caught:
        checkpoint.check_released(path)
    assert checkpoint.RELEASED_FILE.sha256 in str(caught[0].message)


def test_unknown_models_devices_and_precisions(saved):
    with pytest.raises(InputError, match="lite or released"):
        load_model("big")
    with pytest.raises(InputError, match="float32"):
        load_model("released", saved, precision="int8")
    with pytest.raises(InputError, match="cpu"):
        load_model("released", saved, device="toaster")
    with pytest.raises(DeviceError, match="this machine has: cpu"):
        load_model("released", saved, device="cuda:63")


def test_a_checkpoint_may_carry_its_memory_rules_and_working_size(network, tmp_path):
    notes = {"memory": json.dumps({"every": 3, "local_reference": "previous"}), "working_size": "96"}
    checkpoint.save_weights(tmp_path / "w.safetensors", network, network.config.to_dict(), notes)
    model = load_model("released", tmp_path / "w.safetensors", device="cpu")
    assert (model.default_memory.every, model.default_memory.local_reference) == (3, "previous")
    assert model.default_working_size == 96


def test_the_weights_folder_may_be_shared_read_only_or_without_a_home(elsewhere, monkeypatch, tmp_path):
    file = elsewhere / checkpoint.RELEASED_FILE.name
    file.write_bytes(b"x")
    elsewhere.chmod(0o555)
    try:
        assert checkpoint.find_released() == file
    finally:
        elsewhere.chmod(0o755)
    monkeypatch.setenv(checkpoint.WEIGHTS_VARIABLE, os.pathsep.join([str(tmp_path / "none"), str(elsewhere)]))
    assert checkpoint.find_released() == file
    monkeypatch.setenv(checkpoint.WEIGHTS_VARIABLE, str(file))
    assert checkpoint.find_released() == file
    for name in (checkpoint.WEIGHTS_VARIABLE, "HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)  # what Python does without a home
    assert checkpoint.weights_directories() == []
    assert checkpoint.find_released() is None
    with pytest.raises(WeightsError, match=checkpoint.WEIGHTS_VARIABLE):
        checkpoint.locate_released()
    with pytest.raises(InputError, match=checkpoint.WEIGHTS_VARIABLE):
        fetch()


# -- fetching ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path):
    """A real web server with one file."""
    root = tmp_path / "www"
    root.mkdir()
    content = os.urandom(3_000_000)
    (root / "weights.pth").write_bytes(content)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            del arguments

    service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    yield checkpoint.ReleasedFile(
        "weights.pth",
        len(content),
        sha256(content).hexdigest(),
        f"http://127.0.0.1:{service.server_port}/weights.pth",
        "none",
    )
    service.shutdown()
    service.server_close()
    thread.join()


def test_fetch_downloads_verifies_and_does_not_download_twice(server, tmp_path):
    seen = []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = fetch(tmp_path / "new" / "folder", lambda done, total: seen.append((done, total)), server)
        assert path.stat().st_size == server.size
        assert seen[-1] == (server.size, server.size)
        seen.clear()
        assert fetch(path.parent, lambda done, total: seen.append(done), server) == path
    assert seen == []
    assert [p.name for p in path.parent.iterdir()] == ["weights.pth"]


def test_fetch_keeps_nothing_of_a_short_or_failed_download(server, tmp_path):
    target = tmp_path / "folder"
    for wrong in (
        replace(server, size=server.size + 1),
        replace(server, size=server.size - 1),
        replace(server, url=server.url + ".missing"),
        replace(server, url="http://127.0.0.1:9/weights.pth"),
        replace(server, url="http://name.invalid/weights.pth"),
    ):
        with pytest.raises(WeightsError, match="On a machine with a network, download") as caught:
            fetch(target, None, wrong)
        assert str(target / "weights.pth") in str(caught.value)
        assert list(target.iterdir()) == []


def test_fetch_warns_of_another_hash(server, tmp_path):
    with pytest.warns(UserWarning, match="0" * 64):
        fetch(tmp_path / "folder", None, replace(server, sha256="0" * 64))


def test_fetch_into_a_place_that_cannot_be_written(server, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(InputError, match="cannot write"):
        fetch(tmp_path / "file", None, server)


def test_the_command_says_what_where_whence_and_under_which_licence(elsewhere):
    from colormnet.cli.weights import app

    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0, result.output
    for part in (
        checkpoint.RELEASED_FILE.name,
        checkpoint.RELEASED_FILE.sha256,
        "CC BY-NC-SA 4.0",
        str(elsewhere),
        "494,884,817",
        "not installed",
        checkpoint.RELEASED_FILE.url,
        "weights fetch",
    ):
        assert part in result.output


def test_the_fetch_command_fails_with_instructions_without_a_network(elsewhere, monkeypatch):
    from colormnet.cli.weights import app

    monkeypatch.setattr(
        "colormnet.network.fetch.RELEASED_FILE", replace(checkpoint.RELEASED_FILE, url="http://127.0.0.1:9/x")
    )
    monkeypatch.setattr(
        "colormnet.network.fetch.fetch.__defaults__",
        (None, None, replace(checkpoint.RELEASED_FILE, url="http://127.0.0.1:9/x")),
    )
    result = CliRunner().invoke(app, ["fetch"])
    assert isinstance(result.exception, WeightsError)
    assert "cannot be downloaded from here" in str(result.exception)
    assert "CC BY-NC-SA 4.0" in result.output
    assert list(elsewhere.iterdir()) == []
