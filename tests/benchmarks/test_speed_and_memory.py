"""Time per frame and peak memory with a full memory, against the plain dense matrices, as ratios in one run.

    python -m pytest tests/benchmarks -m benchmark -s

Each measurement has a process of its own. The dense one is left out, by name, where it does not fit the machine.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from colormnet.device import free_memory

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(3600)]

SIZES = {"480p": (480, 854), "1080p": (1080, 1920)}
GIB = 2**30


def measure(model: str, size: str, dense: bool = False) -> dict:
    height, width = SIZES[size]
    script = Path(__file__).with_name("measure.py")
    command = [sys.executable, str(script), model, str(height), str(width), "--frames", "1" if dense else "2"]
    run = subprocess.run(command + ["--dense"] * dense, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout.splitlines()[-1])


def dense_bytes(model: str, size: str) -> int:
    """About what the dense read-out takes: similarity, weights, and what topk and the products need beside them."""
    height, width = (side + -side % 112 for side in SIZES[size])
    queries = height * width // 256
    return int(3.5 * queries * (10 * queries + 10_000) * 4) + 3 * GIB * (model == "released")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", ["lite", "released"])
def test_against_the_dense_oracle(model, size, capsys):
    ours = measure(model, size)
    line = (
        f"{model:9}{size:6} {ours['seconds']:8.2f} s a frame, {ours['seconds_memorised']:8.2f} s a memorised one, "
        f"peak {ours['peak_bytes'] / GIB:5.2f} GiB above the weights, memory {ours['memory_bytes'] / GIB:5.2f} GiB"
    )
    room = free_memory(torch.device("cpu"))
    if dense_bytes(model, size) > 0.8 * room:
        line += f"; dense not run: it needs about {dense_bytes(model, size) / GIB:.0f} GiB, {room / GIB:.0f} are free"
    else:
        dense = measure(model, size, dense=True)
        time_ratio = dense["seconds"] / ours["seconds"]
        memory_ratio = dense["peak_bytes"] / ours["peak_bytes"]
        line += f"; dense takes {time_ratio:.1f} x the time, {memory_ratio:.1f} x the memory"
        assert memory_ratio > 1
    with capsys.disabled():
        print("\n" + line)
    assert ours["peak_bytes"] < 4 * GIB
    # What a user is told would fit must not be less than what it takes.
    assert ours["peak_bytes"] < 1.1 * ours["estimate_bytes"]
