"""The example of the tutorial as sample data."""

from pathlib import Path

from bnadapt.napari.reader import LayerData, layers_of


def target() -> list[LayerData]:
    """The volume that the tutorial segments, and its masks, hidden."""
    folder = example() / "target"
    ((masks, options, kind),) = layers_of(folder / "masks.tif")
    return [*layers_of(folder / "volume.tif"), (masks, {**options, "visible": False}, kind)]


def source() -> list[LayerData]:
    """The labelled images that the tutorial trains on."""
    folder = example() / "source"
    return [*layers_of(folder / "images"), *layers_of(folder / "masks")]


def example() -> Path:
    """The folder of the example in the user's cache folder, created if missing."""
    import pooch

    from bnadapt.data.example_folders import main

    folder = Path(pooch.os_cache("bnadapt")) / "example"
    if not folder.exists():
        main(folder)
    return folder
