"""What people ask of an evaluation, checked before anything is opened."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch

from benchmark.backbones.device import on_cpu
from benchmark.errors import UsageError
from benchmark.store.files import storage_errors
from methods.names import describe

LARGEST = 4096  # side of the images that a classifier is shown, in pixels


def check_numbers(
    *, budget: float, keep: float, seed: int, batch_size: int | None, fit_images: int | None
) -> None:
    """Refuse numbers that cannot be meant.

    Raises
    ------
    UsageError
        If one is out of its range; says the range.
    """
    if not (budget > 0 and math.isfinite(budget)):
        raise UsageError(f"budget: expected a finite number of forward passes above 0, got {budget}")
    if not 0 < keep <= 1:
        raise UsageError(f"keep: expected a share above 0 and at most 1, such as 0.95, got {keep}")
    if seed < 0:
        raise UsageError(f"seed: expected a whole number from 0, got {seed}")
    for name, value in (("batch_size", batch_size), ("fit_images", fit_images)):
        if value is not None and value < 1:
            raise UsageError(f"{name}: expected at least 1 image, got {value}")


def check_not_given(kind: str, given: Mapping[str, object]) -> None:
    """Refuse what has no meaning for a kind of model, where it is given.

    Parameters
    ----------
    kind : of the model, as `--model` has it.
    given : by the name of a parameter its value; None and False were not given.

    Raises
    ------
    UsageError
        If one was given; names all.
    """
    wrong = [name for name, value in given.items() if value is not None and value is not False]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)}: not for {kind}: models, whose images were shown elsewhere; leave them out"
        )


def check_size(size: int | None) -> None:
    """Refuse a side of images, in pixels, that no classifier takes.

    Raises
    ------
    UsageError
        If it is out of range; says the range.
    """
    if size is not None and not 1 <= size <= LARGEST:
        raise UsageError(f"size: expected 1 to {LARGEST:,} pixels, got {size:,}")


def check_device(device: torch.device | str | None) -> None:
    """Refuse a device that is not there.

    Raises
    ------
    UsageError
        If nothing can be computed there.
    """
    if device is None:
        return
    try:
        on_cpu(torch.zeros(1, device=device))
    except Exception as error:  # each kind of device has its own
        why = (describe(error).splitlines() or [""])[0]
        raise UsageError(f"device: {str(device)!r} cannot be used here: {why:.200}") from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be written, and make none.

    Raises
    ------
    StorageError
        If nothing can be written there.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    with storage_errors(folder), tempfile.TemporaryFile(dir=there):
        pass
