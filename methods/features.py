"""What a method sees of a network's images: the signals, and the features that carry them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from methods.errors import NotApplicable


class Signal(StrEnum):
    """What one forward pass can collect for a detector."""

    LOGITS = "logits"
    PENULTIMATE = "penultimate"  # the exact input of the final linear layer
    HEAD = "head"  # the final layer itself, which must be one linear layer
    STAGES = "stages"  # each stage's feature map, averaged over its positions
    GRAM = "gram"  # each stage's Gram statistics: `methods.statistics.gram`
    RANK_ONE = "rank_one"  # the last feature map's leading singular component, averaged over its positions
    MAPS = "maps"  # the stages' feature maps themselves: handed over in batches, never cached
    LOG_VARIANCES = "log_variances"  # mean log-variance of each layer that has a variance head
    OUTPUTS = "outputs"  # what an objective's own head gives besides the logits


_NDIM = {
    "logits": 2,
    "penultimate": 2,
    "labels": 1,
    "stages": 2,
    "gram": 3,
    "rank_one": 2,
    "log_variances": 2,
    "outputs": 2,
    "maps": 4,
}
_BY_STAGE = frozenset({"stages", "gram", "maps"})  # a tuple, one tensor a stage
Array = ArrayLike | Tensor


class Features:
    """What one forward pass gave for N images.

    Asking for what was not collected raises `NotApplicable`. Arrays of NumPy and tensors of torch are both
    accepted and never modified.

    Parameters
    ----------
    logits
        (N, K) class logits.
    penultimate
        (N, D) input of the final layer.
    labels
        (N,) class indices in [0, K).
    stages
        For each stage l of the network, (N, C_l): its feature map averaged over all positions.
    gram
        For each stage, (N, Q, C_l): its Gram statistics of powers 1 to Q (`methods.statistics.gram`).
    rank_one
        (N, D): the leading singular component of the last feature map, averaged over all positions.
    log_variances
        (N, L): the mean log-variance of each of L layers, of networks trained with variance heads.
    outputs
        (N, M): what an objective's own head gives besides the logits (`methods.objective.ObjectiveHead`).
    maps
        For each stage, (N, C_l, H_l, W_l): its feature map.

    Raises
    ------
    ValueError
        If a shape does not fit: the message names the argument.
    """

    def __init__(
        self,
        logits: Array,
        penultimate: Array | None = None,
        labels: Array | None = None,
        *,
        stages: Sequence[Array] | None = None,
        gram: Sequence[Array] | None = None,
        rank_one: Array | None = None,
        log_variances: Array | None = None,
        outputs: Array | None = None,
        maps: Sequence[Array] | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "logits": logits,
            "penultimate": penultimate,
            "labels": labels,
            "stages": stages,
            "gram": gram,
            "rank_one": rank_one,
            "log_variances": log_variances,
            "outputs": outputs,
            "maps": maps,
        }
        self._found: dict[str, tuple[Tensor, ...]] = {
            name: tuple(map(torch.as_tensor, value)) if name in _BY_STAGE else (torch.as_tensor(value),)
            for name, value in given.items()
            if value is not None
        }
        if self.logits.ndim != 2:
            raise ValueError(f"logits: expected shape (N, K), got {tuple(self.logits.shape)}")
        for name, parts in self._found.items():
            for i, part in enumerate(parts):
                if part.ndim != _NDIM[name] or len(part) != len(self):
                    raise ValueError(
                        f"{name}{f'[{i}]' if name in _BY_STAGE else ''}: expected {_NDIM[name]} dimension(s) "
                        f"and {len(self)} rows as the logits have, got shape {tuple(part.shape)}"
                    )

    @property
    def logits(self) -> Tensor:
        """(N, K) class logits."""
        return self._found["logits"][0]

    @property
    def penultimate(self) -> Tensor:
        """(N, D) penultimate features."""
        return self._get("penultimate", "penultimate features were")[0]

    @property
    def labels(self) -> Tensor:
        """(N,) class indices."""
        if "labels" not in self._found:
            raise NotApplicable("these images carry no labels")
        return self._found["labels"][0]

    @property
    def stages(self) -> tuple[Tensor, ...]:
        """(N, C_l) pooled features of each stage."""
        return self._get("stages", "features of the network's stages were")

    @property
    def gram(self) -> tuple[Tensor, ...]:
        """(N, Q, C_l) Gram statistics of each stage."""
        return self._get("gram", "Gram statistics of the network's stages were")

    @property
    def rank_one(self) -> Tensor:
        """(N, D) pooled leading singular component of the last feature map."""
        return self._get("rank_one", "the leading component of the last feature map was")[0]

    @property
    def log_variances(self) -> Tensor:
        """(N, L) mean log-variance of each layer."""
        return self._get("log_variances", "the network has no variance heads: log-variances were")[0]

    @property
    def outputs(self) -> Tensor:
        """(N, M) what the objective's own head gives besides the logits."""
        return self._get("outputs", "the network has no head that gives more than logits: outputs were")[0]

    @property
    def maps(self) -> tuple[Tensor, ...]:
        """(N, C_l, H_l, W_l) feature maps of each stage."""
        return self._get("maps", "feature maps of the network's stages were")

    def _get(self, name: str, phrase: str) -> tuple[Tensor, ...]:
        if name not in self._found:
            raise NotApplicable(f"{phrase} not collected for these images")
        return self._found[name]

    def collected(self) -> Mapping[str, tuple[Tensor, ...]]:
        """What there is, by argument name; one tensor, or one for each stage."""
        return dict(self._found)

    def without(self, *names: str) -> Features:
        """Leave out some of what was collected, by argument name; the logits always stay."""
        return self._with({n: p for n, p in self._found.items() if n not in names or n == "logits"})

    def including(self, **more: Any) -> Features:
        """The same, and more of what was collected, by argument name."""
        kept = {n: parts if n in _BY_STAGE else parts[0] for n, parts in self._found.items()}
        return Features(**{**kept, **more})

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, rows: slice | Tensor) -> Features:
        return self._with({name: tuple(part[rows] for part in parts) for name, parts in self._found.items()})

    def _with(self, found: Mapping[str, tuple[Tensor, ...]]) -> Features:
        return Features(**{n: parts if n in _BY_STAGE else parts[0] for n, parts in found.items()})  # type: ignore[arg-type]
