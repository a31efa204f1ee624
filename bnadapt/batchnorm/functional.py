"""Re-estimate BatchNorm statistics on images of a new domain, in one call."""

import math
import warnings
from collections.abc import Callable
from itertools import chain, islice
from typing import Any

from torch import Tensor, distributed, nn

from bnadapt.batchnorm.bank import Bank
from bnadapt.batchnorm.batches import Pick, batches_of, has_fixed_order
from bnadapt.batchnorm.class_moments import ProportionCorrection
from bnadapt.batchnorm.estimator import Estimate, Estimator, PropagationName
from bnadapt.batchnorm.layers import batchnorm_layers
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.resolution import resolved_policy
from bnadapt.batchnorm.stopping import UntilConverged

UNUSED = (
    "All {} tiles were read, although the statistics had converged before: the batches come in a fixed order, and the"
    " first ones may differ from the others. Shuffle the DataLoader, or give one tensor or array, drawn at random."
)


def estimate(
    network: nn.Module,
    images: Any,
    *,
    pick: Pick | None = None,
    batch_size: int = 8,
    propagation: PropagationName = "one_pass",
    policy: Policy | None = None,
    until: UntilConverged | None = None,
    forward: Callable[[Tensor], Any] | None = None,
    group: distributed.ProcessGroup | None = None,
    correction: ProportionCorrection | None = None,
) -> Estimate:
    """Estimate the BatchNorm statistics of a network on images, without changing it.

    Means and variances are pooled in float64 by the law of total variance, so the batch size does not matter. The
    forward pass runs in the network's precision, or that of a surrounding `torch.autocast`: bfloat16 is much faster
    where the processor supports it, and changes the statistics a little. Dropout is off. Weights, buffers, modes,
    hooks, autocast and random states are restored, also after an exception or Ctrl-C.

    Args:
        network: any module with BatchNorm1d, 2d, 3d or SyncBatchNorm layers that keep running statistics.
        images: images of the new domain: a DataLoader, any iterable of batches, a tensor, an array, `VolumeTiles`; see
            `bnadapt.batchnorm.batches.batches_of`. They are moved to the network's device.
        pick: key, index or callable that gets the images of a batch.
        batch_size: size of batches built from tensors, arrays and volumes.
        propagation: `one_pass` (every layer normalises by the current batch) or `layer_consistent` (by its statistics
            over all batches in the adapted network: exact, but memory grows with the tiles).
        policy: how source and target are combined; full replacement of all layers by default.
        until: when to stop reading; by default at the end of the images. Batches in a fixed order, such as lists or a
            DataLoader without shuffling, are all read, with a warning if they could have ended early.
        forward: runs the network on a batch; the network itself by default.
        group: a group of torch.distributed, such as `torch.distributed.group.WORLD`: every process passes its share of
            the images, and all get the same estimate. By default this process alone.
        correction: correction for class proportions that differ from the source's.

    Warns:
        BatchNormWarning: parts of the network normalise in another way and are not adapted; it names them.

    Raises:
        NoBatchNormError: the network has no such layers.
        StatisticsError: no images, or fewer than `until.min_tiles`; a layer with one value per channel; pixels or
            features that are not finite; or a network that the propagation cannot handle.
        BatchNormError: the policy chooses no layer.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
        >>> estimated = estimate(network, torch.randn(20, 1, 32, 32), propagation="layer_consistent")
        >>> estimated.tiles, estimated.bank.count
        (20, {'1': 18000})
    """
    device = next(iter(batchnorm_layers(network).values())).running_mean.device
    batches = iter(batches_of(images, pick, batch_size))
    policy = policy or Policy()
    if policy.is_of_group:
        first = list(islice(batches, 1))
        policy, batches = resolved_policy(policy, network, first, forward, group), chain(first, batches)
    is_fixed = has_fixed_order(images)
    with Estimator(network, propagation, policy, until, forward, group, correction, not is_fixed) as estimator:
        for batch in batches:
            if estimator.update(batch.to(device, non_blocking=True)):
                break
        estimated = estimator.compute()
    if is_fixed and until is not None and min(estimated.convergence.worst[:-1], default=math.inf) <= until.tolerance:
        warnings.warn(UNUSED.format(estimated.tiles), stacklevel=2)
    return estimated


def adapt(network: nn.Module, images: Any, **options: Any) -> Bank:
    """Re-estimate the BatchNorm statistics of a network on images, and apply them.

    Only running means and variances change; after an exception or Ctrl-C they are restored.

    Args:
        network: any module with BatchNorm layers that keep running statistics.
        images: images of the new domain.
        **options: further arguments of `estimate`.

    Returns:
        The bank that the network now holds.

    Raises:
        BatchNormError: as for `estimate`.

    Examples:
        >>> import torch
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> bank = adapt(network, torch.full((4, 1, 8, 8), 3.0), policy=Policy(source_weight=0.5))
        >>> network[0].running_mean
        tensor([1.5000])
    """
    bank = estimate(network, images, **options).bank
    bank.apply(network)
    return bank
