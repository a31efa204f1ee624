"""Reverse classification accuracy: how well predictions on the target teach to segment the source."""

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_gradient_magnitude
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from torch import Tensor

from bnadapt.gain.predictions import overlap

SCALES = (1.0, 2.0, 4.0)  # pixels
TAUGHT = 8000  # pixels of the target
SHRINKAGE = 1e-3


def reverse_iou(tiles: Tensor, classes: Tensor, source_tiles: Tensor, source_masks: Tensor) -> float:
    """Foreground IoU on the source of a classifier that learns from the target's images and their predicted classes.

    Valindria et al., IEEE TMI 2017, with quadratic discriminant analysis of smoothed intensities and gradients of every
    pixel in place of an atlas. 0 where fewer than two pixels of a class are predicted.

    Args:
        tiles: (n, C, h, w) of the target.
        classes: (n, h, w) predicted.
        source_tiles: (m, C, h, w).
        source_masks: (m, h, w), 255 where there is none.
    """
    taught, known = pixels(tiles), (classes > 0).flatten().numpy()
    if min(known.sum(), (~known).sum()) < 2:
        return 0.0
    chosen = np.random.default_rng(0).permutation(len(known))[:TAUGHT]
    if min(known[chosen].sum(), (~known[chosen]).sum()) < 2:
        return 0.0
    classifier = QuadraticDiscriminantAnalysis(reg_param=SHRINKAGE).fit(taught[chosen], known[chosen])
    predicted = source_masks.new_tensor(classifier.predict(pixels(source_tiles))).view_as(source_masks)
    labelled = source_masks != 255
    return overlap(predicted[labelled], source_masks[labelled])


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
