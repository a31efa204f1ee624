"""Treatments of a trained network, without labels, before its use on the target."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor

from bnadapt.adaptation import DEFAULT_POLICY
from bnadapt.batchnorm import Bank, Policy, minimise_entropy
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layers import batchnorm_layers
from bnadapt.experiments.network_evaluation import NetworkEvaluation
from bnadapt.labels import self_train
from bnadapt.studies.comparison.methods import ADABN, NONE

MOMENTUM = 0.1  # of the original's recipe


def momentum_bank(network: NetworkEvaluation, tiles: Tensor) -> Bank:
    """Running statistics after one pass over the tiles in train mode: 0.9^N of the source's stays after N batches.

    The recipe of the original: layers normalise by the batch, and the last batches count most.
    """
    layers = batchnorm_layers(network.network).values()
    momenta = [layer.momentum for layer in layers]
    try:
        with isolated(network.network):
            for layer in layers:
                layer.training, layer.momentum = True, MOMENTUM
            for images in tiles.split(network.evaluation.batch_size):
                network.forward(images)
            return Bank.of(network.network)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


BANKS: dict[str, Callable[[NetworkEvaluation, Tensor], Bank | None]] = {
    NONE: lambda network, tiles: None,
    ADABN: lambda network, tiles: network.adapted(tiles).bank,
    "momentum 0.1": momentum_bank,
    "half AdaBN": lambda network, tiles: network.adapted(tiles, Policy(source_weight=0.5)).bank,
    "default": lambda network, tiles: network.adapted(tiles, DEFAULT_POLICY).bank,
}
TENT, SELF_TRAINING = "TENT", "self-training"
TREATMENTS = (*BANKS, TENT, SELF_TRAINING)


@contextmanager
def treated(network: NetworkEvaluation, treatment: str, tiles: Tensor) -> Iterator[Bank | None]:
    """Statistics to run the network with, and, inside, whatever else the treatment changes in it.

    Args:
        network: trained.
        treatment: a key of `BANKS`; `TENT`: scale and shift by the entropy, then statistics for them; or
            `self-training`: all weights by pseudo-labels, under the target's statistics.
        tiles: (n, C, h, w) of the target.
    """
    if treatment in BANKS:
        yield BANKS[treatment](network, tiles)
        return
    with network.restored():
        if treatment == TENT:
            batches = (images.to(network.device) for images in tiles.split(network.evaluation.batch_size))
            minimise_entropy(network.network, batches)
            yield BANKS[ADABN](network, tiles)
        else:
            BANKS[ADABN](network, tiles).apply(network.network)
            with network.precision():
                network.network.load_state_dict(self_train(network.network, tiles, source_bank=network.bank))
            yield None
