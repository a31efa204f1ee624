"""Segmentation networks: the U-Net, and those of segmentation-models-pytorch by name."""

from bnadapt.networks.discriminator import MapDiscriminator
from bnadapt.networks.memory_layout import laid_out, memory_format
from bnadapt.networks.registry import build_network, with_background
from bnadapt.networks.smp import SegmentationModel
from bnadapt.networks.unet import InstanceNormUNet, ReconstructionDecoder, UNet

__all__ = [
    "InstanceNormUNet",
    "MapDiscriminator",
    "ReconstructionDecoder",
    "SegmentationModel",
    "UNet",
    "build_network",
    "laid_out",
    "memory_format",
    "with_background",
]
