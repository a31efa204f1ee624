"""bnadapt: adapt segmentation networks to new electron-microscopy data by their BatchNorm statistics."""

__version__ = "0.1.0"
