"""Training settings as typed data, with the presets."""

from dataclasses import dataclass, replace
from pathlib import Path

from colormnet.errors import InputError


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides the weights a run ends with.

    Two runs with equal settings, data and device give equal weights, however often they are interrupted.

    Attributes:
        out: folder of the run: checkpoints, curve, preview sheets.
        clips: files or folders of colour clips (video stage).
        photos: tar shards or folders of colour photographs (static-photo stage); may be empty.
        validation: clips for the validation curve; never trained on.
        network: name of the network to train: ``lite`` or a variant of `colormnet.network.config`.
        start: checkpoint to start from, or None for the pretrained backbone alone.
        steps: optimizer steps in all.
        batch: sequences a step.
        frames: frames a sequence from clips, the exemplar's included.
        photo_frames: frames a sequence from photographs, likewise.
        frame_by_frame: a step learns from one frame, and the sequence goes on with what was learnt: long sequences show
            what a long run wears away. Else a step learns from all frames of a short sequence at once.
        size: side of the square training crop in pixels, a multiple of the network's grid.
        learning_rate: of all parts but the backbone.
        backbone_rate: factor on the learning rate for the pretrained backbone (0 freezes it).
        frozen_stages: first stages of lite's backbone that stay as they are (5: up to stride 16).
        decay: whether the rate falls to zero along a cosine (else it is constant).
        warm_up: steps over which the rate rises.
        photo_share: share of rounds (batches of sequences) made from photographs, in [0, 1].
        hue_share: share of sequences whose hue is rotated as a whole, so that colour must be copied, not guessed.
        foreign_share: share of rounds whose exemplar is not a frame of the sequence.
        memory_every: every so many frames of a sequence are memorised.
        top_k: tokens per read, as in the memory's settings.
        loss: ``l1`` (the paper's) or ``lite`` (L1 and squared error on the result and on its candidates).
        ema: decay of the averaged weights, 0 for none.
        bfloat16: whether to run under bfloat16 autocast.
        seed: of data and initial weights.
        save_every, validate_every: steps between checkpoints and between validations.
        validation_frames, validation_size: frames of each validation clip, and their short side in pixels.
        threads: threads that prepare data.
    """

    out: Path
    clips: tuple[Path, ...] = ()
    photos: tuple[Path, ...] = ()
    validation: tuple[Path, ...] = ()
    network: str = "lite"
    start: Path | None = None
    steps: int = 2_600
    batch: int = 4
    frames: int = 32
    photo_frames: int = 8
    frame_by_frame: bool = True
    size: int = 192
    learning_rate: float = 5e-4
    backbone_rate: float = 0.1
    frozen_stages: int = 5
    decay: bool = True
    warm_up: int = 100
    photo_share: float = 0.4
    hue_share: float = 0.35
    foreign_share: float = 0.15
    memory_every: int = 5
    top_k: int = 30
    loss: str = "lite"
    ema: float = 0.995
    bfloat16: bool = False
    seed: int = 1
    save_every: int = 250
    validate_every: int = 1_000
    validation_frames: int = 25
    validation_size: int = 240
    threads: int = 1

    def __post_init__(self) -> None:
        """Check what can be checked without touching the disk.

        Raises:
            InputError: a value is out of its range.
        """
        if not self.clips and not self.photos:
            raise InputError("Nothing to train on: name at least one folder with --clips or --photos.")
        if self.loss not in ("l1", "lite"):
            raise InputError(f"Unknown loss '{self.loss}': use 'l1' or 'lite'.")
        for name in ("photo_share", "hue_share", "foreign_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must lie between 0 and 1.")
        for name in ("steps", "batch", "size", "memory_every", "save_every", "validate_every", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: it must be at least 1.")
        for name in ("frames", "photo_frames"):
            if getattr(self, name) < 2:
                raise InputError(
                    f"{name} is {getattr(self, name)}: a sequence needs an exemplar and a frame to predict."
                )


def paper(settings: TrainingSettings) -> TrainingSettings:
    """The paper's settings (section 4): Adam, constant rate 2e-5, L1, batch 4, 160,000 iterations."""
    return replace(
        whole_sequences(settings),
        steps=160_000,
        batch=4,
        learning_rate=2e-5,
        backbone_rate=1.0,
        frozen_stages=0,
        decay=False,
        warm_up=1,
        loss="l1",
        hue_share=0.0,
        ema=0.0,
    )


def whole_sequences(settings: TrainingSettings) -> TrainingSettings:
    """Short sequences learnt from as a whole, as the paper's networks need: they have a hidden state to learn."""
    return replace(settings, frames=4, photo_frames=4, memory_every=2, frame_by_frame=False)
