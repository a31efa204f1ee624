"""The methods that are compared: how each is trained, and what is done with it afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bnadapt.data.intensity import IntensityName
from bnadapt.experiments.networks import SourceNetwork, Training
from bnadapt.experiments.specs import Spec

NONE, ADABN = "none", "AdaBN"


@dataclass(frozen=True)
class Method:
    """How a network is trained, and what is done with it afterwards.

    Attributes:
        learns_from: masks of the `source`, or of the `target`; `both` is masks of the source and images of the target.
        afterwards: names of treatments, see `bnadapt.studies.comparison.treatments`.
        task: class of `bnadapt.tasks`.
        task_args: its arguments.
        network: by name, if it is another than the study's.
        intensity: scaling of intensities, if it is another than the study's.
    """

    learns_from: Literal["source", "target", "both"] = "source"
    afterwards: Sequence[str] = (NONE,)
    task: str = "SegmentationTask"
    task_args: Mapping[str, Any] = field(default_factory=dict)
    network: str | None = None
    intensity: IntensityName | None = None

    def trained_on(self, training: Training, source: Spec, target: Spec, seed: int) -> SourceNetwork:
        """The network of a direction.

        Args:
            training: of the study.
            source: the domain with masks.
            target: the other one.
            seed: of weights and crops.
        """
        own = replace(
            training,
            network=self.network or training.network,
            intensity=self.intensity or training.intensity,
            task=f"bnadapt.tasks.{self.task}",
            task_args=dict(self.task_args),
        )
        labelled = target if self.learns_from == "target" else source
        return SourceNetwork(own, labelled, seed, target if self.learns_from == "both" else None)


METHODS = {
    "U-Net": Method(
        afterwards=(
            NONE,
            ADABN,
            "momentum 0.1",
            "half AdaBN",
            "AdaBN, prior of 16",
            "AdaBN, encoder",
            "corrected AdaBN",
            "TENT",
        )
    ),
    "U-Net, Dice alone": Method(afterwards=(NONE, ADABN), task="YNetTask", task_args={"reconstruction_weight": 0.0}),
    "U-Net, dtype": Method(afterwards=(NONE, ADABN), intensity="dtype"),
    "U-Net, histogram matching": Method(intensity="histogram"),
    "InstanceNorm U-Net": Method(network="unet-instance-norm"),
    "Y-Net": Method("both", (NONE, ADABN), "YNetTask"),
    "CellSegUDA": Method("both", (NONE, ADABN), "CellSegUDATask"),
    "mean teacher": Method("both", (NONE, ADABN), "MeanTeacherTask"),
    "target-trained": Method("target"),
}
"""In the order of the table.

On the source, Y-Net and CellSegUDA have the loss of their papers, Dice; all others have Dice plus cross-entropy, but
for the U-Net that tells what this makes.
"""

PUBLISHED = {
    "U-Net": (0.556, 0.006),
    "Y-Net": (0.614, 0.014),
    "CellSegUDA": (0.673, 0.041),
    "U-Net + momentum 0.1": (0.736, 0.024),
    "target-trained": (0.881, 0.803),
}
"""IoU of the table that this project starts from, in its two directions; its data are private."""


def row_name(method: str, treatment: str) -> str:
    """What the table calls a method with what was done afterwards."""
    return method if treatment == NONE else f"{method} + {treatment}"


ROW_NAMES = [row_name(name, treatment) for name, method in METHODS.items() for treatment in method.afterwards]
