"""Reverse classification accuracy: how well predictions on the target teach to segment the source."""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch import Tensor

from bnadapt.data.masks import IGNORED
from bnadapt.gain.predictions import overlap

SCALES = (1.0, 2.0, 4.0)  # pixels
TAUGHT, TESTED = 8000, 40000  # pixels of target and source
SHRINKAGE = 1e-3


class ReverseClassifier:
    """Learns from a target's images and predicted classes, and segments the source, whose masks are known.

    Valindria et al., IEEE TMI 2017, with quadratic discriminant analysis of smoothed intensities and gradients of every
    pixel in place of an atlas.

    Args:
        tiles: (n, C, h, w) of the target.
        source_tiles: (m, C, h, w).
        source_masks: (m, h, w), 255 where there is none.
    """

    def __init__(self, tiles: Tensor, source_tiles: Tensor, source_masks: Tensor) -> None:
        generator = np.random.default_rng(0)
        known = (source_masks != IGNORED).flatten().numpy().nonzero()[0]
        tested = generator.permutation(known)[:TESTED]
        self.source, self.masks = pixels(source_tiles)[tested], source_masks.flatten()[torch.from_numpy(tested)]
        target = pixels(tiles)
        self.chosen = generator.permutation(len(target))[:TAUGHT]
        self.target = target[self.chosen]

    def iou(self, classes: Tensor) -> float:
        """Foreground IoU on the source, after learning from predictions (n, h, w) on the target.

        0 where so few pixels of a class are predicted, or such alike ones, that nothing can be learnt of it.
        """
        taught = (classes > 0).flatten().numpy()[self.chosen]
        if min(taught.sum(), (~taught).sum()) < 2:
            return 0.0
        try:
            classifier = QuadraticDiscriminantAnalysis(reg_param=SHRINKAGE).fit(self.target, taught)
        except np.linalg.LinAlgError:  # a covariance without full rank
            return 0.0
        return overlap(torch.from_numpy(classifier.predict(self.source)), self.masks)


def pixels(tiles: Tensor) -> np.ndarray:
    """(n h w, F) what is known of every pixel: intensity, and intensity and gradient at three scales."""
    images = tiles.mean(1).numpy()
    features = [images]
    for scale in SCALES:
        features += [
            np.stack([each(image, scale) for image in images])
            for each in (gaussian_filter, gaussian_gradient_magnitude)
        ]
    return np.stack(features, -1).reshape(-1, len(features))
