"""Targets with other class proportions than the source, and statistics corrected for the difference."""
