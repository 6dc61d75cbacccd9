"""Seeing to it that a method leaves the network and the images that it is given as they are.

Detectors that need the network itself share one, and its passes: what one of them changed would change the
scores of the others, and they would be kept under keys that know nothing of it. Attacks share one likewise.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from methods.errors import ChangedInputs
from methods.neutral import neutral


@neutral
class Untouched:
    """Remembers a network as it is now, with a copy of its weights."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._tensors = {name: tensor.detach().clone() for name, tensor in _tensors(network)}
        self._flags = _flags(network)

    @contextmanager
    def by(self, method: str, images: Tensor) -> Iterator[None]:
        """Let a method work with the network, on a batch of images, in the block.

        Raises
        ------
        ChangedInputs
            If the network, or the images, are not as they were; names the method.
        """
        given = images.detach().clone()
        yield
        if not _same(images, given):
            raise ChangedInputs(f"{method}: it changed the images that it was given")
        if changed := self.differences():
            raise ChangedInputs(f"{method}: it changed the network that it was given: {', '.join(changed)}")

    def differences(self) -> list[str]:
        """Some of what is not as it was: tensors by name, or what else decides what modules compute."""
        now = dict(_tensors(self._network))
        changed = [n for n, old in self._tensors.items() if n not in now or not _same(old, now[n])]
        changed += sorted(now.keys() - self._tensors.keys())
        if not changed:
            flags = _flags(self._network)
            changed = sorted(n for n in flags.keys() | self._flags if flags.get(n) != self._flags.get(n))
        return changed[:3]


def _tensors(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from network.named_parameters()
    yield from network.named_buffers()


def _flags(network: nn.Module) -> dict[str, Hashable]:
    """Modes of the modules, their hooks, functions that hide their own, and what autograd is asked for."""
    found: dict[str, Hashable] = {}
    for name, module in network.named_modules():
        own, called = vars(module), name or "the network"
        found[f"training of {called}"] = module.training
        found[f"class of {called}"] = id(type(module))
        found[f"hooks of {called}"] = tuple(
            (key, *value) for key, value in own.items() if key.endswith("_hooks") and value
        )
        found[f"functions of {called}"] = tuple((k, id(v)) for k, v in own.items() if callable(v))
    for name, parameter in network.named_parameters():
        found[f"requires_grad of {name}"] = parameter.requires_grad
        found[f"gradient of {name}"] = parameter.grad is not None
    return found


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal, NaN where the other is NaN."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if torch.equal(one, other):
        return True
    return one.is_floating_point() and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
