"""Targets whose class proportions differ from the source's, and statistics that are corrected for it."""
