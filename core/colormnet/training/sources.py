"""Which known training sources may be used for what."""

from pathlib import Path

# File name stem -> whose terms limit it to research.
RESEARCH_ONLY = {
    "photos-imagenet-sample": "ImageNet terms of access",
    "photos-voc2007": "Flickr terms, as for all of PASCAL VOC 2007",
    "photos-bsds500": "BSDS500, research use",
}


def free_sources(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    """``paths`` without the sources that are known to be for research only."""
    return tuple(path for path in paths if path.stem not in RESEARCH_ONLY)
