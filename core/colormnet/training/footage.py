"""Colour footage and photographs as arrays, held in memory for the length of a run."""

import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import ffmpeg
import numpy as np
import numpy.typing as npt

from colormnet.errors import InputError
from colormnet.media.ffmpeg_tools import command, probe

_MOVIES = {".mp4", ".mov", ".mkv", ".mxf", ".avi", ".webm"}
_PICTURES = {".jpg", ".jpeg", ".png"}
Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Footage:
    """One clip. ``frames``: (T, H, W, 3) uint8 sRGB."""

    name: str
    frames: npt.NDArray[np.uint8]


def movie_files(paths: Iterable[Path]) -> list[Path]:
    """All movies among ``paths`` and in the folders among them, sorted by name within a folder."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(p for p in path.iterdir() if p.suffix.lower() in _MOVIES)
        elif path.suffix.lower() in _MOVIES and path.is_file():
            found.append(path)
        else:
            raise InputError(f"{path} is neither a folder of movies nor a movie: check the path.")
    return found


def load_movie(path: Path, short_side: int, limit: int | None = None) -> Footage:
    """Decode a movie, scaled down so that its short side is ``short_side`` (never scaled up).

    Raises:
        InputError: the file cannot be decoded.
    """
    facts = probe(path)
    scale = min(1.0, short_side / min(facts.width, facts.height))
    size = round(facts.width * scale), round(facts.height * scale)
    samples = "in_color_matrix=bt709:in_range=tv:out_range=pc"  # whatever the tags say: what the networks learned from
    stream = ffmpeg.input(str(path)).output(
        "pipe:",
        format="rawvideo",
        vf=f"scale={size[0]}:{size[1]}:{samples}:flags=area+accurate_rnd+full_chroma_int,format=rgb24",
        **({"vframes": limit} if limit else {}),
    )
    done = subprocess.run(command(stream), capture_output=True, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        raise InputError(f"{path} cannot be decoded: {said}")
    data = done.stdout
    frames = np.frombuffer(data, np.uint8).reshape(-1, size[1], size[0], 3)
    return Footage(path.stem, frames)


def load_photos(paths: Iterable[Path]) -> list[Picture]:
    """Decode every photograph of tar shards and folders: (H, W, 3) uint8 sRGB each."""
    pictures = []
    for path in paths:
        for blob in _blobs(path):
            picture = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR)
            if picture is not None and min(picture.shape[:2]) >= 64:
                pictures.append(np.ascontiguousarray(picture[..., ::-1]))
    return pictures


def _blobs(path: Path) -> Iterable[bytes]:
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.suffix.lower() in _PICTURES):
            yield file.read_bytes()
    elif path.is_file() and tarfile.is_tarfile(path):
        with tarfile.open(path) as shard:
            for member in sorted((m for m in shard if m.isfile()), key=lambda m: m.name):
                if Path(member.name).suffix.lower() in _PICTURES:
                    handle = shard.extractfile(member)
                    if handle is not None:
                        yield handle.read()
    else:
        raise InputError(f"{path} is neither a folder of photographs nor a tar shard: check the path.")
