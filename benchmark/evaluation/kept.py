"""Features of a set of images of unknown size, kept in files: memory does not grow with the images."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from benchmark.backbones.device import on_cpu
from benchmark.store.files import storage_errors
from methods.features import Features


class Kept:
    """Tensors that grow by rows, each in a file below a folder; read back they are memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._layout: dict[str, tuple[torch.dtype, tuple[int, ...]]] = {}
        self._rows: dict[str, int] = {}
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)

    def append(self, **tensors: Tensor) -> None:
        """Add rows, of the shapes and types that the first had.

        Raises
        ------
        StorageError
            If the disk is full.
        """
        for name, rows in tensors.items():
            layout = rows.dtype, tuple(rows.shape[1:])
            if self._layout.setdefault(name, layout) != layout:
                raise ValueError(f"{name}: expected rows of {self._layout[name]}, got {layout}")
            content = on_cpu(rows.detach()).contiguous().flatten().view(torch.uint8).numpy()
            with storage_errors(self._folder), (self._folder / name).open("ab") as file:
                file.write(content.data)
            self._rows[name] = self._rows.get(name, 0) + len(rows)

    def __contains__(self, name: str) -> bool:
        return name in self._layout

    def __getitem__(self, name: str) -> Tensor:
        dtype, shape = self._layout[name]
        rows = self._rows[name]
        size = rows * math.prod(shape)
        return torch.from_file(str(self._folder / name), shared=False, size=size, dtype=dtype).view(
            rows, *shape
        )

    def append_features(self, features: Features) -> None:
        """Add what was collected, labels included."""
        self.append(
            **{
                f"{name}.{i}": part
                for name, parts in features.collected().items()
                for i, part in enumerate(parts)
            }
        )

    def features(self) -> Features:
        """What was added by `append_features`."""
        parts: dict[str, list[Tensor]] = {}
        for name in sorted(self._layout, key=lambda n: (n.partition(".")[0], int(n.partition(".")[2] or -1))):
            signal, dot, _ = name.partition(".")
            if dot:
                parts.setdefault(signal, []).append(self[name])
        by_stage = ("stages", "gram", "maps")
        return Features(**{n: p if n in by_stage else p[0] for n, p in parts.items()})  # type: ignore[arg-type]
