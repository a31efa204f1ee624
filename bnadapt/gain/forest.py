"""Regression trees as tensors: what scikit-learn grows, kept without a pickle and evaluated by torch alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

PARTS = ("feature", "threshold", "left", "right", "value")


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees whose nodes are numbered from their root, 0.

    Attributes:
        feature: (T, N) int64, by which a node splits; -1 in a leaf.
        threshold: (T, N) float32; values up to it go left.
        left: (T, N) int64, child.
        right: (T, N) int64, child.
        value: (T, N) float32, mean of what was learnt there.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor

    @classmethod
    def of(cls, fitted: Any) -> "Forest":
        """The trees of a fitted forest of scikit-learn with a single output."""
        trees = [each.tree_ for each in fitted.estimators_]
        nodes = max(tree.node_count for tree in trees)
        parts = {
            "feature": [tree.feature for tree in trees],
            "threshold": [tree.threshold for tree in trees],
            "left": [tree.children_left for tree in trees],
            "right": [tree.children_right for tree in trees],
            "value": [tree.value[:, 0, 0] for tree in trees],
        }
        kinds = {"threshold": torch.float32, "value": torch.float32}
        filled = {}
        for name, listed in parts.items():
            filled[name] = torch.full((len(trees), nodes), -1, dtype=kinds.get(name, torch.int64))
            for row, values in zip(filled[name], listed, strict=True):
                row[: len(values)] = torch.as_tensor(values).to(row)
        filled["feature"].clamp_(min=-1)
        return cls(**filled)

    def __call__(self, features: Tensor) -> Tensor:
        """Predictions (n, T) of every tree for features (n, F)."""
        rows = features.float()
        trees = torch.arange(len(self.feature))
        node = torch.zeros(len(rows), len(trees), dtype=torch.int64)
        while True:
            split = self.feature[trees, node]
            inside = split >= 0
            if not inside.any():
                return self.value[trees, node]
            goes_left = rows.gather(1, split.clamp(min=0)) <= self.threshold[trees, node]
            child = torch.where(goes_left, self.left[trees, node], self.right[trees, node])
            node = torch.where(inside, child, node)

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors by name, whole numbers as int16."""
        parts = {name: getattr(self, name) for name in PARTS}
        return {name: each.short() if each.dtype == torch.int64 else each for name, each in parts.items()}

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Tensor]) -> "Forest":
        """What `state_dict` gave."""
        return cls(**{name: each if (each := state[name]).is_floating_point() else each.long() for name in PARTS})
