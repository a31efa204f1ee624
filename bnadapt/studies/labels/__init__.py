"""How much a few labelled tiles of the target are worth, and adaptation in labelled tiles."""
