"""The paper's ablation variants (Table 2) and the choices where paper and release differ, by name."""

from dataclasses import dataclass, replace

from colormnet.errors import InputError
from colormnet.memory.settings import MemorySettings
from colormnet.network.config import RELEASED, NetworkConfig, small
from colormnet.network.model import ColorMNet


@dataclass(frozen=True)
class Variant:
    """A network and the memory rules it is used with."""

    network: NetworkConfig
    memory: MemorySettings


_MEMORY = MemorySettings()

VARIANTS: dict[str, Variant] = {
    "released": Variant(RELEASED, _MEMORY),
    "paper": Variant(RELEASED, replace(_MEMORY, consolidation="selected", local_reference="previous")),
    "resnet": Variant(replace(RELEASED, features="resnet"), _MEMORY),
    "dinov2": Variant(replace(RELEASED, features="dinov2"), _MEMORY),
    "concat": Variant(replace(RELEASED, features="concat"), _MEMORY),
    "stacking": Variant(RELEASED, replace(_MEMORY, propagation="stacking")),
    "recurrent": Variant(RELEASED, replace(_MEMORY, propagation="recurrent")),
    "no-local-attention": Variant(replace(RELEASED, local_attention=False), _MEMORY),
}

SMALL = "small-"


def variant(name: str) -> Variant:
    """A variant by name; the prefix ``small-`` gives it at a size that trains on a CPU.

    Raises InputError naming the variants there are.
    """
    plain = name.removeprefix(SMALL)
    if plain not in VARIANTS:
        raise InputError(f"unknown variant {name!r}: choose {', '.join(VARIANTS)}, each also as {SMALL}NAME")
    found = VARIANTS[plain]
    return found if plain == name else replace(found, network=small(found.network))


def build_variant(name: str) -> ColorMNet:
    """The network of a variant, with fresh random weights. Raises InputError for an unknown name."""
    return ColorMNet(variant(name).network)
