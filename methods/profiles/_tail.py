"""What every profile checks."""

from __future__ import annotations

from collections.abc import Callable

from methods.imbalance import Profile


def tail(profile: Profile, classes: int, largest: int, count: Callable[[int], int]) -> list[int]:
    """Counts of `classes` classes, `count` of each rank from 0.

    Raises
    ------
    ValueError
        If there are fewer than two classes, or one would have no image.
    """
    check_sizes(classes, largest)
    counts = [count(rank) for rank in range(classes)]
    if min(counts) < 1:
        settings = ", ".join(f"{name} = {value}" for name, value in profile.hyperparameters().items())
        raise ValueError(
            f"{profile.name} with {settings}: the class of rank {counts.index(0)} of {classes} would have no "
            f"image where the largest has {largest}; take a milder profile or more images"
        )
    return counts


def check_sizes(classes: int, largest: int) -> None:
    """Raise `ValueError` if there are fewer than two classes, or no images."""
    if classes < 2:
        raise ValueError(f"classes: expected at least 2, got {classes}")
    if largest < 1:
        raise ValueError(f"largest: expected at least 1 image, got {largest}")


def check_share(name: str, value: float) -> None:
    """Raise `ValueError` if `value`, of the smallest class in the largest, is outside (0, 1]."""
    if not 0 < value <= 1:
        raise ValueError(f"{name}: expected a number above 0 and at most 1, got {value}")
