"""Options with a fixed set of values, shared by the commands that colour."""

from enum import Enum


class OutputChoice(str, Enum):
    """What is written."""

    colour = "colour"
    chroma = "chroma"
    both = "both"


class PrecisionChoice(str, Enum):
    """Number format of the network."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    float64 = "float64"


class CodecChoice(str, Enum):
    """Movie codecs."""

    prores = "prores"
    dnxhr = "dnxhr"
    h264 = "h264"


class PixelChoice(str, Enum):
    """Pixel types of picture files."""

    half = "half"
    float = "float"
    uint8 = "uint8"
    uint10 = "uint10"
    uint16 = "uint16"
