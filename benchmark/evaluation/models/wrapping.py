"""What is inside of a wrapped model, and what its first layer takes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from benchmark.backbones.device import here

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)
PREFIXES = ("module.", "_orig_mod.", "model.")  # that such wrappers give to the names of weights


def bare(model: nn.Module) -> nn.Module:
    """The model inside of DataParallel and of `torch.compile`, however often it was wrapped."""
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


@contextmanager
def uncompiled(model: nn.Module) -> Iterator[None]:
    """Run a model, parts of which may be compiled, as Python has it: hooks are called then."""
    compiled = any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )
    if not compiled:
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def first_type(model: nn.Module) -> torch.dtype:
    """The type of the first parameter of floats; float32 where there is none."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def first_channels(model: nn.Module) -> int | None:
    """How many channels the first convolution takes; None where there is none."""
    return next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), None)


def device_under(model: nn.Module) -> torch.device:
    """Where a model is; where this process computes, if it has no tensors of its own."""
    return next((t.device for tensors in (model.parameters(), model.buffers()) for t in tensors), here())
