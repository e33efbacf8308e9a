"""What every network of the family offers to the session: stateless maps between planes, features and values.

Shapes: B batch, H and W the padded plane (multiples of ``grid``), h = H / token_stride, w = W / token_stride.
Luminance and chroma are in network units (``L' = (L - 50) / 50``, ``a' = a / 110``, ``b' = b / 110``; CIE Lab D65).
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor, nn


class Keys(NamedTuple):
    """All that depends on a frame's luminance alone; can be cached and used again with another exemplar."""

    key: Tensor  # (B, Ck, h, w)
    shrinkage: Tensor  # (B, 1, h, w), >= 1
    selection: Tensor  # (B, Ck, h, w), in [0, 1]
    maps: tuple[Tensor, ...]  # feature maps private to the network, read by its value encoder and decoder
    fine: Tensor | None = None  # (B, Cf, h', w') on a finer grid: what the exemplars are looked up by once more


class Values(NamedTuple):
    """A frame's memorised content and the hidden state after encoding it."""

    value: Tensor  # (B, Cv, h, w); groups, where a network has them, are stacked group-major in Cv
    hidden: Tensor | None
    fine: Tensor | None = None  # (B, Cfv, h', w') what an exemplar answers on the grid of `Keys.fine`


class Readout(NamedTuple):
    """What the memory answered for a frame."""

    value: Tensor  # (B, Cv, h, w)
    similarity: Tensor  # (B, 1, h, w), the best similarity found per query, <= 0
    exemplars: "Readout | None" = None  # what the exemplars alone answer on the grid of `Keys.fine`, where there is one


class Decoded(NamedTuple):
    """The colour planes of a frame, the hidden state after it, and how sure the network is."""

    chroma: Tensor  # (B, 2, H, W), in [-1, 1]
    hidden: Tensor | None
    confidence: Tensor | None  # (B, 1, H', W') in [0, 1] at any resolution, or None where the network has no such head
    kept: tuple[Tensor, ...] | None = None  # what `reference` needs to know of this step, private to the network


class ColorNetwork(nn.Module, ABC):
    """A network without state across frames. The memory and the session hold all state."""

    grid: int  # H and W must be multiples of this
    token_stride: int
    padding: str = (
        "constant"  # how a plane grows to the grid: "constant" (zeros, the release) or "replicate" (its edge)
    )
    key_channels: int
    value_channels: int
    reference_needs_value: bool  # whether `reference` reads `values` (then every reference frame is value-encoded)

    def settle(self) -> None:
        """Called once the weights are loaded and will not change any more: rearrange them for speed where it helps."""

    @abstractmethod
    def encode_key(self, luminance: Tensor) -> Keys:
        """Features of a frame. ``luminance``: (B, 1, H, W)."""

    @abstractmethod
    def initial_hidden(self, keys: Keys) -> Tensor | None:
        """The hidden state before the first frame (zeros), or None where the network keeps none."""

    @abstractmethod
    def encode_value(self, keys: Keys, luminance: Tensor, chroma: Tensor, hidden: Tensor | None, deep: bool) -> Values:
        """What the memory stores for a coloured frame. ``chroma``: (B, 2, H, W); ``deep`` updates the hidden state."""

    @abstractmethod
    def reference(
        self,
        keys: Keys,
        luminance: Tensor,
        chroma: Tensor,
        values: Values | None,
        earlier: tuple[Tensor, ...] | None = None,
        kept: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """What local attention keeps of a coloured frame (tensors private to the network).

        ``earlier`` is the frame's own reference, ``kept`` what `decode` kept of it; both are None where the frame
        starts afresh (an exemplar, or the first frame).
        """

    @abstractmethod
    def read_locally(self, keys: Keys, luminance: Tensor, reference: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Local attention on a reference frame (tensors private to the network), or None where it has none."""

    @abstractmethod
    def decode(
        self,
        keys: Keys,
        luminance: Tensor,
        readout: Readout,
        local: tuple[Tensor, ...] | None,
        hidden: Tensor | None,
        update_hidden: bool,
    ) -> Decoded:
        """Colour planes from the memory read-out and the local read-out (None where there is no reference)."""
