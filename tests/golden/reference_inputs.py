# ruff: noqa: E741, SIM115
"""Seeded weights and a seeded clip: the inputs that the reference outputs in this folder were made from.

Everything is drawn from numpy's PCG64, so the same numbers come out on every machine.
"""

import json
import zlib

import numpy as np


def synthetic_state(manifest: dict, seed: int) -> dict[str, np.ndarray]:
    """Weights for every entry of official_manifest.json ({name: [shape, dtype]}), float32 (counters int64)."""
    state = {}
    for name, (shape, _dtype) in manifest.items():
        rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(name.encode())]))
        leaf = name.rsplit(".", 1)[-1]
        if leaf == "num_batches_tracked":
            state[name] = np.zeros((), np.int64)
            continue
        noise = rng.standard_normal(shape)
        if leaf == "running_var":
            value = 0.5 + np.abs(noise)
        elif leaf == "running_mean":
            value = 0.1 * noise
        elif leaf in ("cls_token", "mask_token", "pos_embed"):
            value = 0.02 * noise
        elif leaf in ("temperature", "gamma"):
            value = 1 + 0.1 * noise
        elif len(shape) >= 2:
            value = noise / np.sqrt(np.prod(shape[1:]))
        elif leaf == "weight":
            value = 1 + 0.1 * noise
        else:
            value = 0.1 * noise
        state[name] = np.ascontiguousarray(value, np.float32).reshape(shape)
    return state


def synthetic_clip(frames: int, height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Moving textured blobs in network units: L (T,1,H,W) and ab (T,2,H,W), both float32 in (-1, 1)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    lum = np.zeros((frames, height, width))
    chroma = np.zeros((frames, 2, height, width))
    for _ in range(12):
        cx, cy = rng.uniform(0, width), rng.uniform(0, height)
        vx, vy = rng.uniform(-2, 2, 2)
        size = rng.uniform(8, 30)
        l, a, b = rng.uniform(-1, 1, 3)
        freq, theta = rng.uniform(0.1, 0.6), rng.uniform(0, np.pi)
        for t in range(frames):
            blob = np.exp(-((x - cx - vx * t) ** 2 + (y - cy - vy * t) ** 2) / (2 * size * size))
            texture = 0.5 + 0.5 * np.sin(freq * ((x - vx * t) * np.cos(theta) + (y - vy * t) * np.sin(theta)))
            lum[t] += l * blob * texture
            chroma[t, 0] += 0.5 * a * blob
            chroma[t, 1] += 0.5 * b * blob
    return np.tanh(lum)[:, None].astype(np.float32), np.tanh(chroma).astype(np.float32)


if __name__ == "__main__":
    manifest = json.load(open("official_manifest.json"))
    print(len(manifest), sum(int(np.prod(shape)) for shape, _ in manifest.values()))
