"""Processing of whole volumes section by section, in resumable runs; no volume is held in memory as a whole."""
