"""`bnadapt.distances`: how far apart source and target are in every latent space of a network."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from bnadapt.actions.distances import latent_findings
from bnadapt.api.inputs import Network, SourceModel
from bnadapt.batchnorm import Bank
from bnadapt.distances.measures import measures_named
from bnadapt.reports.distance_figures import depth_figure
from bnadapt.reports.latent_findings import LatentFindings, answer

if TYPE_CHECKING:
    from pandas import DataFrame

TILES = 32  # drawn from files


@dataclass(frozen=True, eq=False, repr=False)
class LatentDistances(LatentFindings):
    """Distances between source and target in all latent spaces of a network.

    Attributes:
        rows: one `bnadapt.distances.LayerDistance` per layer, state and measure.
        layers: names of the latent spaces, in the order in which the network calls them.
        measures: names of the distances.
    """

    def table(self) -> "DataFrame":
        """The rows as a table."""
        from pandas import DataFrame

        return DataFrame(asdict(row) for row in self.rows)

    def plot(self) -> Figure:
        """Every measure along the network, in all states, with bands of one standard error."""
        return depth_figure(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.layers)} layers: {answer(self)})"


def distances(
    network: Network,
    source: Any,
    target: Any,
    *,
    bank: Bank | None = None,
    layers: Sequence[str] | None = None,
    measures: Sequence[str] | None = None,
) -> LatentDistances:
    """Measure how far apart source and target are in every latent space of a network, which is left unchanged.

    States are `unadapted` (source against target) and `noise_floor` (one half of the source against the other); for an
    adapted network also `adapted`: the source in the source network against the target in the adapted one.

    Args:
        network: a `torch.nn.Module`, a task of bnadapt, or the path of a checkpoint.
        source: images of the source, without masks; see `bnadapt.api.inputs`. From files 32 tiles are drawn at random,
            everything else is read to the end. 16 are enough for standard errors.
        target: images of the target.
        bank: statistics of the adapted network, such as `bnadapt.adapt(network, target).bank`.
        layers: names of the modules whose outputs are measured, with `*` as wildcard; by default all BatchNorm layers
            and the modules that contain them, such as the stages of a U-Net.
        measures: some of `bnadapt.distances.MEASURES`; all by default.

    Raises:
        BnadaptError: images cannot be used, latents are not finite, or a layer or measure is unknown.

    Examples:
        >>> import torch
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4))
        >>> source, target = torch.randn(2, 16, 1, 32, 32)
        >>> apart = distances(network, source, target + 3, measures=["energy"])
        >>> apart.layers, sorted(apart.table().state)
        (['1'], ['noise_floor', 'unadapted'])
    """
    selected = measures_named(measures)
    model = SourceModel.of(network)
    adapted = bank or (Bank.of(model.network) if model.source_bank else None)
    batches = model.batches(source, "source", TILES), model.batches(target, "target", TILES)
    names = {"source": "source", "target": "target"}
    runner = model.runner(list(layers) if layers is not None else None)
    return LatentDistances(**vars(latent_findings(runner, *batches, names, selected, adapted)))
