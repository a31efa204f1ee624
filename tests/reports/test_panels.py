"""Rows of panels: image, mask, predictions, and what the second one changes."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb, to_rgba

from bnadapt.reports.panels import NOT_SCORED, OF_CLASSES, TINTED, comparison, grey_levels, outlined_panel

GREEN, ORANGE = to_rgba("#009e73"), to_rgba("#d55e00")
PURPLE, REMOVED = to_rgba("#8073ac"), to_rgba("#e08214")


@pytest.fixture
def predictions():
    """Four columns of 2 x 4 pixels: never foreground, removed, added, always."""
    return {
        "without": torch.tensor([[0, 1, 0, 1], [0, 1, 0, 1]]),
        "with": torch.tensor([[0, 0, 1, 1], [0, 0, 1, 1]]),
    }


def last_panel(figure):
    """Title and colours (H, W, 4) of the panel on the right."""
    axes = figure.axes[-1]
    image = axes.images[0]
    return axes.get_title(), image.cmap(image.norm(image.get_array()))


def test_with_a_mask_changes_are_corrected_or_newly_wrong(predictions):
    mask = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]])
    title, colours = last_panel(comparison({"image": torch.rand(1, 2, 4), "mask": mask}, predictions))
    assert title == "corrected (green), newly wrong (orange)"
    np.testing.assert_allclose(colours[0, [1, 2]], [GREEN, GREEN])
    np.testing.assert_allclose(colours[1, [1, 2]], [ORANGE, ORANGE])
    assert not np.isin(colours[:, [0, 3]], [GREEN, ORANGE]).all(-1).any()


def test_ignored_pixels_are_dimmed_and_said_to_be(predictions):
    mask = torch.tensor([[0, 0, 1, 1], [255, 255, 255, 255]])
    figure = comparison({"image": torch.tensor([[[0.0, 1, 0, 1], [0, 1, 0, 1]]]), "mask": mask}, predictions)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["image", "labels (dimmed: not scored)"]
    labels = figure.axes[1].images[0].get_array()
    np.testing.assert_allclose(labels[0, 1], 1)
    assert 0.2 < labels[1, 1].max() < 0.7
    _, colours = last_panel(figure)
    np.testing.assert_allclose(colours[1], [to_rgba(NOT_SCORED)] * 4)
    assert len({axes.images[0].get_array().shape[:2] for axes in figure.axes}) == 1


def test_without_a_mask_foreground_is_added_or_removed(predictions):
    title, colours = last_panel(comparison({"image": torch.rand(1, 2, 4)}, predictions))
    assert title == "added (purple), removed (orange)"
    np.testing.assert_allclose(colours[:, 2], [PURPLE, PURPLE])
    np.testing.assert_allclose(colours[:, 1], [REMOVED, REMOVED])


def test_one_class_for_another_is_a_correction_too():
    before, mask = torch.tensor([[1, 2]]), torch.tensor([[2, 2]])
    _, colours = last_panel(comparison({"image": torch.rand(1, 1, 2), "mask": mask}, {"without": before, "with": mask}))
    np.testing.assert_allclose(colours[0, 0], GREEN)


def test_one_prediction_has_no_difference(predictions):
    title, _ = last_panel(comparison({"image": torch.rand(1, 2, 4)}, {"prediction": predictions["with"]}))
    assert title == "prediction"


def test_every_class_has_its_colour_whatever_others_there_are():
    grey = np.full((6, 6), 0.5)
    classes = np.zeros((6, 6), int)
    classes[1:6, 1:6] = 2
    picture, colour = outlined_panel(grey, classes).picture, np.array(to_rgb(OF_CLASSES["blue"]))
    np.testing.assert_allclose(picture[0], 0.5)
    np.testing.assert_allclose(picture[1, 1:], np.tile(colour, (5, 1)))
    np.testing.assert_allclose(picture[3, 3], 0.5 * (1 - TINTED) + colour * TINTED)


def test_grey_levels_leave_extremes_aside():
    image = torch.linspace(-1, 1, 1000).reshape(1, 10, 100).clone()
    image[0, 0, 0] = -1000
    assert (grey_levels(image)[5] > 0.4).all()
