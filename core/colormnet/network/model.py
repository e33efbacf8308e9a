"""ColorMNet as a stateless network: encode a frame, encode its colours, decode a read-out (network.md sections 1-6)."""

import torch
from torch import Tensor, nn

from colormnet.network.blocks import GROUPS, conv3
from colormnet.network.config import RELEASED, NetworkConfig
from colormnet.network.decoder import Decoder
from colormnet.network.interface import ColorNetwork, Decoded, Keys, Readout, Values
from colormnet.network.local_attention import LocalAttention
from colormnet.network.pvgfe import FeatureEncoder
from colormnet.network.value_encoder import ValueEncoder


class KeyProjection(nn.Module):
    """Keys, shrinkage and selection from the stride-16 features."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.key_proj = conv3(inputs, outputs)
        self.d_proj = conv3(inputs, 1)
        self.e_proj = conv3(inputs, outputs)

    def forward(self, f16: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, h, w) -> key (B, Ck, h, w), shrinkage (B, 1, h, w), selection (B, Ck, h, w)."""
        return self.key_proj(f16), self.d_proj(f16).square() + 1, self.e_proj(f16).sigmoid()


class ColorMNet(ColorNetwork):
    """The released network, or a variant of it (`NetworkConfig`).

    Batch normalisation runs with stored statistics, in training too.
    """

    grid = 112
    token_stride = 16
    reference_needs_value = True

    def __init__(self, config: NetworkConfig = RELEASED) -> None:
        super().__init__()
        self.config = config
        self.key_channels = config.base
        self.value_channels = GROUPS * config.value
        self.hidden_channels = config.base
        self.key_encoder = FeatureEncoder(config)
        self.value_encoder = ValueEncoder(config)
        self.key_proj = KeyProjection(self.key_encoder.channels[0], self.key_channels)
        if config.local_attention:
            self.short_term_attn = LocalAttention(self.key_channels, self.value_channels, config.window)
        self.decoder = Decoder(config)
        self.train(self.training)

    def train(self, mode: bool = True) -> "ColorMNet":
        """Training mode for everything but the batch normalisations and the frozen global branch."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def encode_key(self, luminance: Tensor) -> Keys:
        """See `ColorNetwork.encode_key`; the maps are the features at strides 16, 8 and 4."""
        maps = self.key_encoder(luminance)
        key, shrinkage, selection = self.key_proj(maps[0])
        return Keys(key, shrinkage, selection, maps)

    def initial_hidden(self, keys: Keys) -> Tensor:
        """Zeros, (B * 2, Ch, h, w)."""
        batch, _, height, width = keys.key.shape
        return keys.key.new_zeros(batch * GROUPS, self.hidden_channels, height, width)

    def encode_value(self, keys: Keys, luminance: Tensor, chroma: Tensor, hidden: Tensor | None, deep: bool) -> Values:
        """See `ColorNetwork.encode_value`."""
        state = self.initial_hidden(keys) if hidden is None else hidden
        value, state = self.value_encoder(luminance, chroma, keys.maps[0], state, deep)
        return Values(self._stack(value), state)

    def reference(
        self,
        keys: Keys,
        luminance: Tensor,
        chroma: Tensor,
        values: Values | None,
        earlier: tuple[Tensor, ...] | None = None,
        kept: tuple[Tensor, ...] | None = None,
    ) -> tuple[Tensor, ...]:
        """The key and the value of the reference frame."""
        if values is None:
            raise ValueError("local attention reads the reference frame's value")
        return keys.key, values.value

    def read_locally(self, keys: Keys, luminance: Tensor, reference: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """The reference's values around each token, (B, Cv, h, w)."""
        if not self.config.local_attention:
            return None
        return (self.short_term_attn(keys.key, *reference),)

    def decode(
        self,
        keys: Keys,
        luminance: Tensor,
        readout: Readout,
        local: tuple[Tensor, ...] | None,
        hidden: Tensor | None,
        update_hidden: bool,
    ) -> Decoded:
        """See `ColorNetwork.decode`: local attention is added to the read-out (paper equation 13)."""
        total = readout.value if local is None else readout.value + local[0]
        grouped = torch.unflatten(total, 1, (GROUPS, -1)).flatten(0, 1)
        state = self.initial_hidden(keys) if hidden is None else hidden
        f16, f8, f4 = keys.maps
        planes, state = self.decoder((f16, f8, f4), grouped, state, update_hidden)
        return Decoded(self._stack(planes), state, None)

    @staticmethod
    def _stack(grouped: Tensor) -> Tensor:
        """(B * G, C, ...) -> (B, G * C, ...), group-major."""
        return torch.unflatten(grouped, 0, (-1, GROUPS)).flatten(1, 2)
