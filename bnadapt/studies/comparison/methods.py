"""A method that is compared: how its network is trained, and what is done with it afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bnadapt.data.intensity import IntensityName
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import Spec

NONE, ADABN = "none", "AdaBN"


@dataclass(frozen=True)
class Method:
    """How a network is trained, and what is done with it afterwards; one of `study.methods` in a config.

    Args:
        learns_from: masks of the `source`, or of the `target`; `both` is masks of the source and images of the target.
        afterwards: names of treatments, see `bnadapt.studies.comparison.treatments`.
        task: import path of the task; the study's by default.
        task_args: further arguments of the task.
        network: name of the network, if it differs from the study's.
        intensity: scaling of intensities, if it differs from the study's.
    """

    learns_from: Literal["source", "target", "both"] = "source"
    afterwards: Sequence[str] = (NONE,)
    task: str | None = None
    task_args: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    intensity: IntensityName | None = None

    def trained_on(self, training: Training, source: Spec, target: Spec, seed: int) -> SourceNetwork:
        """The network of a direction.

        Args:
            training: training of the study.
            source: the domain with masks.
            target: the other one.
            seed: seed of weights and crops.
        """
        adjusted = replace(
            training,
            network=self.network or training.network,
            intensity=self.intensity or training.intensity,
            task=self.task or training.task,
            task_args={**training.task_args, **self.task_args},
        )
        labelled = target if self.learns_from == "target" else source
        return SourceNetwork(adjusted, labelled, seed, target if self.learns_from == "both" else None)


PUBLISHED = {
    "U-Net": (0.556, 0.006),
    "Y-Net": (0.614, 0.014),
    "CellSegUDA": (0.673, 0.041),
    "U-Net + momentum 0.1": (0.736, 0.024),
    "target-trained": (0.881, 0.803),
}
"""IoU of Stenger et al., ISBI 2023, in their two directions FS1 -> FS2 and FS2 -> FS1; their data are private."""


def row_name(method: str, treatment: str) -> str:
    """Name in the table of a method with its treatment."""
    return method if treatment == NONE else f"{method} + {treatment}"
