"""A device that is none: its tensors have numbers, and meet those of the CPU only where CUDA lets them.

Within `pretended()` tensors can be made on `DEVICE` and taken there and back. They are computed by the CPU's
kernels, so that methods run whole, with values; what mixes devices fails as it would with CUDA. What only an
accelerator's own kernels do (rounding, speed, memory, what they lack) is not seen.

The device is of the type "lazy", which torch knows and has no kernels for unless asked. Tensors that say
"cuda", those of `torch._subclasses.FakeTensorMode` among them, are differentiated only where there is a GPU
(torch 2.14.1 and 2.15.0), and a fake tensor has no numbers to branch on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("lazy", 0)
_ATEN = torch.ops.aten
_MOVES = {_ATEN._to_copy.default, _ATEN.copy_.default, _ATEN._local_scalar_dense.default}
_INDEXES = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}


class There(torch.Tensor):
    """A tensor on `DEVICE`, with its numbers in `here`, a tensor on the CPU."""

    here: torch.Tensor

    @staticmethod
    def __new__(cls, here: torch.Tensor) -> There:
        """Wrap a tensor of the CPU."""
        with torch.inference_mode(mode=False):  # so that views of parameters can be made in it
            made: There = torch.Tensor._make_wrapper_subclass(
                cls,
                here.size(),
                strides=here.stride(),
                storage_offset=here.storage_offset(),
                dtype=here.dtype,
                device=DEVICE,
            )
        made.here = here
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _computed(func, args, kwargs or {})

    # Torch refuses these to subclasses in words of its own.
    def numpy(self, *, force: bool = False) -> Any:
        """Refuse, as a tensor of another device does, unless forced."""
        if not force:
            raise TypeError(f"can't convert {DEVICE} device type tensor to numpy. Use Tensor.cpu() first")
        return self.detach().cpu().numpy()

    def tolist(self) -> Any:
        """Its numbers."""
        return self.cpu().tolist()

    def __format__(self, spec: str) -> str:
        return str(self.cpu().__format__(spec))  # type: ignore[no-untyped-call]


class _Mode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with self:  # in inference mode an operation that is made of others comes whole
            found = func.decompose(*args, **(kwargs or {}))
        return _computed(func, args, kwargs or {}) if found is NotImplemented else found


class _Autocast(torch.autocast):
    """The CPU's, which has no effect on tensors of another device."""

    def __init__(self, device_type: str, *arguments: Any, **options: Any) -> None:
        super().__init__("cpu" if device_type == DEVICE.type else device_type, *arguments, **options)


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Let there be `DEVICE` within the block."""
    plain, lifts = torch.autocast, torch._C._only_lift_cpu_tensors()
    torch.autocast = _Autocast  # type: ignore[misc]
    torch._C._set_only_lift_cpu_tensors(True)  # numbers of Python become tensors on the CPU, and are moved
    try:
        with _Mode():  # type: ignore[no-untyped-call]
            yield DEVICE
    finally:
        torch.autocast = plain  # type: ignore[misc]
        torch._C._set_only_lift_cpu_tensors(lifts)


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    leaves = tree_leaves((args, kwargs))
    there = any(isinstance(leaf, There) for leaf in leaves)
    if there and func not in _MOVES:
        _check_together(func, args, kwargs)
    if kwargs.get("device") is not None:
        there = torch.device(kwargs["device"]).type == DEVICE.type
        kwargs = {**kwargs, "device": "cpu"}
    if there and any(isinstance(leaf, torch.Generator) for leaf in leaves):
        raise RuntimeError(f"{func}: expected a generator of {DEVICE}, got one of the CPU")
    on_cpu = tree_map(lambda leaf: leaf.here if isinstance(leaf, There) else leaf, (args, kwargs))
    found = func(*on_cpu[0], **on_cpu[1])
    if there:
        found = tree_map(lambda leaf: There(leaf) if isinstance(leaf, torch.Tensor) else leaf, found)
        found = return_and_correct_aliasing(func, args, kwargs, found)  # type: ignore[no-untyped-call]
    return found


def _check_together(func: Any, args: Any, kwargs: Any) -> None:
    """Raise `RuntimeError` as CUDA's kernels do for tensors of the CPU among their own.

    They take indices of the CPU, and numbers without dimensions where they go element by element.
    """
    if func in _INDEXES and isinstance(args[0], There):
        args = (args[0], *args[2:])
    lenient = func in _INDEXES or torch.Tag.pointwise in func.tags
    for leaf in tree_leaves((args, kwargs)):
        if isinstance(leaf, torch.Tensor) and not isinstance(leaf, There) and not (lenient and not leaf.ndim):
            raise RuntimeError(
                f"{func}: expected all tensors to be on the same device, found {DEVICE} and {leaf.device}, "
                f"the latter of shape {tuple(leaf.shape)}"
            )
