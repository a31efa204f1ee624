"""The default length of a training."""

from typing import Any

from jsonargparse import Namespace

STEPS = 2000
PATIENCE = 20  # epochs without a better score after which it ends
STOPPING = {
    "class_path": "lightning.pytorch.callbacks.EarlyStopping",
    "init_args": {
        "monitor": "val/source/iou",
        "mode": "max",
        "patience": PATIENCE,
        "check_finite": False,
        "strict": False,
    },
}
LENGTH = (
    f"No length is given: {STEPS} steps, or until the IoU on the source's validation block has not risen for {PATIENCE}"
    " epochs. --trainer.max_epochs or --trainer.max_steps sets another."
)


def default_length(trainer: Namespace) -> dict[str, Any]:
    """Options of a Trainer for the default length; none if its given options set one."""
    is_given = (
        trainer.max_epochs is not None
        or trainer.max_steps != -1
        or trainer.max_time is not None
        or bool(trainer.fast_dev_run)
    )
    if is_given:
        return {}
    callbacks = [trainer.callbacks] if isinstance(trainer.callbacks, Namespace) else list(trainer.callbacks or [])
    if not any(each.class_path == STOPPING["class_path"] for each in callbacks):
        callbacks.append(STOPPING)
    return {"max_steps": STEPS, "callbacks": callbacks}
