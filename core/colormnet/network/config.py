"""Settings of the released network and of its variants' networks, as data.

What the paper calls feature propagation (stacking, recurrent, MFP), and the choice of local attention's reference
frame, are rules of the memory: see `colormnet.memory.settings`. Named variants: `colormnet.network.variants`.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from colormnet.errors import InputError

Features = Literal["pvgfe", "resnet", "dinov2", "concat"]


@dataclass(frozen=True)
class TransformerConfig:
    """Size of the global branch's vision transformer (defaults: DINOv2 ViT-S/14)."""

    channels: int = 384
    depth: int = 12
    heads: int = 6
    layers: tuple[int, ...] = (8, 9, 10, 11)  # blocks whose output is kept, counted from 0
    grid: int = 37  # side of the stored position table

    def __post_init__(self) -> None:
        if self.channels % self.heads:
            raise InputError(f"the transformer's {self.channels} channels do not split into {self.heads} heads")
        if not self.layers or max(self.layers) >= self.depth or min(self.layers) < 0:
            raise InputError(f"transformer layers {self.layers} do not exist in a transformer of depth {self.depth}")


@dataclass(frozen=True)
class NetworkConfig:
    """A member of the ColorMNet family with the released network's structure.

    ``width`` scales every convolutional channel count (1 = released; tiny values make variants that train on a CPU).
    """

    features: Features = "pvgfe"
    local_attention: bool = True
    window: int = 15
    width: float = 1.0
    fusion_heads: int = 8
    residual_blocks: tuple[int, int, int] = (3, 4, 6)  # bottlenecks in the three stages of the local branch
    transformer: TransformerConfig = TransformerConfig()

    def __post_init__(self) -> None:
        if self.features not in ("pvgfe", "resnet", "dinov2", "concat"):
            raise InputError(f"unknown features {self.features!r}: choose pvgfe, resnet, dinov2 or concat")
        if self.window < 1 or self.window % 2 == 0:
            raise InputError(f"the window of local attention must be odd and positive, not {self.window}")
        if self.width <= 0 or self.base % 8 or self.base < 8:
            raise InputError(f"width {self.width} leaves {64 * self.width:g} base channels: use a multiple of 1/8")

    @property
    def base(self) -> int:
        """Channels of the stems, the keys and the hidden state (64 as released)."""
        return round(64 * self.width)

    @property
    def value(self) -> int:
        """Channels of a value per chroma group (512 as released)."""
        return 8 * self.base

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a checkpoint's header."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "NetworkConfig":
        """The inverse of `to_dict`. Raises InputError for unknown fields."""
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise InputError(f"unknown network settings: {', '.join(sorted(unknown))}")
        data = dict(data)
        if "residual_blocks" in data:
            data["residual_blocks"] = tuple(data["residual_blocks"])
        if "transformer" in data:
            transformer = dict(data["transformer"])
            transformer["layers"] = tuple(transformer["layers"])
            data["transformer"] = TransformerConfig(**transformer)
        return cls(**data)


RELEASED = NetworkConfig()


def small(config: NetworkConfig, width: float = 0.125) -> NetworkConfig:
    """The same variant, small enough to train on a CPU."""
    return replace(
        config,
        width=width,
        fusion_heads=4,
        residual_blocks=(1, 1, 1),
        transformer=TransformerConfig(channels=48, depth=4, heads=3, layers=(0, 1, 2, 3), grid=8),
    )
