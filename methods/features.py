"""What a method sees of a network's images: the signals, and the features that carry them."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Any, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from methods.errors import InputError, NotApplicable
from methods.neutral import neutral
from methods.tensors import as_tensor, rounding, why_not_finite, widened


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
    accepted and never modified; tensors stay on their device, but for labels, which join the logits, and may
    carry a gradient; half precision is widened to float32. A detector's `fit` and `score` refuse values that
    are not finite, and drop gradients.

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
    InputError
        A `ValueError`, if a shape does not fit or a label is no class index: the message names the argument.
    """

    rounding: float  # of the coarsest type that the logits and the penultimate features came in, relative
    vetted = False  # whether a detector's `fit` or `score` has checked these and hands them on

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
        self._found: dict[str, tuple[Tensor, ...]] = {}
        for name, value in given.items():
            if value is not None:
                parts = value if name in _BY_STAGE else (value,)
                titles = _titles(name, parts)
                self._found[name] = tuple(as_tensor(t, part) for t, part in zip(titles, parts, strict=True))
        self.rounding = max(
            rounding(part) for n in ("logits", "penultimate") for part in self._found.get(n, ())
        )
        self._found = {name: tuple(map(widened, parts)) for name, parts in self._found.items()}
        self._check_shapes()
        if "labels" in self._found:
            self._found["labels"] = (self.labels.to(self.logits.device),)
            self._check_labels()

    @neutral
    def _check_shapes(self) -> None:
        if self.logits.ndim != 2:
            raise InputError(f"logits: expected shape (N, K), got {tuple(self.logits.shape)}")
        for name, parts in self._found.items():
            for title, part in zip(_titles(name, parts), parts, strict=True):
                if part.ndim != _NDIM[name] or len(part) != len(self):
                    raise InputError(
                        f"{title}: expected {_NDIM[name]} dimension(s) and {len(self)} rows as the logits "
                        f"have, got shape {tuple(part.shape)}"
                    )

    @neutral
    def _check_labels(self) -> None:
        labels, classes = self.labels, self.logits.shape[1]
        if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
            raise InputError(f"labels: expected whole numbers, got type {labels.dtype}")
        if labels.numel() and (int(labels.min()) < 0 or int(labels.max()) >= classes):
            raise InputError(
                f"labels: expected class indices from 0 to {classes - 1}, as the logits have {classes} "
                f"columns, got from {int(labels.min())} to {int(labels.max())}"
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
        made = Features(**{**kept, **more})
        made.rounding = max(made.rounding, self.rounding)
        return made

    def on(self, device: torch.device) -> Features:
        """The same on a device, themselves if they lie there."""
        return self._with({n: tuple(part.to(device) for part in parts) for n, parts in self._found.items()})

    def detached(self) -> Features:
        """The same without gradients; nothing is copied."""
        return self._with(
            {name: tuple(part.detach() for part in parts) for name, parts in self._found.items()}
        )

    def handed_on(self) -> Features:
        """The same, marked as checked: what `fit` and `score` give to a detector's own code."""
        marked = self._with(self._found)
        marked.vetted = True
        return marked

    def widths(self) -> dict[str, tuple[tuple[int, ...], ...]]:
        """What of the shapes is the same for all images of a network, by argument name."""
        return {
            name: tuple(tuple(part.shape[1:2] if name == "maps" else part.shape[1:]) for part in parts)
            for name, parts in self._found.items()
            if name != "labels"
        }

    @neutral
    def why_not_finite(self, names: Collection[str]) -> str:
        """Which of `names` holds NaN or infinite values, how many, and in which row; empty if none does."""
        for name, parts in self._found.items():
            for title, part in zip(_titles(name, parts), parts, strict=True):
                if name in names and (why := why_not_finite(part)):
                    return f"{title}: {why}"
        return ""

    def __len__(self) -> int:
        return len(self.logits)

    def __getitem__(self, rows: slice | Tensor) -> Features:
        return self._with({name: tuple(part[rows] for part in parts) for name, parts in self._found.items()})

    def _with(self, found: Mapping[str, tuple[Tensor, ...]]) -> Self:
        """The same network's features with other tensors, whose labels need no look again."""
        made = copy.copy(self)
        made._found = dict(found)
        made._check_shapes()
        return made


def evenly(labels: Tensor, limit: int, rng: torch.Generator) -> Tensor:
    """Rows of `limit` images drawn from `labels` (N,), ascending: dealt out class by class."""
    labels = labels.cpu()
    shuffled = torch.randperm(len(labels), generator=rng)
    dealt = shuffled[torch.argsort(labels[shuffled], stable=True)]
    sizes = torch.bincount(labels)
    turn = torch.cat([torch.arange(int(size)) for size in sizes])
    return dealt[torch.argsort(turn, stable=True)][:limit].sort().values


def _titles(name: str, parts: Sequence[object]) -> list[str]:
    """What to call each part in an error."""
    return [f"{name}[{i}]" for i in range(len(parts))] if name in _BY_STAGE else [name]
