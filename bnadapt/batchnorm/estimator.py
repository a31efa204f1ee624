"""Estimate BatchNorm statistics batch by batch."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from bnadapt.batchnorm.bank import Bank
from bnadapt.batchnorm.class_moments import ProportionCorrection
from bnadapt.batchnorm.isolation import isolated
from bnadapt.batchnorm.layer_consistent import LayerConsistent
from bnadapt.batchnorm.layers import NoImageError, StatisticsError
from bnadapt.batchnorm.left_out import warn_of_left_out
from bnadapt.batchnorm.moments import Moments, as_one_tile
from bnadapt.batchnorm.one_pass import OnePass
from bnadapt.batchnorm.policy import Policy
from bnadapt.batchnorm.processes import Processes
from bnadapt.batchnorm.stopping import Convergence, UntilConverged

PROPAGATIONS = {"one_pass": OnePass, "layer_consistent": LayerConsistent}
PropagationName = Literal["one_pass", "layer_consistent"]


@dataclass(frozen=True, repr=False)
class Estimate:
    """Estimated statistics.

    Attributes:
        bank: statistics of all layers under the policy; layers that it leaves out, or that no image reached, have the
            source's.
        tiles: number of images read.
        pixels: number of their pixels.
        converged: whether the tolerance was met; None without one.
        convergence: standard errors by number of tiles. Without a tolerance there is one check, at the end, in which
            batches may count as tiles.
    """

    bank: Bank
    tiles: int
    pixels: int
    converged: bool | None
    convergence: Convergence

    def __repr__(self) -> str:
        """How much was read, whether that was enough, and the bank."""
        reached = {None: "", True: ", converged", False: ", not converged"}[self.converged]
        return f"Estimate of {self.tiles} tiles, {self.pixels / 1e6:.3g} Mpixel{reached}\n{self.bank}"


class Estimator:
    """Computes statistics from batches that your own loop passes in.

    Inside the context all modules are in eval mode and running statistics change from batch to batch; on leaving, also
    by an exception, the network is restored. Arguments are those of `estimate`, and `random_order`: whether batches
    come in random order; otherwise all are read, even after convergence.

    Examples:
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> with Estimator(network, until=UntilConverged(0.2)) as estimator:
        ...     for batch in torch.randn(100, 1, 32, 32).split(10):
        ...         if estimator.update(batch):
        ...             break
        ...     estimate = estimator.compute()
        >>> estimate.bank.apply(network)
        >>> estimate.converged, estimate.tiles
        (True, 10)
    """

    def __init__(
        self,
        network: nn.Module,
        propagation: PropagationName = "one_pass",
        policy: Policy | None = None,
        until: UntilConverged | None = None,
        forward: Callable[[Tensor], Any] | None = None,
        group: distributed.ProcessGroup | None = None,
        correction: ProportionCorrection | None = None,
        random_order: bool = True,
    ) -> None:
        if propagation not in PROPAGATIONS:
            raise StatisticsError(f"propagation is {propagation!r}; take one of {', '.join(PROPAGATIONS)}.")
        self.network = network
        self.propagation = propagation
        self.policy = policy or Policy()
        self.until = until
        self.correction = correction
        self.random_order = random_order
        units = as_one_tile if until is None else _tiles
        rule = PROPAGATIONS[propagation]
        self._propagation = rule(network, forward or network, self.policy, correction, units)
        self._processes = Processes(group, self._propagation.layers)
        self._source = Bank.of(network)
        self._tiles = self._pixels = 0
        self._total = self._next_check = 0
        self._moments: dict[str, Moments] = {}
        self._converged = False
        self._convergence = Convergence()
        self._stack = ExitStack()
        self._entered = False

    def __enter__(self) -> "Estimator":
        self._stack.enter_context(isolated(self.network))
        self._stack.enter_context(torch.compiler.set_stance("force_eager"))  # compiled code ignores new hooks
        self._entered = True
        return self

    def __exit__(self, *exception: object) -> None:
        self._entered = False
        self._stack.__exit__(*exception)

    def update(self, images: Tensor) -> bool:
        """Add a batch (N, C, ...) on the network's device; returns whether that is enough (never without `until`)."""
        self._require_entered()
        with torch.no_grad():
            self._propagation.update(images)
            self._tiles += len(images)
            self._pixels += images[:, 0].numel()
            if self.until is None:
                return False
            self._synchronise(more=True)
            return self._finished()

    def compute(self) -> Estimate:
        """The estimate from all batches of all processes. Warns of parts of the network that are not adapted.

        Raises:
            StatisticsError: there was no batch, fewer tiles than `min_tiles`, or features that are not finite.
        """
        self._require_entered()
        with torch.no_grad():
            while self.until is not None and not self._finished() and self._synchronise(more=False):
                pass  # other processes still have batches
            self._total, pixels = (sum(self._processes.gathered(number)) for number in (self._tiles, self._pixels))
            if self._total == 0:
                raise NoImageError
            if self.until and self._total < self.until.min_tiles:
                raise StatisticsError(
                    f"There are {self._total} tiles, fewer than min_tiles, {self.until.min_tiles}; give more, smaller"
                    " tiles, or a lower min_tiles."
                )
            if self._convergence.tiles[-1:] != [self._total]:
                self._check()
            unseen = [name for name in self._propagation.layers if name not in self._moments]
            warn_of_left_out(self.network, unseen, self._propagation.bypasses)
        bank = self._source.adapted(self._moments, self.policy, self._total, self.propagation, self.correction)
        return Estimate(bank, self._total, pixels, self._converged if self.until else None, self._convergence)

    def _require_entered(self) -> None:
        if not self._entered:
            raise StatisticsError(
                "The estimator was not entered; use it inside of `with Estimator(...) as estimator:`."
            )

    def _finished(self) -> bool:
        return (self._converged and self.random_order) or self.until.exhausted(self._total)

    def _synchronise(self, more: bool) -> bool:
        """Count the tiles of all processes, and check for convergence if due; returns whether any process has more."""
        any_more = any(self._processes.gathered(int(more)))
        self._total = sum(self._processes.gathered(self._tiles))
        if any_more and self._total >= max(self.until.min_tiles, self._next_check):
            self._check()
        return any_more

    def _check(self) -> None:
        """Compute the moments so far, and record their standard errors."""
        self._moments = self._propagation.compute(self._processes)
        if not self._moments:
            raise StatisticsError(
                "No image reached a BatchNorm layer that the policy selects, or these layers normalise without torch's"
                " batch_norm; select others, or let them call it."
            )
        finite = torch.stack([torch.isfinite(each.variance).all() for each in self._moments.values()])
        for name, is_finite in zip(self._moments, finite.tolist(), strict=True):  # the device is waited for once
            if not is_finite:
                raise StatisticsError(
                    f"The input of the BatchNorm layer {name} is NaN or infinite; look at the images, at the weights in"
                    " front of it, and at the precision."
                )
        error = self._convergence.append(self._total, self._propagation.layers, self._moments)
        self._converged = self.until is not None and error <= self.until.tolerance
        self._next_check = self._propagation.growth * self._total


def _tiles(features: Tensor) -> Tensor:
    """Features (N, C, ...); their first axis counts tiles."""
    return features
