"""What a method sees of a network's final layer."""

from __future__ import annotations

import copy
from typing import Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor

from methods.errors import InputError, NotApplicable
from methods.tensors import as_tensor, why_not_finite, widened


class Head:
    """The final linear layer: ``logits = penultimate @ weight.T + bias``.

    The parameters of a live layer are taken as they are, without their gradients, on whatever device.

    Parameters
    ----------
    weight
        (K, D).
    bias
        (K,), zeros if absent.

    Raises
    ------
    InputError
        A `ValueError`, if a shape does not fit or a number is not finite: the message names the argument.
    """

    def __init__(self, weight: ArrayLike | Tensor, bias: ArrayLike | Tensor | None = None) -> None:
        self._weight: Tensor | None = widened(as_tensor("weight", weight)).detach()
        if self._weight.ndim != 2:
            raise InputError(f"weight: expected shape (K, D), got {tuple(self._weight.shape)}")
        classes = len(self._weight)
        given = self._weight.new_zeros(classes) if bias is None else widened(as_tensor("bias", bias))
        self._bias = given.detach()
        if self._bias.shape != (classes,):
            raise InputError(f"bias: expected shape ({classes},), got {tuple(self._bias.shape)}")
        for name, part in (("weight", self._weight), ("bias", self._bias)):
            if why := why_not_finite(part):
                raise InputError(f"{name}: {why}")
        self.reason = ""

    @classmethod
    def not_linear(cls, reason: str) -> Self:
        """Stand for a head that is not one linear layer: asking for its weight raises `NotApplicable`."""
        head = cls.__new__(cls)
        head._weight, head.reason = None, reason
        return head

    def on(self, device: torch.device) -> Self:
        """The same on a device."""
        if self._weight is None:
            return self
        twin = copy.copy(self)
        twin._weight, twin._bias = self._weight.to(device), self._bias.to(device)
        return twin

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
