"""Which channels of a picture are its colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from colormnet.errors import InputError

# Layer names that mean "the picture itself", best first; "" is a channel without a layer.
_MAIN_LAYERS = ("", "rgba", "rgb", "beauty", "main", "default", "color", "colour", "c")
_LUMINANCE = ("y", "l", "luma", "luminance", "grey", "gray", "k")


@dataclass(frozen=True)
class ColourChannels:
    """Where the colour is.

    Attributes:
        part: index of the part (subimage).
        indexes: channel numbers of red, green, blue; or of the one luminance channel.
        alpha: channel number of the alpha that belongs to them, or None.
        layer: name of the layer they are in, "" for none.
    """

    part: int
    indexes: tuple[int, ...]
    alpha: int | None
    layer: str

    @property
    def grey(self) -> bool:
        """The colour is one luminance channel."""
        return len(self.indexes) == 1


def split_name(name: str) -> tuple[str, str]:
    """``beauty.R`` -> ("beauty", "R"); ``R`` -> ("", "R")."""
    layer, _, channel = name.rpartition(".")
    return layer, channel


def layer_name(layer: str, channel: str) -> str:
    """The inverse of :func:`split_name`."""
    return f"{layer}.{channel}" if layer else channel


def find_colour(parts: Sequence[tuple[str, Sequence[str]]], path: str, layer: str | None = None) -> ColourChannels:
    """Choose the colour channels of a file.

    Args:
        parts: name and channel names of every part.
        path: for the message.
        layer: the layer, part or view the user asked for.

    Raises:
        InputError: no colour there, the layer is not there, or luminance/chroma (Y RY BY) coding.
    """
    found: list[tuple[tuple[int, int, int], ColourChannels]] = []
    for number, (part, names) in enumerate(parts):
        layers: dict[str, dict[str, int]] = {}
        for index, name in enumerate(names):
            owner, channel = split_name(name)
            layers.setdefault(owner, {})[_short(channel)] = index
        for owner, channels in layers.items():
            if layer is not None and layer.lower() not in (owner.lower(), part.lower(), f"{part}.{owner}".lower()):
                continue
            if "ry" in channels and "by" in channels:
                raise InputError(f"{path} is luminance/chroma coded (Y RY BY); write the plate as RGB.")
            alpha = channels.get("a")
            indexes = _colour_of(channels)
            if indexes:
                # A part named after the picture counts like a layer named so ("rgba" in Nuke's multi-part files).
                name = owner.lower() if owner else ""
                main = _MAIN_LAYERS.index(name) if name in _MAIN_LAYERS else len(_MAIN_LAYERS)
                rank = (len(indexes) == 1, main, number)
                found.append((rank, ColourChannels(number, indexes, alpha, owner)))
    if found:
        return min(found, key=lambda entry: entry[0])[1]
    everything = ", ".join(name for _, names in parts for name in list(names)[:8])
    if layer is not None:
        raise InputError(f'{path} has no colour in a layer, part or view called "{layer}"; it has {everything}.')
    raise InputError(f"{path} has no colour channels (R, G, B or Y); it has {everything}.")


def _short(channel: str) -> str:
    low = channel.lower()
    return {"red": "r", "green": "g", "blue": "b", "alpha": "a"}.get(low, low)


def _colour_of(channels: dict[str, int]) -> tuple[int, ...]:
    if all(name in channels for name in "rgb"):
        return tuple(channels[name] for name in "rgb")
    for name in _LUMINANCE:
        if name in channels:
            return (channels[name],)
    return ()
