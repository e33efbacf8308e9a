"""Losses on chroma in network units."""

import torch.nn.functional as F
from torch import Tensor

from colormnet.training.unroll import Prediction

_SQUARED = 4.0  # weight of the squared error beside L1: large errors are what a viewer sees
_DECIBEL = 0.03  # weight of the logarithm of each frame's squared error: what PSNR counts, good frames and bad alike
_FLOOR = 1e-4  # of the squared error under that logarithm (1.1 units of a or b)
_CANDIDATE = 0.25
_CERTAIN = 0.04  # an error this large (4.4 units of a or b) halves the confidence


def l1(prediction: Prediction, truth: Tensor) -> Tensor:
    """The paper's loss (section 4): mean absolute error of a and b. ``truth``: (B, 2, H, W)."""
    return (prediction.chroma - truth).abs().mean()


def lite(prediction: Prediction, truth: Tensor) -> Tensor:
    """L1, squared error and its logarithm of the result; L1 of its candidates; how well the confidence tells the error.

    The loss on the candidates keeps all of them useful: the memory's and local attention's matches are judged on the
    colour they bring, and the guess is there when nothing matches.
    """
    error = prediction.chroma.float() - truth
    squared = error.square().mean((1, 2, 3))
    loss = error.abs().mean() + _SQUARED * squared.mean() + _DECIBEL * (squared / _FLOOR).log1p().mean()
    truth4 = F.avg_pool2d(truth, 4)
    for candidate, weight in ((prediction.memory, 0.5), (prediction.exemplars, 0.5), (prediction.guess, 0.5)):
        if candidate is not None:
            loss = loss + weight * _CANDIDATE * (candidate.float() - truth4).abs().mean()
    if prediction.local is not None:
        loss = loss + _CANDIDATE * (prediction.local.float() - F.pixel_unshuffle(truth4, 2)).abs().mean()
    if prediction.certainty is not None:
        target = _CERTAIN / (_CERTAIN + error.detach().norm(dim=1, keepdim=True))
        loss = loss + 0.02 * F.binary_cross_entropy_with_logits(prediction.certainty.float(), target)
    return loss
