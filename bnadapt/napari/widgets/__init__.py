"""The dock widget: thin, over the functions beside this folder."""
