"""Messages of libraries that tell a user of bnadapt nothing are dropped."""

import logging
import warnings

SILENT = (  # parts of messages that tell a user of bnadapt nothing
    "💡",
    "GPU available",
    "TPU available",
    "Seed set to",
    "Restoring states from",
    "Loaded model weights from",
    "to estimate number of stepping batches",
    "`Trainer.fit` stopped",
)
UNWANTED = (  # warnings, as regular expressions
    ".*does not have many workers which may be a bottleneck.*",
    ".*infer the batch indices fetched from your dataloader.*",
    ".*The dirpath has changed from.*",
    ".*isinstance.treespec, LeafSpec.*",
    ".*LightningCLI's args parameter is intended to run from within Python.*",
    ".*is smaller than the logging interval.*",
)


def quiet() -> None:
    """Drop messages that tell a user of bnadapt nothing."""
    for pattern in UNWANTED:
        warnings.filterwarnings("ignore", pattern)
    for name in (
        "utilities.rank_zero",
        "accelerators.cuda",
        "trainer.setup",
        "trainer.connectors.checkpoint_connector",
    ):
        logging.getLogger(f"lightning.pytorch.{name}").addFilter(_is_wanted)
    logging.getLogger("lightning.fabric.utilities.seed").addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not any(part in record.getMessage() for part in SILENT)
