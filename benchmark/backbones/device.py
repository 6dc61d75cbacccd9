"""Where networks compute: the only module that knows devices.

All other code has images, features and scores on the CPU; what runs a network moves them there and back.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from methods.neutral import neutral

CPU, CUDA = "cpu", "cuda"


@cache
def training_device() -> str:
    """Type of the device that networks are trained on: the accelerator where there is one, else the CPU."""
    return CUDA if torch.cuda.is_available() else CPU


def accelerator() -> str | None:
    """Name of the device that networks are trained on, for the records; None for the CPU."""
    return torch.cuda.get_device_name() if training_device() == CUDA else None


@neutral
def device_of(network: nn.Module) -> torch.device:
    """Where a network is: it lies on one device."""
    return next(network.parameters()).device


@neutral
def move(module: nn.Module, device: torch.device | str) -> None:
    """Take a module to a device, in place."""
    module.to(device)


@neutral
def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device, itself if it lies there; gradients flow back to where it came from."""
    return tensor.to(device)


@neutral
def on_cpu(tensor: Tensor) -> Tensor:
    """Likewise on the CPU."""
    return tensor.cpu()


@contextmanager
def autocast(device: torch.device) -> Iterator[None]:
    """Compute in bfloat16 where that is safe, on an accelerator."""
    with torch.autocast(device.type, torch.bfloat16, enabled=device.type != CPU):
        yield


def autocasts() -> tuple[bool, ...]:
    """Whether autocast is on now, by device."""
    return tuple(torch.is_autocast_enabled(device) for device in (CPU, CUDA))


def random_states(device: torch.device) -> dict[str, Tensor]:
    """States of torch's own generators that a computation on a device may draw from."""
    states = {"rng": torch.get_rng_state()}
    if device.type == CUDA:
        states[f"rng.{CUDA}"] = torch.cuda.get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set them back; `states` may hold other tensors besides."""
    torch.set_rng_state(states["rng"])
    if device.type == CUDA:
        torch.cuda.set_rng_state(states[f"rng.{CUDA}"], device)


def let_accelerators_repeat() -> None:
    """Have their libraries compute the same each time, as torch's deterministic algorithms need it."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
