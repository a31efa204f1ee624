"""Pseudo-labels: confident predictions of a network, to learn from."""

import torch
from torch import Tensor, nn

from bnadapt.data.masks import IGNORED
from bnadapt.networks import memory_format, with_background

BATCH = 4  # crops in a training step, and tiles that go through a network at once
CONFIDENCE = 0.85  # probability above which a prediction becomes a pseudo-label


def logits_of(network: nn.Module, images: Tensor) -> Tensor:
    """Logits (n, K, h, w) of images (n, C, h, w) on any device, in the network's type and memory layout."""
    like = next(network.parameters())
    images = images.to(like.device, like.dtype).contiguous(memory_format=memory_format(network))
    return with_background(network(images), 2)


@torch.no_grad()
def logits_of_all(network: nn.Module, tiles: Tensor) -> Tensor:
    """Logits (n, K, h, w) float32 of all tiles, batch by batch, on the CPU."""
    return torch.cat([logits_of(network, batch).float().cpu() for batch in tiles.split(BATCH)])


@torch.no_grad()
def pseudo_labels(network: nn.Module, images: Tensor, confidence: float | Tensor = CONFIDENCE) -> Tensor:
    """Classes (n, h, w) that a network predicts for images (n, C, h, w); 255 where its probability is lower.

    Args:
        network: the network.
        images: the images.
        confidence: least probability, of all classes or (K,) of each.
    """
    probabilities = logits_of(network, images).float().softmax(1)
    probability, classes = probabilities.max(1)
    least = torch.as_tensor(confidence, device=classes.device).expand(probabilities.shape[1])[classes]
    return classes.masked_fill(probability < least, IGNORED)


def confidences(logits: Tensor, confidence: float) -> Tensor:
    """A confidence (K,) for each class, at most the given one, that half of the pixels predicted as that class have.

    Otherwise a network that is never sure of one class would learn the pseudo-labels of the others alone; see
    class-balanced self-training, Zou et al., ECCV 2018.

    Args:
        logits: logits (n, K, h, w) of all tiles.
        confidence: the greatest confidence.
    """
    probabilities = logits.softmax(1)
    probability, classes = probabilities.max(1)
    by_class = [probability[classes == label] for label in range(probabilities.shape[1])]
    return torch.stack(
        [each.median().clamp(max=confidence) if len(each) else each.new_tensor(confidence) for each in by_class]
    )
