"""Trained networks that a process keeps loaded."""

from functools import lru_cache
from pathlib import Path

import torch

from bnadapt.data import DomainPair
from bnadapt.experiments.domain_tiles import domain_tiles_for
from bnadapt.experiments.evaluation import Evaluation
from bnadapt.experiments.network_evaluation import NetworkEvaluation
from bnadapt.experiments.networks import SourceNetwork, build_task, quiet, trained

CACHED_NETWORKS = 2


@lru_cache(CACHED_NETWORKS)
def cached_network(
    network: SourceNetwork, folder: Path, evaluation: Evaluation, device: torch.device
) -> NetworkEvaluation:
    """A trained network that this process keeps loaded, with its measurements.

    Args:
        network: config of the network.
        folder: folder of trained networks; a missing one is trained first.
        evaluation: settings of adaptation and scoring.
        device: device to run it on.
    """
    with quiet():
        checkpoint = torch.load(trained(network, folder, device), map_location="cpu", weights_only=True)
        task = build_task(network.training)  # by its config; the file names nothing that is run
        task.load_state_dict(checkpoint["state_dict"])
        restored = checkpoint[DomainPair.__qualname__]
        return NetworkEvaluation(
            task.network.to(device).eval(), network.source, evaluation, domain_tiles_for(network, evaluation, restored)
        )
