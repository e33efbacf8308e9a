"""Devices, precisions and running out of memory."""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch

from colormnet import Colorizer, Model
from colormnet.device import available_devices, choose_device, describe_devices, free_memory, share_processor
from colormnet.errors import DeviceError, InputError, OutOfMemoryError
from colormnet.network.variants import build_variant


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model("released", build_variant("small-resnet"))


def exemplar(model, size=(200, 300)):
    session = Colorizer(model)
    light = np.linspace(-1, 1, size[0] * size[1], dtype=np.float32).reshape(size)
    session.add_exemplar(light, np.stack([light, -light]), first_frame=True)
    session.step(light)
    return session, light


def test_auto_is_a_device_that_is_here():
    assert str(choose_device("auto")) in {name.split(":")[0] for name in available_devices()}
    assert "cpu" in describe_devices()
    assert free_memory(torch.device("cpu")) > 50 * 2**20


LIMITED = """
import resource
import torch
from colormnet.device import free_memory
limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + 40 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(free_memory(torch.device("cpu")))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits and tells address space")
def test_a_limit_on_the_address_space_counts():
    """As of ``ulimit -v``."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert 20 * 2**20 < int(done.stdout) <= 40 * 2**20


def test_no_room_left_is_no_missing_limit(monkeypatch):
    monkeypatch.setattr("colormnet.device._cgroup_free", lambda: 0)
    assert free_memory(torch.device("cpu")) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
def test_cuda_where_there_is_none_names_what_is_there():
    with pytest.raises(DeviceError, match="'cuda' is not available; this machine has: cpu"):
        choose_device("cuda")


@pytest.mark.parametrize("name", ["gpu", "mps", "cpu:x", ""])
def test_names_that_mean_no_device_here(name):
    with pytest.raises(InputError, match="this machine has: cpu"):
        choose_device(name)


@pytest.mark.parametrize(
    "failure",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
)
@pytest.mark.parametrize("place", ["key_encoder", "decoder.pred", "value_encoder"])
def test_out_of_memory_suggests_a_smaller_size_and_leaves_the_session_as_it_was(model, failure, place):
    session, light = exemplar(model)
    session._last_memorised = -10  # the next frame is memorised: the value encoder runs, too
    untouched, _ = exemplar(model)
    untouched._last_memorised = -10

    def fail(*arguments):
        raise failure

    hook = model.network.get_submodule(place).register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemoryError, match=r"cpu ran out of memory at 300x200; use --working-size \d+") as caught:
        session.step(light)
    hook.remove()
    suggested = int(re.findall(r"\d+$", str(caught.value))[0])
    assert suggested == 112  # the only size on the grid below 200
    assert caught.value.exit_code == 4
    assert session.frame_index == 1
    assert np.array_equal(session.step(light), untouched.step(light))
    assert np.array_equal(session.step(light), untouched.step(light))


def test_a_failing_device_is_one_sentence(model):
    session, light = exemplar(model)

    def fail(*arguments):
        raise RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be ...")

    hook = model.network.decoder.register_forward_pre_hook(fail)
    with pytest.raises(DeviceError, match="device-side assert") as caught:
        session.step(light)
    hook.remove()
    assert "\n" not in str(caught.value)


def test_mistakes_of_the_program_are_not_hidden(model):
    session, light = exemplar(model)

    def fail(*arguments):
        raise RuntimeError("shape mismatch")

    hook = model.network.decoder.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        session.step(light)
    hook.remove()


def test_a_suggestion_fits_what_is_free(model, monkeypatch):
    room = model.estimate_bytes(400, 700) * 1.3
    monkeypatch.setattr("colormnet.model.free_memory", lambda device: room)
    size = model.suggest_working_size(1080, 1920)
    assert size is not None
    assert size % model.network.grid == 0
    assert model.estimate_bytes(size, round(1920 * size / 1080)) <= 0.8 * room
    larger = size + model.network.grid
    assert model.estimate_bytes(larger, round(1920 * larger / 1080)) > 0.8 * room
    monkeypatch.setattr("colormnet.model.free_memory", lambda device: 0)
    assert model.suggest_working_size(1080, 1920) is None


def test_half_of_the_cores_unless_told_otherwise(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        torch.set_num_threads(3)
        share_processor()
        assert torch.get_num_threads() == 3
        monkeypatch.delenv("OMP_NUM_THREADS")
        share_processor()
        share_processor()
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
