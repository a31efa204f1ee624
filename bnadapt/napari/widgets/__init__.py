"""The dock widget: a thin layer over the functions beside this folder."""
