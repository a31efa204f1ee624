"""Apply a bank of BatchNorm statistics to a network for `test` and `predict`."""

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from bnadapt.batchnorm import Bank


class AppliedBank(Callback):
    """Applies a bank to the task's network once its checkpoint is restored.

    The task then holds the checkpoint's statistics as `source_bank`.

    Args:
        path: file of the bank, safetensors.

    Raises:
        BatchNormError: if the file is missing or broken; at the start of `test` and `predict`, if it belongs to another
            network.
    """

    def __init__(self, path: str | Path) -> None:
        self.bank = Bank.load(path)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        source_bank = pl_module.source_bank or Bank.of(pl_module.network)
        self.bank.apply(pl_module.network)
        pl_module.source_bank = source_bank

    on_predict_start = on_test_start
