"""BatchNorm folded into the convolution before it: the same function with one pass over the picture less."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_norms(module: nn.Module) -> None:
    """Fold every BatchNorm that directly follows a convolution among a module's children, in place.

    An activation that timm keeps inside its BatchNorm stays. The module must be in evaluation mode and in the precision
    of its training (fold before converting to half precisions). It cannot be trained, nor its weights exported, after.
    """
    for child in module.children():
        fold_norms(child)
    children = list(module.named_children())
    for (name, convolution), (norm_name, norm) in pairwise(children):
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(convolution, norm))
            setattr(module, norm_name, getattr(norm, "act", nn.Identity()))
