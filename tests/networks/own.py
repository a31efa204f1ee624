"""Networks as users write them: what they return, how they are wrapped, what they keep."""

import torch
from torch import nn


class Plain(nn.Module):
    """Convolution, BatchNorm, convolution."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Conv2d(4, num_classes, 1)

    def forward(self, images):
        return self.head(self.body(images))


class ListOutput(Plain):
    def forward(self, images):
        return [super().forward(images)]


class DictOutput(Plain):
    """As of torchvision."""

    def forward(self, images):
        return {"out": super().forward(images)}


class HalfSize(Plain):
    def forward(self, images):
        return super().forward(images)[:, :, ::2, ::2]


class OneClassMore(Plain):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes + 1)


class CompiledPart(Plain):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.body = torch.compile(self.body, backend="eager")


class ParallelPart(Plain):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.body = nn.DataParallel(self.body)


class Lazy(nn.Module):
    """Layers that take their shape from the first batch."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.LazyConv2d(4, 3, padding=1), nn.LazyBatchNorm2d(), nn.ReLU())
        self.head = nn.LazyConv2d(num_classes, 1)

    def forward(self, images):
        return self.head(self.body(images))


class Observed(Plain):
    """Counts its calls and keeps the least value that it saw, also in eval mode."""

    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("least", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        self.least = torch.minimum(self.least, images.min().detach())
        return super().forward(images)


class Frozen(nn.Module):
    """BatchNorm that has no running statistics to re-estimate."""

    def __init__(self, in_channels, num_classes):
        from torchvision.ops import FrozenBatchNorm2d

        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(in_channels, 4, 3, padding=1), FrozenBatchNorm2d(4))
        self.head = nn.Conv2d(4, num_classes, 1)

    def forward(self, images):
        return self.head(self.body(images))


def function(in_channels, num_classes):
    """Not a class."""
    return Plain(in_channels, num_classes)


class NoArguments(Plain):
    def __init__(self):
        super().__init__(1, 2)


class MoreArguments(Plain):
    def __init__(self, width):
        super().__init__(1, 2)
