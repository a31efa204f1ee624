"""What a file may say of a network; tests/test_files_of_others.py tries the doors through which files come in."""

import pytest
import torch

from bnadapt.errors import InputError
from bnadapt.networks import build_network
from bnadapt.networks.stored import load_tensors
from bnadapt.networks.trust import accepted, outline


def parameters(network="unet", arguments=None, in_channels=1, num_classes=2):
    return {"network": network, "network_args": arguments, "in_channels": in_channels, "num_classes": num_classes}


@pytest.mark.parametrize(
    ("network", "arguments"),
    [
        ("unet", {"base_channels": 4}),
        ("unet-instance-norm", None),
        ("smp/unet", None),
        ("smp/fpn", {"encoder_name": "tu-test_resnet.r160_in1k"}),
        ("smp/unet", {"encoder_name": "mit_b0"}),
        (
            "smp/unetplusplus",
            {"encoder_name": "timm-mobilenetv3_small_075", "decoder_use_norm": {"type": "layernorm"}},
        ),
        (
            "smp/unet",
            {"encoder_name": "tu-resnet18", "drop_path_rate": 0.1, "aux_params": {"classes": 3, "dropout": 0.1}},
        ),
    ],
)
def test_a_network_that_is_known_here_is_outlined_as_it_is(network, arguments):
    named = accepted(parameters(network, arguments), "a file")
    assert named == parameters(network, arguments)
    built, outlined = build_network(network, 1, 2, arguments or {}).state_dict(), outline(named)
    assert [(name, each.shape) for name, each in outlined.items()] == [
        (name, each.shape) for name, each in built.items()
    ]
    assert sum(each.numel() for each in outlined.values() if not each.is_meta) < 10**4


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (parameters("torch.hub.load"), "names the network torch.hub.load, code that would be imported and run"),
        (parameters("os.system", {"command": "true"}), "name it yourself by --model.network os.system"),
        (parameters(None), "gives classes"),
        (parameters(arguments=["base_channels"]), "gives classes"),
        (parameters(arguments={"base_channels": {"class_path": "os.system"}}), "gives classes"),
        (parameters(arguments={"base_channels": torch.zeros(1)}), "gives classes"),
        (parameters(arguments={"base_channels": 10**9}), "numbers above"),
        (parameters(arguments={"base_channels": [4] * 1000}), "endless lists"),
        (parameters(arguments={"base_channels": [[[[4]]]]}), "endless lists"),
        (parameters(in_channels=10**5), "in_channels 100000; a file may name a number from 1 to"),
        (parameters(in_channels="1"), "in_channels 1; a file may name a number"),
        (parameters(num_classes=10**5), "num_classes 100000"),
        (parameters(num_classes=True), "num_classes True"),
        (
            parameters("smp/unet", {"encoder_name": "tu-hf-hub:someone/model"}),
            "names the encoder tu-hf-hub:someone/model",
        ),
        (parameters("smp/unet", {"encoder_name": "tu-hf_hub:someone/model"}), "names the encoder"),
        (parameters("smp/unet", {"encoder_name": "tu-local-dir:/tmp"}), "names the encoder"),
        (parameters("smp/unet", {"encoder_name": "https://example.org/model"}), "names the encoder"),
        (parameters("smp/unet", {"encoder_name": "tu-resnet18.x/../y"}), "names the encoder"),
        (parameters("smp/unet", {"encoder_name": ["resnet18"]}), "names the encoder"),
        (
            parameters("smp/unet", {"encoder_name": "tu-resnet18", "checkpoint_path": "x"}),
            "the argument checkpoint_path",
        ),
        (parameters("smp/unet", {"encoder_name": "tu-resnet18", "pretrained_cfg": {"url": "x"}}), "pretrained_cfg"),
        (parameters("smp/unet", {"encoder_name": "tu-resnet18", "cache_dir": "/tmp"}), "the argument cache_dir"),
    ],
)
def test_what_a_file_may_not_name_is_refused(named, words):
    with pytest.raises(InputError, match=words):
        accepted(named, "a file")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        (parameters(arguments={"base_channels": 100_000}), r"would have 7\.6e\+13 parameters"),
        (parameters("smp/unet", {"decoder_channels": [9000] * 5}), "parameters; a file may name one"),
        (parameters("smp/segformer", {"encoder_name": "mit_b0", "decoder_segmentation_channels": 10**6}), "would have"),
        (parameters("smp/nosuch"), "cannot be built"),
        (parameters(arguments={"base_channels": "4"}), "cannot be built"),
        (parameters(arguments={"nosuch": 4}), "cannot be built"),
        (parameters("smp/unet", {"encoder_name": "tu-resnet18", "pretrained": True}), "cannot be built"),
    ],
)
def test_what_cannot_be_built_or_is_too_large_takes_no_memory(named, words):
    with pytest.raises(InputError, match=words):
        outline(accepted(named, "a file"))


def test_weights_to_download_are_left_out():
    named = parameters("smp/unet", {"encoder_name": "resnet18", "encoder_weights": "imagenet"})
    assert accepted(named, "a file")["network_args"] == {"encoder_name": "resnet18"}


def test_a_class_that_the_user_names_may_be_named():
    named = parameters("my_package.Net", {"width": 3})
    assert accepted(named, "a file", "my_package.Net") == named
    with pytest.raises(InputError, match="by --network my_package.Net"):
        accepted(named, "a file", "my_package.Other", "--network")
    assert outline(named) is None


def test_tensors_are_no_larger_than_their_file(tmp_path):
    whole = {"part": torch.arange(10.0)[2:5], "turned": torch.arange(6.0).view(2, 3).T, "empty": torch.zeros(0, 3)}
    torch.save(whole, tmp_path / "whole.pt")
    loaded = load_tensors(tmp_path / "whole.pt")
    assert all(torch.equal(loaded[name], each) for name, each in whole.items())
    torch.save([{"large": torch.zeros(1).expand(10**6, 10**6)}], tmp_path / "large.pt")
    with pytest.raises(ValueError, match="larger than the file"):
        load_tensors(tmp_path / "large.pt")
