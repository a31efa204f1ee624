"""The default loss of segmentation networks."""

from torch import Tensor, nn

from bnadapt.data.masks import IGNORED


class DiceCrossEntropy(nn.Module):
    """Soft Dice loss over the classes plus cross-entropy; pixels of class 255 are ignored.

    Args:
        dice_weight: factor of the Dice loss.
        cross_entropy_weight: factor of the cross-entropy.

    Shapes:
        logits (N, K, H, W) and masks (N, H, W) int64 -> scalar.
    """

    def __init__(self, dice_weight: float = 1.0, cross_entropy_weight: float = 1.0) -> None:
        super().__init__()
        from segmentation_models_pytorch.losses import DiceLoss

        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.dice = DiceLoss("multiclass", ignore_index=IGNORED)
        self.cross_entropy = nn.CrossEntropyLoss(ignore_index=IGNORED)

    def forward(self, logits: Tensor, masks: Tensor) -> Tensor:
        """The weighted sum of both; 0 without a labelled pixel."""
        logits = logits.float()
        cross_entropy = self.cross_entropy(logits, masks).nan_to_num()
        return self.dice_weight * self.dice(logits, masks) + self.cross_entropy_weight * cross_entropy
