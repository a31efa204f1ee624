"""Results as layers of a viewer; nothing here needs a window or torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from napari.components import ViewerModel
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap

from bnadapt.napari.results import Look, ProposedTile, Region
from bnadapt.napari.view import View

KIND, NAME = "bnadapt kind", "bnadapt name"  # metadata of the layers made here
CANDIDATE, DISAGREEMENT, WEIGHTED, CORRECTIONS, TILES, RESULT = (
    "candidate",
    "disagreement",
    "weighted",
    "corrections",
    "tiles",
    "result",
)
COLOURS = (
    "#e69f00",
    "#56b4e9",
    "#00c08b",
    "#f0e442",
    "#ff5c5c",
    "#cc79a7",
    "#b3de69",
    "#ffffff",
    "#8da0cb",
    "#fdb462",
    "#00e5ff",
)


def of_kind(viewer: ViewerModel, kind: str) -> dict[str, Layer]:
    """Layers of a kind made here, by their name among these."""
    return {each.metadata[NAME]: each for each in viewer.layers if each.metadata.get(KIND) == kind}


def set_visible(viewer: ViewerModel, kind: str, visible: bool) -> None:
    """Show or hide all layers of a kind."""
    for layer in of_kind(viewer, kind).values():
        layer.visible = visible


def show_look(view: View, look: Look, visible: Sequence[str]) -> None:
    """Show a region under every candidate as contours, those of `visible` candidates at first, and where they disagree.

    Layers of an earlier look are replaced.
    """
    layers = view.viewer.layers
    for gone in of_kind(view.viewer, CANDIDATE).keys() - look.classes.keys():
        layers.remove(of_kind(view.viewer, CANDIDATE)[gone])
    for number, (name, classes) in enumerate(look.classes.items()):
        data, options = view.placed(look.region, classes)
        if not _updated(view, CANDIDATE, name, data, options):
            options |= {"name": f"{look.titles[name]} ({name})", "visible": name in visible}
            _add_contours(view, data, CANDIDATE, name, colour_of(number), **options)
    data, options = view.placed(look.region, look.disagreement)
    if not _updated(view, DISAGREEMENT, DISAGREEMENT, data, options):
        view.viewer.add_image(
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
    layers.selection.active = view.layer


def show_weighted(view: View, region: Region, classes: np.ndarray) -> None:
    """Show the segmentation of a region at the slider's weight."""
    active = view.viewer.layers.selection.active
    data, options = view.placed(region, classes)
    if not _updated(view, WEIGHTED, WEIGHTED, data, options):
        _add_contours(view, data, WEIGHTED, WEIGHTED, "#ff00ff", name="slider", **options)
    view.viewer.layers.selection.active = active


def show_tiles(view: View, tiles: Sequence[ProposedTile]) -> Labels:
    """Show the tiles to correct: their outlines, and a layer of labels that starts from their predictions."""
    for kind in (CORRECTIONS, TILES):
        for old in of_kind(view.viewer, kind).values():
            view.viewer.layers.remove(old)
    labels = np.zeros(view.shape, np.uint8)  # pages of it take memory once they are painted on
    for tile in tiles:
        labels[view.area(tile.region)] = tile.prediction
    view.viewer.add_shapes(
        [view.outline(tile.region) for tile in tiles],
        shape_type="polygon",
        edge_color="yellow",
        face_color="transparent",
        edge_width=3,
        name="tiles to correct",
        metadata={KIND: TILES, NAME: TILES},
        **view.placement,
    )
    colours = {label: colour_of(label + 2) for label in range(1, 8)}
    made = view.viewer.add_labels(
        labels,
        name="correct here",
        opacity=0.5,
        colormap=DirectLabelColormap(color_dict={None: "#ffffff", 0: "transparent", **colours}),
        metadata={KIND: CORRECTIONS, NAME: CORRECTIONS},
        **view.placement,
    )
    made.selected_label = 1
    return made


def painted(view: View, tiles: Sequence[ProposedTile], ticked: Sequence[str]) -> Mapping[str, np.ndarray | None]:
    """Classes of the tiles that are ticked or painted on, by the name of the file, and None for the others."""
    labels = of_kind(view.viewer, CORRECTIONS).get(CORRECTIONS)
    masks: dict[str, np.ndarray | None] = {}
    for tile in tiles:
        now = tile.prediction if labels is None else labels.data[view.area(tile.region)]
        counts = tile.file in ticked or not np.array_equal(now, tile.prediction)
        masks[tile.file] = np.array(now, np.uint8) if counts else None
    return masks


def show_result(view: View, name: str, labels: Any, region: Region | None = None, features: Any = None) -> Labels:
    """Show a segmentation, or objects, as labels, and hide others.

    Labels are (h, w) of a region, or of the layer's shape. An earlier layer of the name is replaced. `features` is a
    table of the labels, with a column `index`.
    """
    if name in (known := of_kind(view.viewer, RESULT)):
        view.viewer.layers.remove(known[name])
    set_visible(view.viewer, RESULT, False)
    options = view.placement
    if region is not None:
        labels, options = view.placed(region, labels)
    elif labels.ndim > view.layer.ndim:
        labels = labels[0]
    table = {} if features is None else {"features": features}
    metadata = {KIND: RESULT, NAME: name}
    return view.viewer.add_labels(labels, name=name, opacity=0.5, metadata=metadata, **options, **table)


def colour_of(number: int) -> str:
    """The colour of a candidate by its position."""
    return COLOURS[number % len(COLOURS)]


def _add_contours(view: View, data: np.ndarray, kind: str, key: str, colour: str, **options: Any) -> None:
    colours = DirectLabelColormap(color_dict={None: colour, 0: "transparent"})
    metadata = {KIND: kind, NAME: key}
    view.viewer.add_labels(data, colormap=colours, opacity=1.0, metadata=metadata, **options).contour = 2


def _updated(view: View, kind: str, name: str, data: np.ndarray, options: Mapping[str, Any]) -> bool:
    """Give an existing layer other data at another position; False if there is no such layer."""
    if layer := of_kind(view.viewer, kind).get(name):
        layer.data, layer.translate, layer.scale = data, options["translate"], options["scale"]
    return layer is not None
