"""Splits of a labelled set into ID training, ID validation and ID test samples.

It knows labels and seeds only, neither images nor tracks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.seeds import derive_seed

Indices = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted, disjoint sample indices, int64 arrays (N,), that together cover every sample."""

    train: Indices
    val: Indices
    test: Indices


def balanced_split(
    labels: NDArray[np.int64],
    train_per_class: int | None,
    val_per_class: int,
    track_seed: int,
    seed: int,
    *,
    whole: bool = False,
) -> Split:
    """Divide samples into class-balanced train and val sets and a test set that no `seed` changes.

    `track_seed` draws a pool of ``train_per_class + val_per_class`` samples of each class; the rest is the
    test set, the same for every run of the benchmark, so that runs are compared on the same images. `seed`
    divides the pool into train and val.

    Parameters
    ----------
    labels : int64 array (N,)
        Class of each sample, from 0; any class that occurs is split.
    train_per_class, val_per_class : int
        Samples of each class; at least 1 for train, 0 for val. None trains on all that do not validate, and
        leaves none for testing: `whole` alone has that.
    track_seed, seed : int
        Seed of the pool (a property of the track) and of its division (the benchmark's run).
    whole : bool
        Whether the pool may be the whole set, because the test images come from elsewhere.

    Raises
    ------
    ValueError
        If a count is out of range, a label is negative (unlabelled), or a class has too few samples for
        the pool and at least one test sample.
    """
    if train_per_class is None and not whole:
        raise ValueError("train_per_class: got None, which leaves no test samples; expected a number")
    if train_per_class is not None and train_per_class < 1:
        raise ValueError(f"train_per_class must be at least 1, got {train_per_class}")
    if val_per_class < 0:
        raise ValueError(f"val_per_class must be at least 0, got {val_per_class}")
    if labels.ndim != 1 or labels.size == 0:
        raise ValueError(f"labels must be a non-empty array (N,), got shape {labels.shape}")
    if labels.min() < 0:
        raise ValueError(f"labels must be class indices from 0, got {labels.min()}; drop unlabelled samples")

    fewest = (train_per_class or 1) + val_per_class
    train, val, test = [], [], []
    for label in np.unique(labels).tolist():
        members = np.flatnonzero(labels == label)
        needed = fewest if whole else fewest + 1
        if len(members) < needed:
            test_too = "" if whole else " and 1 for test"
            raise ValueError(
                f"class {label} has {len(members)} samples, needs at least {needed}: {train_per_class or 1} "
                f"for train, {val_per_class} for val{test_too}; lower train_per_class or val_per_class"
            )
        members = _shuffled(members, "pool", track_seed, label)
        in_pool = len(members) if train_per_class is None else fewest
        pool = _shuffled(np.sort(members[:in_pool]), "division", seed, label)
        train.append(pool[: in_pool - val_per_class])
        val.append(pool[in_pool - val_per_class :])
        test.append(members[in_pool:])
    return Split(*(np.sort(np.concatenate(part)) for part in (train, val, test)))


def _shuffled(indices: Indices, purpose: str, seed: int, label: int) -> Indices:
    # A generator for each class: which samples of a class are chosen does not depend on the other classes.
    return np.random.default_rng(derive_seed("split", purpose, seed, label)).permutation(indices)
