"""Learning from one's own confident predictions of a target."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from bnadapt.batchnorm import Bank, adapt
from bnadapt.errors import InputError
from bnadapt.labels import SelfTraining, self_train


@pytest.fixture(scope="module")
def images():
    """Noise that is brighter on the right half."""
    images = 0.3 * torch.randn(6, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    images[..., 16:] += 1
    return images


@pytest.fixture
def network(images):
    """Adapted to the images; it predicts foreground where these are bright, and is not very sure."""
    torch.manual_seed(0)
    own = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval()
    adapt(own, images)
    optimizer = torch.optim.Adam(own[3].parameters(), 0.05)
    for _ in range(20):
        optimizer.zero_grad()
        cross_entropy(own(images), (images[:, 0] > 0.5).long()).backward()
        optimizer.step()
    return own


def sureness(network, images):
    with torch.no_grad():
        return float(network(images).softmax(1).amax(1).mean())


def test_predictions_become_surer_and_the_network_is_left_as_it_was(network, images):
    before = copy.deepcopy(network.state_dict())
    learnt = copy.deepcopy(network)
    learnt.load_state_dict(self_train(network, images, SelfTraining(steps=20, rate=0.01, confidence=0.5)))
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert sureness(learnt, images) > sureness(network, images) + 0.02


def test_statistics_stay_those_of_the_target(network, images):
    state = self_train(network, images, SelfTraining(steps=2))
    for name, each in network.state_dict().items():
        assert torch.equal(state[name], each) == (name in dict(network.named_buffers())), name


def test_a_class_that_is_never_sure_is_not_unlearnt(network, images):
    """Pseudo-labels would otherwise be of background alone."""
    truth = (images[:, 0] > 0.5).long()
    with torch.no_grad():
        network[3].weight *= 0.3
        network[3].bias.mul_(0.3).add_(torch.tensor([0.3, 0.0]))
        probability, classes = network(images).softmax(1).max(1)
        assert probability[classes == 1].max() < 0.85 < probability[classes == 0].max()
        before = (classes == truth).double().mean()
        network.load_state_dict(self_train(network, images, SelfTraining(steps=60, rate=0.01)))
        after = (network(images).argmax(1) == truth).double().mean()
    assert after > before


def test_it_depends_on_its_seed_alone(network, images):
    torch.manual_seed(1)
    first = self_train(network, images, SelfTraining(steps=2))
    torch.manual_seed(2)
    again, other = (self_train(network, images, SelfTraining(steps=2, seed=seed)) for seed in (0, 1))
    assert all(torch.equal(each, again[name]) for name, each in first.items())
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_no_more_foreground_is_predicted_than_at_the_start(network, images):
    """A network that is sure of the brightest foreground alone would otherwise learn to predict more of it."""
    with torch.no_grad():
        logits = network(images).movedim(1, -1)[images[:, 0] > 0.5].mean(0)
        network[3].bias[1] += logits[0] - logits[1] - 0.3
        before = float((network(images).argmax(1) == 1).double().mean())
        learnt = copy.deepcopy(network)
        learnt.load_state_dict(self_train(network, images, SelfTraining(steps=40, rate=0.01, confidence=0.7)))
        after = float((learnt(images).argmax(1) == 1).double().mean())
    assert after == pytest.approx(before, abs=0.001)


def test_foreground_that_adaptation_has_hidden_may_come_back(network, images):
    """As where the target has more of it than the source: then the source's statistics show more."""
    source_bank = Bank.of(network)
    with torch.no_grad():
        logits = network(images).movedim(1, -1)[images[:, 0] > 0.5].mean(0)
        network[3].bias[1] += logits[0] - logits[1] - 0.3
        hiding = copy.deepcopy(network)
        hiding[1].running_mean += (
            0.1 * hiding[1].running_var.sqrt() * (network[3].weight[1] - network[3].weight[0]).sign().view(-1)
        )

        def share(own):
            return float((own(images).argmax(1) == 1).double().mean())

        unadapted, start = share(network), share(hiding)
        assert start < unadapted
        learnt = copy.deepcopy(hiding)
        settings = SelfTraining(steps=40, rate=0.01, confidence=0.7)
        learnt.load_state_dict(self_train(hiding, images, settings, source_bank))
    assert start + 0.005 < share(learnt) <= unadapted + 0.001


@pytest.mark.parametrize("settings", [{"steps": 0}, {"decay": 2}, {"confidence": float("nan")}, {"rate": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InputError, match=f"SelfTraining: {next(iter(settings))} is"):
        SelfTraining(**settings)
