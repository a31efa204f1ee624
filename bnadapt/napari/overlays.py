"""Results as layers of a viewer, and positions in layers as regions; nothing here needs a window or torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer, Shapes
from napari.utils.colormaps import DirectLabelColormap

from bnadapt.napari.inputs import Look, ProposedTile, Region

KIND, NAME = "bnadapt kind", "bnadapt name"  # metadata of the layers made here
CANDIDATE, DISAGREEMENT, WEIGHTED, CORRECTIONS, TILES, RESULT = (
    "candidate",
    "disagreement",
    "weighted",
    "corrections",
    "tiles",
    "result",
)
COLOURS = ("#e69f00", "#56b4e9", "#00c08b", "#f0e442", "#ff5c5c", "#cc79a7", "#b3de69", "#ffffff", "#8da0cb", "#fdb462")
SEEN = 512  # side in pixels of the middle of a view


def of_kind(viewer: ViewerModel, kind: str) -> dict[str, Layer]:
    """Layers of a kind made here, by their name among these."""
    return {each.metadata[NAME]: each for each in viewer.layers if each.metadata.get(KIND) == kind}


def set_visible(viewer: ViewerModel, kind: str, visible: bool) -> None:
    """Show or hide all layers of a kind."""
    for layer in of_kind(viewer, kind).values():
        layer.visible = visible


def section_shown(viewer: ViewerModel, layer: Layer, plane: str) -> int:
    """Number of the section of a layer that a viewer shows."""
    if layer.ndim == 2:
        return 0
    axis = _axes(layer, plane)[0]
    place = layer.world_to_data(viewer.dims.point[-layer.ndim :])[axis]
    return int(np.clip(round(place), 0, _shape(layer)[axis] - 1))


def view_region(viewer: ViewerModel, layer: Layer, plane: str) -> Region:
    """The middle of what a viewer shows of a layer."""
    *_, rows, columns = _axes(layer, plane)
    shape = _shape(layer)
    limits = []
    corners = layer.corner_pixels * (layer.downsample_factors[layer.data_level] if layer.multiscale else 1)
    for axis in (rows, columns):
        first, last = (int(corner[axis]) for corner in corners)
        limits.append((first, last + 1) if last > first else (0, shape[axis]))  # all before anything is drawn
    whole = Region(section_shown(viewer, layer, plane), *limits)
    return whole.within((shape[rows], shape[columns]), SEEN)


def drawn_region(viewer: ViewerModel, layer: Layer, shapes: Shapes, plane: str) -> Region | None:
    """The selected rectangle of a layer of shapes, or the last one; None if there is none."""
    if not len(shapes.data):
        return None
    number = max(shapes.selected_data, default=len(shapes.data) - 1)
    corners = np.array([_in_layer(layer, shapes, corner) for corner in shapes.data[number]])
    *across, rows, columns = _axes(layer, plane)
    limits = [(int(np.floor(corners[:, axis].min())), int(np.ceil(corners[:, axis].max()))) for axis in (rows, columns)]
    section = section_shown(viewer, layer, plane)
    if across and shapes.ndim == layer.ndim:
        section = int(np.clip(round(corners[0, across[0]]), 0, _shape(layer)[across[0]] - 1))
    return Region(section, *limits)


def show_look(viewer: ViewerModel, layer: Layer, look: Look, plane: str, visible: Sequence[str]) -> None:
    """Show a region under every candidate as contours, those of `visible` candidates at first, and where they disagree.

    Layers of an earlier look are replaced.
    """
    names = list(look.classes)
    for gone in of_kind(viewer, CANDIDATE).keys() - set(names):
        viewer.layers.remove(of_kind(viewer, CANDIDATE)[gone])
    for name, classes in look.classes.items():
        title = f"{look.titles[name]} ({name})"
        _contours(
            viewer,
            layer,
            look.region,
            plane,
            classes,
            CANDIDATE,
            name,
            title,
            colour_of(names.index(name)),
            name in visible,
        )
    _picture(viewer, layer, look, plane)
    viewer.layers.selection.active = layer


def show_weighted(viewer: ViewerModel, layer: Layer, region: Region, plane: str, classes: np.ndarray) -> None:
    """Show the segmentation of a region at the slider's weight."""
    active = viewer.layers.selection.active
    _contours(viewer, layer, region, plane, classes, WEIGHTED, WEIGHTED, "slider", "#ff00ff", True)
    viewer.layers.selection.active = active


def show_tiles(viewer: ViewerModel, layer: Layer, tiles: Sequence[ProposedTile], plane: str) -> Labels:
    """Show the tiles to correct: their outlines, and a layer of labels that starts from their predictions."""
    for kind in (CORRECTIONS, TILES):
        for old in of_kind(viewer, kind).values():
            viewer.layers.remove(old)
    labels = np.zeros(_shape(layer), np.uint8)  # pages of it take memory once they are painted on
    for tile in tiles:
        labels[_area(viewer, layer, tile.region, plane)] = tile.prediction
    outlines = [_outline(viewer, layer, tile.region, plane) for tile in tiles]
    options = _like(layer)
    viewer.add_shapes(
        outlines,
        shape_type="polygon",
        edge_color="yellow",
        face_color="transparent",
        edge_width=3,
        name="tiles to correct",
        metadata={KIND: TILES, NAME: TILES},
        **options,
    )
    colours = {label: colour_of(label + 2) for label in range(1, 8)}
    made = viewer.add_labels(
        labels,
        name="correct here",
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: "#ffffff", 0: "transparent", **colours}),
        metadata={KIND: CORRECTIONS, NAME: CORRECTIONS},
        **options,
    )
    made.selected_label = 1
    return made


def painted(
    viewer: ViewerModel, layer: Layer, tiles: Sequence[ProposedTile], plane: str, ticked: Sequence[str]
) -> Mapping[str, np.ndarray | None]:
    """Classes of the tiles that are ticked or painted on, by the name of the file, and None for the others."""
    labels = of_kind(viewer, CORRECTIONS).get(CORRECTIONS)
    masks: dict[str, np.ndarray | None] = {}
    for tile in tiles:
        now = tile.prediction if labels is None else labels.data[_area(viewer, layer, tile.region, plane)]
        counts = tile.file in ticked or not np.array_equal(now, tile.prediction)
        masks[tile.file] = np.array(now, np.uint8) if counts else None
    return masks


def show_result(
    viewer: ViewerModel,
    layer: Layer,
    name: str,
    labels: Any,
    region: Region | None = None,
    plane: str = "xy",
    features: Any = None,
) -> Labels:
    """Show a segmentation, or objects, as labels, and hide others.

    Labels are (h, w) of a region, or of the layer's shape. An earlier layer of the name is replaced. `features` is a
    table of the labels, with a column `index`.
    """
    if name in (known := of_kind(viewer, RESULT)):
        viewer.layers.remove(known[name])
    set_visible(viewer, RESULT, False)
    options = _like(layer)
    if region is not None:
        labels, options = _placed(viewer, layer, region, plane, labels)
    elif labels.ndim > layer.ndim:
        labels = labels[0]
    table = {} if features is None else {"features": features}
    return viewer.add_labels(labels, name=name, opacity=0.5, metadata={KIND: RESULT, NAME: name}, **options, **table)


def go_to(viewer: ViewerModel, layer: Layer, region: Region, plane: str) -> None:
    """Show a region, centred and large."""
    centre = [(first + last - 1) / 2 for first, last in (region.rows, region.columns)]
    world = layer.data_to_world(_place(viewer, layer, region.section, centre, plane))
    offset = viewer.dims.ndim - layer.ndim
    for axis, position in enumerate(world):
        viewer.dims.set_point(axis + offset, position)
    viewer.camera.center = tuple(world[-3:]) if layer.ndim > 2 else (0, *world)
    extent = max(region.size) * float(np.abs(layer.scale[-1]))
    viewer.camera.zoom = SEEN / max(extent, 1e-9)


def colour_of(number: int) -> str:
    """The colour of a candidate by its position."""
    return COLOURS[number % len(COLOURS)]


def _contours(
    viewer: ViewerModel,
    layer: Layer,
    region: Region,
    plane: str,
    classes: np.ndarray,
    kind: str,
    name: str,
    title: str,
    colour: str,
    visible: bool,
) -> None:
    data, options = _placed(viewer, layer, region, plane, classes)
    if _updated(viewer, kind, name, data, options):
        return
    colours = DirectLabelColormap(color_dict={None: colour, 0: "transparent"})
    metadata = {KIND: kind, NAME: name}
    made = viewer.add_labels(
        data, name=title, colormap=colours, opacity=1.0, visible=visible, metadata=metadata, **options
    )
    made.contour = 2


def _updated(viewer: ViewerModel, kind: str, name: str, data: np.ndarray, options: dict[str, Any]) -> bool:
    """Give an existing layer other data at another position; False if there is no such layer."""
    if layer := of_kind(viewer, kind).get(name):
        layer.data, layer.translate, layer.scale = data, options["translate"], options["scale"]
    return layer is not None


def _picture(viewer: ViewerModel, layer: Layer, look: Look, plane: str) -> None:
    """Where candidates disagree."""
    data, options = _placed(viewer, layer, look.region, plane, look.disagreement)
    if _updated(viewer, DISAGREEMENT, DISAGREEMENT, data, options):
        return
    viewer.add_image(
        data,
        name="where they disagree",
        colormap="magma",
        blending="additive",
        contrast_limits=(0, 0.5),
        opacity=0.7,
        visible=False,
        metadata={KIND: DISAGREEMENT, NAME: DISAGREEMENT},
        **options,
    )


def _placed(
    viewer: ViewerModel, layer: Layer, region: Region, plane: str, pixels: np.ndarray
) -> tuple[np.ndarray, dict[str, Any]]:
    """Pixels (h, w) of a region with the axes of a layer, and their placement."""
    if layer.ndim > 2:
        across = _axes(layer, plane)[0] - (layer.ndim - 3)
        pixels = np.expand_dims(pixels, across)
        pixels = pixels[(None,) * (layer.ndim - 3)]
    starts = _place(viewer, layer, region.section, (region.rows[0], region.columns[0]), plane)
    return pixels, {**_like(layer), "translate": layer.data_to_world(starts)}


def _place(viewer: ViewerModel, layer: Layer, section: int, at: Sequence[float], plane: str) -> np.ndarray:
    """Coordinates in a layer of a row and column of a section."""
    place = np.round(layer.world_to_data(viewer.dims.point[-layer.ndim :])) if layer.ndim > 2 else np.zeros(2)
    *across, rows, columns = _axes(layer, plane)
    place = np.array(place, float)
    place[rows], place[columns] = at
    if across:
        place[across[0]] = section
    return place


def _area(viewer: ViewerModel, layer: Layer, region: Region, plane: str) -> tuple[int | slice, ...]:
    """Index of a region in an array of a layer's axes."""
    index: list[int | slice] = [int(each) for each in _place(viewer, layer, region.section, (0, 0), plane)]
    *_, rows, columns = _axes(layer, plane)
    index[rows], index[columns] = slice(*region.rows), slice(*region.columns)
    return tuple(index)


def _outline(viewer: ViewerModel, layer: Layer, region: Region, plane: str) -> np.ndarray:
    """Corners (4, D) of a region."""
    (top, bottom), (left, right) = region.rows, region.columns
    corners = [(top, left), (top, right - 1), (bottom - 1, right - 1), (bottom - 1, left)]
    return np.array([_place(viewer, layer, region.section, corner, plane) for corner in corners])


def _axes(layer: Layer, plane: str) -> list[int]:
    """Axes of a layer for sections (if it has any), rows and columns."""
    if layer.ndim == 2:
        return [0, 1]
    from bnadapt.data.geometry import in_plane

    return in_plane(plane, range(layer.ndim - 3, layer.ndim))


def _in_layer(layer: Layer, shapes: Shapes, corner: np.ndarray) -> np.ndarray:
    """A corner of a shape in coordinates of a layer."""
    world = np.array(shapes.data_to_world(corner))
    padded = np.concatenate([np.zeros(max(0, layer.ndim - len(world))), world])
    return np.array(layer.world_to_data(padded[-layer.ndim :]))


def _like(layer: Layer) -> dict[str, Any]:
    """Scale, position and unit of a layer."""
    return {"scale": layer.scale, "translate": layer.translate, "units": layer.units}


def _shape(layer: Layer) -> tuple[int, ...]:
    """Extents of a layer's axes, without channels."""
    data = layer.data[0] if isinstance(layer, Image | Labels) and layer.multiscale else layer.data
    return tuple(data.shape[: layer.ndim])
