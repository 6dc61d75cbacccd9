"""Bounded work: large image sets are cut into shards, each a job of its own, and small ones done together.

A shard is whole batches of a set, the same that the set is run in as one: what is computed of an image does
not depend on whether its set was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sized

# Of the images of one job: some thousand of those that ImageNet's networks see.
PIXELS = 4096 * 224 * 224

Shard = tuple[int, int]  # the first, out of two, is (0, 2)


def shards_of(images: int, size: int) -> list[Shard | None]:
    """The shards of so many images of `size` × `size` pixels; None alone for a set that is not cut."""
    count = -(-images * size * size // PIXELS)
    return [None] if count <= 1 else [(i, count) for i in range(count)]


def share(parts: Mapping[str, Sized], rows: int, shard: Shard | None) -> dict[str, slice]:
    """Which rows of each part belong to a shard; parts of which there are none are left out.

    Parameters
    ----------
    parts : what is cut, in order.
    rows : of a batch.
    """
    if shard is None:
        return {name: slice(0, len(part)) for name, part in parts.items()}
    batches = [(name, start) for name, part in parts.items() for start in range(0, len(part), rows)]
    i, count = shard
    own = batches[len(batches) * i // count : len(batches) * (i + 1) // count]
    found: dict[str, slice] = {}
    for name, start in own:
        first = found[name].start if name in found else start
        found[name] = slice(first, min(start + rows, len(parts[name])))
    return found


def told(shard: Shard | None) -> str:
    """Which shard, for people."""
    return "" if shard is None else f" {shard[0] + 1}/{shard[1]}"


class Bins:
    """Sorts what is done to the images of one network into groups of bounded work."""

    def __init__(self) -> None:
        self._bin = self._pixels = 0
        self._bins: dict[str, int] = {}

    def of(self, images: str, pixels: int) -> int:
        """The group of an image set, by its key; the same whenever it is asked for."""
        if images not in self._bins:
            if self._pixels and self._pixels + pixels > PIXELS:
                self._bin, self._pixels = self._bin + 1, 0
            self._bins[images] = self._bin
            self._pixels += pixels
        return self._bins[images]
