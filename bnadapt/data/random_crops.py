"""Random augmented crops of sections, to train on."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler

from bnadapt.data.augmentation import AugmentationName, CropAugmentation
from bnadapt.data.prepare import PreparedSection
from bnadapt.errors import InputError


class RandomCrops(Dataset):
    """Random augmented crops: `image` (C, h, w) float32 and, if the sections have masks, `mask` (h, w) int64.

    Item i is a function of seed and i alone, in any process. Indices of `EpochSampler` continue from epoch to epoch, so
    a resumed training sees the same crops as an uninterrupted one.

    Args:
        sections: sections, all with masks or all without.
        crop_size: side of a crop in pixels.
        length: crops per epoch.
        seed: seed of all randomness.
        name: name of the domain.
        classes: meaning of the mask values.
        augmentation: see `bnadapt.data.augmentation`.
        weights: share of the crops by the sections' domain; by default in proportion to their pixels.

    Raises:
        InputError: a section is smaller than a crop.
    """

    def __init__(
        self,
        sections: Sequence[PreparedSection],
        crop_size: int,
        length: int,
        seed: int,
        name: str = "source",
        classes: Sequence[str] = (),
        augmentation: AugmentationName = "flips",
        weights: Mapping[str, float] | None = None,
    ) -> None:
        for section in sections:
            if min(section.size) < crop_size:
                raise InputError(
                    f"{section.name}: {section.size[0]} x {section.size[1]} pixels (after resampling) are smaller than"
                    f" a crop of {crop_size}; set --data.crop_size to {min(section.size)} or less."
                )
        self.sections = sections
        self.length = length
        self.seed = seed
        self.name = name
        self.classes = classes
        self.augment = CropAugmentation(augmentation, crop_size)
        self.shares = _shares(sections, weights or {})

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        generator = np.random.default_rng([self.seed, index])
        section = self.sections[generator.choice(len(self.sections), p=self.shares)]
        window = self._window(section.size, generator)
        image = np.moveaxis(section.image[:, *window], 0, -1)
        mask = None if section.mask is None else section.mask[window]
        image, mask = self.augment(image, mask, int(generator.integers(2**31)))
        item = {"image": torch.from_numpy(np.ascontiguousarray(np.moveaxis(image, -1, 0)))}
        if mask is not None:
            item["mask"] = torch.from_numpy(np.ascontiguousarray(mask)).long()
        return item

    def _window(self, size: tuple[int, int], generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows (h, 1) and columns (w,) of a crop and its margin, mirrored beyond the section's borders."""
        side, margin = self.augment.crop_size, self.augment.margin
        starts = [int(generator.integers(extent - side + 1)) for extent in size]
        rows, columns = (
            np.pad(np.arange(extent), margin, mode="reflect")[start : start + side + 2 * margin]
            for start, extent in zip(starts, size, strict=True)
        )
        return rows[:, np.newaxis], columns


def _shares(sections: Sequence[PreparedSection], weights: Mapping[str, float]) -> np.ndarray:
    """Probability of every section: proportional to its pixels within a domain, and to the domain's weight."""
    areas = np.array([np.prod(section.size) for section in sections], dtype=float)
    names = np.array([section.domain for section in sections])
    for name in weights:
        areas[names == name] *= weights[name] / areas[names == name].sum()
    return areas / areas.sum()


class EpochSampler(DistributedSampler):
    """Indices 0, 1, 2, ... that continue in the next epoch, distributed over all processes.

    Lightning calls `set_epoch`, also after a resume.
    """

    def __init__(self, dataset: Dataset) -> None:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        super().__init__(
            dataset,
            num_replicas=torch.distributed.get_world_size() if distributed else 1,
            rank=torch.distributed.get_rank() if distributed else 0,
            shuffle=False,
        )

    def __iter__(self) -> Iterator[int]:
        return (self.epoch * len(self.dataset) + index for index in super().__iter__())
