"""What candidates do to images, and what all of them make of a target."""

import math

import numpy as np
import pytest
import torch

from bnadapt.batchnorm import Bank, Policy
from bnadapt.data import InputChange
from bnadapt.errors import InputError
from bnadapt.gain import CANDIDATES, Candidate, run_candidates
from bnadapt.gain.predictions import overlap
from tests.gain.conftest import squares


def test_an_input_change_is_undone_in_the_logits():
    images = torch.rand(2, 1, 30, 45)
    inverted = InputChange(1.0).around(lambda each: torch.cat([each, -each], 1))
    assert torch.equal(inverted(images)[:, :1], 1 - images)
    seen = []
    zoomed = InputChange(zoom=1.5).around(lambda each: seen.append(each.shape) or each)
    smooth = torch.linspace(0, 1, 45).expand(2, 1, 30, 45)
    assert (zoomed(smooth) - smooth).abs().max() < 0.02
    assert seen == [(2, 1, 44, 68)]  # even, as the height was


@pytest.mark.parametrize("side", [64, 96, 144, 160, 256, 300])
@pytest.mark.parametrize("zoom", [1.5, 1 / 1.5])
def test_zoomed_sides_can_be_halved_as_often(side, zoom):
    seen = []
    forward = InputChange(zoom=zoom).around(lambda each: seen.append(each.shape[-1]) or each)
    assert forward(torch.zeros(1, 1, side, side)).shape[-1] == side
    assert seen[0] % np.gcd(side, 32) == 0
    assert seen[0] / side == pytest.approx(zoom, abs=0.17)


def test_no_change_leaves_the_forward_alone():
    def forward(images):
        return images

    assert InputChange().around(forward) is forward
    assert not InputChange()
    assert InputChange(0.0)
    assert InputChange(zoom=2.0)


def test_every_target_has_a_candidate_that_repairs_it(runner, source):
    """Darker ones plain adaptation, inverted ones inversion, both with another share of foreground the correction."""
    best = {}
    targets = {
        "source": {},
        "darker": {"bright": 0.3, "dark": -0.7},
        "inverted": {"bright": 0.0, "dark": 1.0},
        "sparse and darker": {"bright": 0.3, "dark": -0.7, "share": 0.02},
        "sparse and inverted": {"bright": 0.0, "dark": 1.0, "share": 0.02},
    }
    for name, options in targets.items():
        images, masks = squares(seed=7, **options)
        results = run_candidates(runner, images, source, CANDIDATES)
        best[name] = {each: overlap(of.outputs.classes, masks) for each, of in results.by_name.items()}
    assert best["source"]["none"] > 0.95
    assert best["darker"]["none"] < 0.1
    assert best["darker"]["adapted"] > 0.9
    assert best["inverted"]["adapted"] < 0.2
    assert best["inverted"]["inverted"] > 0.9
    for target, corrected, plain in (
        ("sparse and darker", "corrected", "adapted"),
        ("sparse and inverted", "inverted-corrected", "inverted"),
    ):  # left out where the proportions cannot be told
        assert best[target].get(corrected, 1.0) > best[target][plain] + 0.2


def test_trying_leaves_the_network_as_it_was(runner, source):
    before = {name: each.clone() for name, each in runner.network.state_dict().items()}
    random = torch.random.get_rng_state()
    results = run_candidates(runner, squares(seed=3, bright=0.5)[0], source, CANDIDATES)
    assert all(torch.equal(each, before[name]) for name, each in runner.network.state_dict().items())
    assert torch.equal(random, torch.random.get_rng_state())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in runner.network.modules())
    assert set(CANDIDATES) - set(results.by_name) <= {"corrected", "inverted-corrected"}


def test_candidates_have_the_statistics_that_they_say(runner, source):
    candidates = {
        "none": CANDIDATES["none"],
        "adapted": CANDIDATES["adapted"],
        "quarter": Candidate("", "", policy=Policy(0.25)),
    }
    results = run_candidates(runner, squares(seed=3, bright=0.5)[0], source, candidates)
    source, adapted = Bank.of(runner.network), results["adapted"].bank
    layer = next(iter(source.mean))
    assert torch.allclose(results["none"].bank.mean[layer], source.mean[layer])
    expected = 0.25 * source.mean[layer] + 0.75 * adapted.mean[layer]
    assert torch.allclose(results["quarter"].bank.mean[layer], expected, atol=1e-6)


@pytest.mark.parametrize(
    "change", [{"zoom": 0.0}, {"zoom": math.inf}, {"zoom": math.nan}, {"inverted_about": math.nan}]
)
def test_changes_of_images_are_finite(change):
    with pytest.raises(InputError, match="target_change: "):
        InputChange(**change)
