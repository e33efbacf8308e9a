"""Where and in which precision the network runs, and how large a frame fits there."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Literal

import torch

from colormnet.errors import DeviceError, InputError, OutOfMemoryError

Precision = Literal["auto", "float32", "bfloat16", "float16", "float64"]

_DTYPES = {
    "auto": torch.float32,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}


def available_devices() -> list[str]:
    """Names that `choose_device` accepts on this machine."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return names


def describe_devices() -> str:
    """The devices here in plain words, for messages and `doctor`."""
    parts = []
    for name in available_devices():
        parts.append(f"{name} ({torch.cuda.get_device_name(name)})" if name.startswith("cuda") else name)
    return ", ".join(parts)


def choose_device(name: str = "auto") -> torch.device:
    """The device for a name: ``auto`` (CUDA where there is one, else the CPU), ``cpu``, ``cuda``, ``cuda:1``.

    Raises DeviceError naming what is there when the device is absent, InputError when the name means nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"unknown device {name!r}; this machine has: {describe_devices()}") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device {name!r} is not supported; this machine has: {describe_devices()}")
    here = available_devices()
    full = "cuda:0" if name == "cuda" else name
    if device.type != "cpu" and full not in here:
        raise DeviceError(f"device {name!r} is not available; this machine has: {describe_devices()}")
    return device


def share_processor() -> None:
    """Let every operation use half of the processor's cores, and leave the rest to what runs beside it.

    Frames are read, encoded ahead, finished and written at the same time; with all cores for each of these they wait
    for one another. The command line, the worker and farm tasks all come through here, so that they round alike.
    ``OMP_NUM_THREADS`` has precedence.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        torch.set_num_threads(max(1, cores // 2))


def choose_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The number format for a precision. ``auto`` is float32, the only one whose output was checked on every device.

    Raises InputError for an unknown precision, DeviceError for one the device cannot compute in.
    """
    if precision not in _DTYPES:
        raise InputError(f"unknown precision {precision!r}: choose {', '.join(_DTYPES)}")
    dtype = _DTYPES[precision]
    if device.type == "cuda" and dtype == torch.bfloat16 and not torch.cuda.is_bf16_supported():
        raise DeviceError(f"{device} cannot compute in bfloat16; use --precision float16 or float32")
    return dtype


def free_memory(device: torch.device) -> int:
    """Bytes that a run could have on a device: what is free, and on CUDA what this process holds already."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device))
    if sys.platform.startswith("linux"):
        limits = [limit for limit in (_system_free(), _cgroup_free(), _address_space_free()) if limit is not None]
        if limits:
            return min(limits)
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return 4 * 2**30


def _system_free() -> int | None:
    """Bytes that Linux can give without swapping, or None where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo") as lines:
        return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
    return None


def _cgroup_free() -> int | None:
    """Bytes left under a container's memory limit, or None where there is none."""
    with contextlib.suppress(OSError, ValueError):
        with open("/sys/fs/cgroup/memory.max") as stream:
            limit = stream.read().strip()
        if limit != "max":
            with open("/sys/fs/cgroup/memory.current") as stream:
                return max(0, int(limit) - int(stream.read()))
    return None


def _address_space_free() -> int | None:
    """Bytes left under a limit on this process's address space (``ulimit -v``), or None where there is none."""
    import resource  # not there on Windows

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/self/statm") as stream:
        return max(0, limit - int(stream.read().split()[0]) * os.sysconf("SC_PAGE_SIZE"))
    return None


@contextlib.contextmanager
def device_errors(device: torch.device, height: int, width: int, suggest: Callable[[], int | None]) -> Iterator[None]:
    """Turn a failure of the device inside the block into an `OutOfMemoryError` or `DeviceError`.

    ``suggest`` is asked for the short side, in pixels, of a working size that would fit, if there is one.
    """
    try:
        if device.type == "cuda":
            # Full float32 and the same algorithm every time: the same calls give the same bits.
            with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        else:
            yield
    except (torch.cuda.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(device, height, width, suggest()) from error
    except RuntimeError as error:
        text = str(error)
        if "can't allocate memory" in text or "not enough memory" in text or "out of memory" in text:
            raise _out_of_memory(device, height, width, suggest()) from error
        if "CUDA error" in text or "CUDNN" in text:
            first = text.splitlines()[0]
            raise DeviceError(f"the device {device} failed ({first}); run again, or use --device cpu") from error
        raise


def _out_of_memory(device: torch.device, height: int, width: int, suggestion: int | None) -> OutOfMemoryError:
    advice = f"use --working-size {suggestion}" if suggestion else "use a smaller --working-size or --device cpu"
    return OutOfMemoryError(f"{device} ran out of memory at {width}x{height}; {advice}")
