"""Drop messages of libraries that mean nothing to a user of bnadapt."""

import logging
import warnings
from collections.abc import Callable
from typing import Any

SILENT = (  # parts of messages that mean nothing to a user of bnadapt
    "💡",
    "GPU available",
    "TPU available",
    "Seed set to",
    "Restoring states from",
    "Loaded model weights from",
    "to estimate number of stepping batches",
    "Automatic Mixed Precision",
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
LOGGERS = (
    *("pytorch.utilities.rank_zero", "pytorch.accelerators.cuda", "pytorch.trainer.setup"),
    *("pytorch.trainer.connectors.checkpoint_connector", "fabric.utilities.seed"),
)
PACKAGE = "bnadapt."  # prefix of the modules whose warnings are complete sentences

log = logging.getLogger(__name__)


def quiet() -> None:
    """Drop messages of libraries, and show only the sentence of our own warnings."""
    if not isinstance(warnings.showwarning, _PackageWarnings):
        warnings.showwarning = _PackageWarnings(warnings.showwarning)
    for pattern in UNWANTED:
        warnings.filterwarnings("ignore", pattern)
    for name in LOGGERS:
        logging.getLogger(f"lightning.{name}").addFilter(_is_wanted)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not any(part in record.getMessage() for part in SILENT)


class _PackageWarnings:
    """Shows our warnings as the log does, and others as before."""

    def __init__(self, show: Callable[..., None]) -> None:
        self.show = show

    def __call__(self, message: Warning | str, category: type[Warning], *where: Any, **options: Any) -> None:
        if category.__module__.startswith(PACKAGE):
            log.warning("%s", message)
        else:
            self.show(message, category, *where, **options)
