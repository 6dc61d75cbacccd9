"""Images that lie on the disk, of which a batch at a time is read."""

from __future__ import annotations

from torch import Tensor


class Images:
    """uint8 images (N, 3, S, S) of a memory-mapped set, or some of its rows, read when they are asked for."""

    def __init__(self, stored: Tensor, rows: Tensor | None = None) -> None:
        self._stored, self._rows = stored, rows

    def __len__(self) -> int:
        return len(self._stored) if self._rows is None else len(self._rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, 3, S, S)."""
        return len(self), *self._stored.shape[1:]

    def __getitem__(self, which: slice | Tensor) -> Tensor:
        return self._stored[which if self._rows is None else self._rows[which]]

    def part(self, which: slice) -> Images:
        """Some of them, not read yet."""
        if self._rows is None:
            return Images(self._stored[which])
        return Images(self._stored, self._rows[which])
