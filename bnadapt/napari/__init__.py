"""The napari plugin: networks and images, a look at candidates, corrections, segmentation. Behind the extra `napari`.

`napari.yaml` lists what it contributes. Modules that napari imports at its start, or to show a window, do not import
torch; those that `engine` names do, and run in threads. What cannot be done raises a `BnadaptError` for the user.
"""
