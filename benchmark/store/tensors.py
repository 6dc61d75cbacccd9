"""Safetensors files that are filled a few rows at a time, so that memory does not grow with them."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from benchmark.store.files import storage_errors

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class TensorWriter:
    """Writes tensors whose shapes are known beforehand, each from its first row to its last.

    Parameters
    ----------
    path
        The file to make.
    layout
        For each tensor, its type and its shape; rows are counted by the first dimension.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """

    def __init__(self, path: Path, layout: Mapping[str, tuple[torch.dtype, Sequence[int]]]) -> None:
        import torch

        names = {torch.uint8: "U8", torch.bool: "BOOL", torch.int64: "I64", torch.float32: "F32"}
        names[torch.float64] = "F64"
        self._path = path
        self._layout = {name: (dtype, tuple(shape)) for name, (dtype, shape) in layout.items()}
        header, end = {}, 0
        self._next: dict[str, int] = {}
        self._end: dict[str, int] = {}
        # Wide types first, so that each tensor starts at a multiple of its type's size.
        for name in sorted(self._layout, key=lambda n: (-self._layout[n][0].itemsize, n)):
            dtype, shape = self._layout[name]
            start, end = end, end + dtype.itemsize * math.prod(shape)
            header[name] = {"dtype": names[dtype], "shape": shape, "data_offsets": [start, end]}
            self._next[name], self._end[name] = start, end
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with storage_errors(path):
            self._file = path.open("wb")
            self._file.write(len(text).to_bytes(8, "little") + text)
            self._file.flush()
            self._file.truncate(8 + len(text) + end)
        self._data = 8 + len(text)

    def append(self, name: str, rows: Tensor) -> None:
        """Write the next rows of a tensor.

        Raises
        ------
        ValueError
            If they do not fit its layout, or are more than it has.
        StorageError
            If the disk is full.
        """
        import torch

        dtype, shape = self._layout[name]
        content = rows.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data
        if (
            rows.dtype != dtype
            or rows.shape[1:] != shape[1:]
            or self._next[name] + len(content) > self._end[name]
        ):
            raise ValueError(
                f"{name}: expected rows of {dtype} {shape}, got {rows.dtype} {tuple(rows.shape)}"
            )
        with storage_errors(self._path):
            written = 0
            while written < len(content):
                at = self._data + self._next[name] + written
                written += os.pwrite(self._file.fileno(), content[written:], at)
        self._next[name] += len(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        if kind is None and self._next != self._end:
            missing = [name for name in self._next if self._next[name] != self._end[name]]
            raise ValueError(f"{self._path}: rows are missing of {', '.join(missing)}")
