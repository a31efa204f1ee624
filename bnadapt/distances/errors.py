"""What distances refuse."""


class DistanceError(ValueError):
    """Distances that cannot be had; the sentence says why and what to do."""


def check_same_width(source: int, target: int) -> None:
    """Refuse latents of different numbers of channels.

    Raises:
        DistanceError: they differ.
    """
    if source != target:
        raise DistanceError(
            f"The source has {source} channels, the target {target}; compare the same layer of the same network."
        )
