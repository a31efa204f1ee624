"""Networks take any size, any channels and classes."""

import pytest
import torch
from torch import nn

from bnadapt.batchnorm import batchnorm_layers
from bnadapt.errors import InputError
from bnadapt.networks import UNet, build_network, laid_out, memory_format
from bnadapt.tasks import SegmentationTask


@pytest.mark.parametrize("size", [(1, 1), (16, 16), (33, 50), (250, 17)])
@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (3, 5)])
def test_unet_takes_any_size(size, channels, classes):
    net = build_network("unet", channels, classes, {"base_channels": 2}).eval()
    assert net(torch.randn(2, channels, *size)).shape == (2, classes, *size)


def test_unet_is_the_one_of_the_paper():
    net = UNet()
    layers = batchnorm_layers(net)
    assert len(layers) == 18
    assert [layer.num_features for layer in layers.values()][::2] == [
        64,
        128,
        256,
        512,
        1024,
        512,
        256,
        128,
        64,
    ]
    assert sum(parameter.numel() for parameter in net.parameters()) == pytest.approx(31.0e6, rel=0.01)


def test_padding_does_not_move_the_output():
    net = UNet(base_channels=2).eval()
    image = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(net(image[..., :40, :40])[..., :4, :4], net(image[..., :48, :48])[..., :4, :4])


@pytest.mark.parametrize("architecture", ["unet", "fpn", "deeplabv3plus", "unetplusplus"])
def test_architectures_of_segmentation_models_by_name(architecture):
    net = build_network(f"smp/{architecture}", 1, 3, {"encoder_name": "resnet18"}).eval()
    assert net(torch.randn(1, 1, 50, 70)).shape == (1, 3, 50, 70)


def test_own_network_by_import_path():
    assert isinstance(build_network("bnadapt.networks.unet.UNet", 1, 2, {"base_channels": 2}), UNet)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("nosuch", {}, "not found"),
        ("bnadapt.networks.Nothing", {}, "not found"),
        ("unet", {"depth": 3}, "depth"),
        ("smp/nosuch", {}, "Wrong architecture"),
        ("smp/unet", {"encoder_name": "nosuch"}, "nosuch"),
    ],
)
def test_unknown_names_and_arguments_are_refused(name, arguments, words):
    with pytest.raises(InputError, match=words):
        build_network(name, 1, 2, arguments)


@pytest.mark.parametrize(
    ("layer", "crashes"),
    [
        (nn.Conv2d(8, 16, 1, 2), True),
        (nn.Conv2d(12, 4, (1, 1), (2, 1), padding=1), True),
        (nn.Conv2d(1, 4, 1, stride=3, bias=False), True),
        (nn.Conv2d(16, 16, 1, 2), False),
        (nn.Conv2d(8, 16, 1), False),
        (nn.Conv2d(8, 16, 2, 2), False),
        (nn.ConvTranspose2d(8, 4, 1, 2), False),
    ],
)
def test_channels_come_last_unless_torch_would_crash(layer, crashes):
    """The process dies in the backward pass, so that only the layout is looked at here."""
    network = laid_out(nn.Sequential(nn.Conv2d(2, layer.in_channels, 3), nn.Sequential(layer)), 2)
    assert memory_format(network) is (torch.contiguous_format if crashes else torch.channels_last)


class Shortcut(nn.Module):
    """As in a ResNet of 8 channels."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.stem, self.short = nn.Conv2d(in_channels, 8, 3, padding=1), nn.Conv2d(8, 8, 1, 2)
        self.head = nn.ConvTranspose2d(8, num_classes, 2, 2)
        self.seen = []

    def forward(self, images):
        self.seen.append(images.is_contiguous())
        return self.head(self.shortcut(self.stem(images)))

    def shortcut(self, features):
        return self.short(features)


class ShortcutInCode(Shortcut):
    def shortcut(self, features):
        return nn.functional.conv2d(features, self.short.weight, self.short.bias, stride=2)


class ShortcutInScript(Shortcut):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.short = torch.jit.script(self.short)


class OfLargeImages(Shortcut):
    def forward(self, images):
        assert images.shape[-1] >= 128
        return super().forward(images)


@pytest.mark.parametrize("name", ["Shortcut", "ShortcutInCode", "ShortcutInScript", "OfLargeImages"])
def test_a_network_with_such_a_convolution_is_trained_in_one_piece(name):
    task = SegmentationTask(f"tests.networks.test_networks.{name}", num_classes=3, in_channels=2)
    assert task.network.stem.weight.is_contiguous()
    task.network.seen.clear()
    images = torch.rand(2, 2, 128, 128).contiguous(memory_format=torch.channels_last)
    task.logits({"image": images}).square().sum().backward()
    assert task.network.seen == [True]


def test_other_networks_are_trained_in_channels_last():
    task = SegmentationTask(network_args={"base_channels": 4})
    assert not task.network.encoder[1].conv1.weight.is_contiguous()
    assert task.memory_format is torch.channels_last
