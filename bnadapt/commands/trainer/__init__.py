"""The Lightning Trainer with bnadapt's own commands, such as `adapt`, beside Lightning's."""

from bnadapt.commands.trainer.adapting import AdaptingCommands
from bnadapt.commands.trainer.comparing import ComparingCommands
from bnadapt.commands.trainer.predicting import PredictingCommands
from bnadapt.commands.trainer.storing import StoringCommands

__all__ = ["AdaptationTrainer"]


class AdaptationTrainer(AdaptingCommands, ComparingCommands, PredictingCommands, StoringCommands):
    """A Lightning Trainer that can also adapt a trained network to a target, and measure what that needs or leaves.

    A command checks its options, runs one action in place of Lightning's predict loop, and returns its result.

    Args:
        **settings: see `lightning.pytorch.Trainer`.
    """
