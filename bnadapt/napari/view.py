"""What a viewer shows of a layer, and where its regions lie in other layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes

from bnadapt.napari.results import Region

SEEN = 512  # side in pixels of the middle of a view


@dataclass(frozen=True)
class View:
    """A layer in a viewer, in sections of a plane."""

    viewer: ViewerModel
    layer: Layer
    plane: str = "xy"

    @property
    def section(self) -> int:
        """Number of the section that is shown."""
        if self.layer.ndim == 2:
            return 0
        axis = self._axes[0]
        return int(np.clip(round(self._point[axis]), 0, self.shape[axis] - 1))

    @property
    def region(self) -> Region:
        """The middle of what is shown."""
        *_, rows, columns = self._axes
        layer, limits = self.layer, []
        corners = layer.corner_pixels * (layer.downsample_factors[layer.data_level] if layer.multiscale else 1)
        for axis in (rows, columns):
            first, last = (int(corner[axis]) for corner in corners)
            limits.append((first, last + 1) if last > first else (0, self.shape[axis]))  # all before anything is drawn
        return Region(self.section, *limits).within((self.shape[rows], self.shape[columns]), SEEN)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the layer's axes, without channels."""
        data = self.layer.data
        finest = data[0] if isinstance(self.layer, Image | Labels) and self.layer.multiscale else data
        return tuple(finest.shape[: self.layer.ndim])

    @property
    def placement(self) -> dict[str, Any]:
        """Scale, position and unit of the layer."""
        return {"scale": self.layer.scale, "translate": self.layer.translate, "units": self.layer.units}

    def drawn(self, shapes: Shapes) -> Region | None:
        """The selected rectangle of a layer of shapes, or the last one; None if there is none."""
        if not len(shapes.data):
            return None
        number = max(shapes.selected_data, default=len(shapes.data) - 1)
        corners = np.array([self._in_layer(shapes, corner) for corner in shapes.data[number]])
        *across, rows, columns = self._axes
        least, greatest = np.floor(corners.min(0)).astype(int), np.ceil(corners.max(0)).astype(int)
        limits = [(int(least[axis]), int(greatest[axis])) for axis in (rows, columns)]
        section = self.section
        if across and shapes.ndim == self.layer.ndim:
            section = int(np.clip(round(corners[0, across[0]]), 0, self.shape[across[0]] - 1))
        return Region(section, *limits)

    def go_to(self, region: Region) -> None:
        """Show a region, centred and large."""
        centre = [(first + last - 1) / 2 for first, last in (region.rows, region.columns)]
        world = self.layer.data_to_world(self._place(region.section, centre))
        offset = self.viewer.dims.ndim - self.layer.ndim
        for axis, position in enumerate(world):
            self.viewer.dims.set_point(axis + offset, position)
        self.viewer.camera.center = tuple(world[-3:]) if self.layer.ndim > 2 else (0, *world)
        extent = max(region.size) * float(np.abs(self.layer.scale[-1]))
        self.viewer.camera.zoom = SEEN / max(extent, 1e-9)

    def placed(self, region: Region, pixels: np.ndarray) -> tuple[np.ndarray, dict[str, Any]]:
        """Pixels (h, w) of a region with the axes of the layer, and their placement."""
        if self.layer.ndim > 2:
            across = self._axes[0] - (self.layer.ndim - 3)
            pixels = np.expand_dims(pixels, across)[(None,) * (self.layer.ndim - 3)]
        starts = self._place(region.section, (region.rows[0], region.columns[0]))
        return pixels, {**self.placement, "translate": self.layer.data_to_world(starts)}

    def area(self, region: Region) -> tuple[int | slice, ...]:
        """Index of a region in an array of the layer's axes."""
        index: list[int | slice] = [int(each) for each in self._place(region.section, (0, 0))]
        *_, rows, columns = self._axes
        index[rows], index[columns] = slice(*region.rows), slice(*region.columns)
        return tuple(index)

    def outline(self, region: Region) -> np.ndarray:
        """Corners (4, D) of a region."""
        (top, bottom), (left, right) = region.rows, region.columns
        corners = [(top, left), (top, right - 1), (bottom - 1, right - 1), (bottom - 1, left)]
        return np.array([self._place(region.section, corner) for corner in corners])

    @property
    def _axes(self) -> list[int]:
        """Axes of the layer for sections (if it has any), rows and columns."""
        if self.layer.ndim == 2:
            return [0, 1]
        from bnadapt.data.geometry import in_plane

        return in_plane(self.plane, range(self.layer.ndim - 3, self.layer.ndim))

    @property
    def _point(self) -> np.ndarray:
        """The point that is shown, in coordinates of the layer."""
        return np.array(self.layer.world_to_data(self.viewer.dims.point[-self.layer.ndim :]), float)

    def _place(self, section: int, at: Sequence[float]) -> np.ndarray:
        """Coordinates in the layer of a row and column of a section."""
        place = np.round(self._point) if self.layer.ndim > 2 else np.zeros(2)
        *across, rows, columns = self._axes
        place[rows], place[columns] = at
        if across:
            place[across[0]] = section
        return place

    def _in_layer(self, shapes: Shapes, corner: np.ndarray) -> np.ndarray:
        """A corner of a shape in coordinates of the layer."""
        world = np.array(shapes.data_to_world(corner))
        padded = np.concatenate([np.zeros(max(0, self.layer.ndim - len(world))), world])
        return np.array(self.layer.world_to_data(padded[-self.layer.ndim :]))
