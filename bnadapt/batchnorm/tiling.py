"""Where the tiles of an image lie."""


def tile_starts(side: int, tile_size: int, overlap: int = 0) -> list[int]:
    """First pixels of tiles that cover a side evenly: as few as possible, the first and the last at its ends.

    Args:
        side: of the image in pixels, at least a tile's.
        tile_size: side of a tile in pixels.
        overlap: pixels that neighbouring tiles share at least, less than a tile.

    Examples:
        >>> tile_starts(100, 40)
        [0, 30, 60]
        >>> tile_starts(100, 40, overlap=20)
        [0, 20, 40, 60]
    """
    steps = max(0, -(-(side - tile_size) // (tile_size - overlap)))
    return [round(step * (side - tile_size) / steps) for step in range(steps + 1)] if steps else [0]
