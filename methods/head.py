"""What a method sees of a network's final layer."""

from __future__ import annotations

from typing import Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from methods.errors import NotApplicable


class Head:
    """The final linear layer: ``logits = penultimate @ weight.T + bias``.

    Parameters
    ----------
    weight
        (K, D).
    bias
        (K,), zeros if absent.
    """

    def __init__(self, weight: ArrayLike | Tensor, bias: ArrayLike | Tensor | None = None) -> None:
        self._weight: Tensor | None = torch.as_tensor(weight)
        if self._weight.ndim != 2:
            raise ValueError(f"weight: expected shape (K, D), got {tuple(self._weight.shape)}")
        classes = len(self._weight)
        self._bias = self._weight.new_zeros(classes) if bias is None else torch.as_tensor(bias)
        if self._bias.shape != (classes,):
            raise ValueError(f"bias: expected shape ({classes},), got {tuple(self._bias.shape)}")
        self.reason = ""

    @classmethod
    def not_linear(cls, reason: str) -> Self:
        """Stand for a head that is not one linear layer: asking for its weight raises `NotApplicable`."""
        head = cls.__new__(cls)
        head._weight, head.reason = None, reason
        return head

    @property
    def is_linear(self) -> bool:
        """Whether there is a weight to ask for."""
        return self._weight is not None

    @property
    def weight(self) -> Tensor:
        """(K, D) weight of the final layer."""
        if self._weight is None:
            raise NotApplicable(self.reason)
        return self._weight

    @property
    def bias(self) -> Tensor:
        """(K,) bias of the final layer."""
        self.weight  # noqa: B018 - raises where there is no linear head
        return self._bias
