"""Images one by one to batches: hashed, counted, broken ones and repeats of other parts left out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from benchmark.errors import DataError
from benchmark.evaluation.images import ImageBatch
from benchmark.evaluation.pictures.decoding import Broken, Decoded
from benchmark.evaluation.pictures.hashes import Codes, exact_of_image, grid_of_image, near_of
from benchmark.evaluation.pictures.tally import Tally
from methods.errors import said

Role = Literal["id_train", "id_val", "id_test", "near", "far"]
Prepare = Callable[[Image.Image], Tensor]


class Read(NamedTuple):
    """An image as it goes into a batch, or the reason why it does not."""

    name: str
    image: Tensor | None
    label: int | None = None  # of the model's classes
    of: str | None = None  # class, as the set calls it
    exact: int = 0
    grid: NDArray[Any] | None = None
    size: tuple[int, int] = (0, 0)
    kinds: tuple[str, ...] = ()
    broken: str = ""


def prepared(name: str, decoded: Decoded, prepare: Prepare) -> Read:
    """A picture as the model takes it, with its hashes.

    Raises
    ------
    Broken
        If it cannot be prepared.
    """
    try:
        image = prepare(decoded.image)
    except Exception as error:  # of somebody else's code
        raise Broken(f"cannot be prepared: {type(error).__name__}: {said(error)}") from error
    if not isinstance(image, Tensor):
        raise Broken(f"cannot be prepared: `prepare` gave {type(image).__name__}, expected a tensor")
    return Read(
        name,
        image,
        exact=exact_of_image(decoded.image),
        grid=grid_of_image(decoded.image),
        size=decoded.image.size,
        kinds=decoded.kinds,
    )


@dataclass
class Disjoint:
    """What the parts of one set have shown so far: an image of two of them is left out of the later."""

    seen: dict[str, Codes] = field(default_factory=dict)

    def of_others(self, role: str) -> Codes:
        """Exact hashes of what other disjoint have, from their last whole pass."""
        others = [codes for part, codes in self.seen.items() if part != role]
        return np.unique(np.concatenate(others)) if others else np.empty(0, dtype=np.uint64)


def gather(
    reads: Iterable[Read], size: int, tally: Tally, title: str, role: Role, disjoint: Disjoint | None = None
) -> Iterator[ImageBatch]:
    """Batches of at most `size` images.

    Raises
    ------
    DataError
        If all images are broken, differ in size once they are prepared, or some have labels and others not.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    others = disjoint.of_others(role) if disjoint else np.empty(0, dtype=np.uint64)
    own: list[Codes] = []
    repeats = 0
    stream = iter(reads)
    labelled: bool | None = None
    shape: tuple[torch.Size, torch.dtype] | None = None
    while chunk := list(islice(stream, size)):
        for read in chunk:
            if read.image is None:
                tally.lost(read.name, read.broken)
        whole = [read for read in chunk if read.image is not None]
        exact = np.array([read.exact for read in whole], dtype=np.uint64)
        fresh = ~np.isin(exact, others)
        repeats += len(whole) - int(fresh.sum())
        kept = [read for read, new in zip(whole, fresh.tolist(), strict=True) if new]
        if not kept:
            continue
        exact = exact[fresh]
        own.append(exact)
        for read in kept:
            tally.saw(read.size, read.kinds, read.of)
            shape = _same_shape(read, shape, title)
            labelled = _same_labelled(read, labelled, title)
        tally.labelled = bool(labelled)
        yield ImageBatch(
            torch.stack([read.image for read in kept if read.image is not None]),
            torch.tensor([read.label for read in kept], dtype=torch.int64) if labelled else None,
            tuple(read.name for read in kept),
            exact,
            near_of(np.stack([read.grid for read in kept if read.grid is not None]), exact),
        )
    if repeats:
        tally.note(
            f"{repeats:,} images are in another part of the ID images too, and were left out of this one"
        )
    if not tally.images:
        raise DataError(_nothing(title, tally, repeats))
    if disjoint is not None:
        disjoint.seen[role] = np.unique(np.concatenate(own))


def _nothing(title: str, tally: Tally, repeats: int) -> str:
    if tally.broken:
        return f"{title}: none of the {tally.broken + repeats:,} images can be used; {tally.reasons()}"
    if repeats:
        return f"{title}: all {repeats:,} images are in another part of the ID images too; expected others"
    return f"{title}: no images, expected some"


def _same_shape(
    read: Read, known: tuple[torch.Size, torch.dtype] | None, title: str
) -> tuple[torch.Size, torch.dtype]:
    assert read.image is not None
    seen = (read.image.shape, read.image.dtype)
    if known not in (None, seen):
        assert known is not None
        raise DataError(
            f"{title}: {read.name} is {seen[1]} {tuple(seen[0])} as the model takes it, and those before are "
            f"{known[1]} {tuple(known[0])}; expected images of one size: resize and crop them"
        )
    return seen


def _same_labelled(read: Read, known: bool | None, title: str) -> bool:
    has = read.label is not None
    if known not in (None, has):
        raise DataError(
            f"{title}: {read.name} has {'a' if has else 'no'} label, and those before have "
            f"{'none' if has else 'one'}; expected labels of all images, or of none"
        )
    return has
