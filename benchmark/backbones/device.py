"""Where networks compute, in which precision and in how much memory: the only module that knows devices.

All other code has images, features and scores on the CPU; what runs a network moves them there and back. A
process computes on one device, which its pool tells it when it starts (`compute_on`); else on the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from benchmark.errors import OutOfMemory, UsageError
from methods.attack import NoGradient
from methods.errors import said
from methods.neutral import neutral
from methods.tensors import BATCH

T = TypeVar("T")
Rows = TypeVar("Rows", Tensor, range)
Rows_co = TypeVar("Rows_co", covariant=True)
AUTO, CPU, CUDA, MPS, XPU = "auto", "cpu", "cuda", "mps", "xpu"
TYPES = (CUDA, MPS, XPU)  # of accelerators
DOUBLE = (CUDA,)  # of those that compute in float64, all of them
BF16 = "bf16"
_TELL = frozenset({CUDA, XPU})  # types whose allocators tell how much they hold
_FULL = "ieee"  # no TF32, which cuDNN would take for convolutions


class Sliced(Protocol[Rows_co]):
    """What gives some rows at a time: a tensor, images that are read, or numbers of rows."""

    def __len__(self) -> int: ...

    def __getitem__(self, which: slice, /) -> Rows_co: ...


@dataclass
class _Process:
    """What this process is told, and what it takes note of."""

    device: torch.device
    least: int | None = None  # images at once, where memory held no more


_PROCESS = _Process(torch.device(CPU))


def accelerators() -> tuple[str, ...]:
    """Every accelerator of this machine, such as ``cuda:0``."""
    found = torch.accelerator.current_accelerator(check_available=True)
    count = 0 if found is None or found.type not in TYPES else torch.accelerator.device_count()
    return tuple(f"{found}:{i}" for i in range(count))


def chosen_devices(asked: str) -> tuple[str, ...]:
    """The accelerators that ``auto``, ``cpu``, a type, or a list such as ``cuda:0,cuda:1`` names.

    Empty for the CPU alone. ``auto`` and a type take all there are.

    Raises
    ------
    UsageError
        If it is none of these, one is not there or named twice, or they are of several types.
    """
    if asked == CPU:
        return ()
    there = accelerators()
    if asked == AUTO:
        return there
    names = asked.split(",")
    found: list[str] = []
    for name in names:
        kind, colon, number = name.partition(":")
        if kind not in TYPES or (colon and not number.isdecimal()):
            raise UsageError(
                f"--device: got {name!r}; expected auto, cpu, one of {', '.join(TYPES)}, or some by number: "
                "cuda:0,cuda:1"
            )
        found += [one for one in there if one == name or (not colon and one.startswith(f"{name}:"))] or [name]
    if len({name.partition(":")[0] for name in found}) > 1:
        raise UsageError(f"--device: {asked} are of several types; expected one type")
    if missing := [name for name in found if name not in there]:
        known = ", ".join(there) or "no accelerator, the CPU alone"
        raise UsageError(f"--device: there is no {missing[0]} here; there is {known}")
    if len(set(found)) < len(found):
        raise UsageError(f"--device: {asked} names one twice; --jobs-per-device has several jobs share it")
    return tuple(found)


def compute_on(name: str) -> None:
    """Have the networks of this process compute on a device from now on, float32 in full precision."""
    _PROCESS.device = torch.device(name)
    torch.backends.cuda.matmul.fp32_precision = _FULL
    torch.backends.cudnn.conv.fp32_precision = _FULL  # type: ignore[attr-defined]
    torch.backends.cudnn.rnn.fp32_precision = _FULL  # type: ignore[attr-defined]
    if _PROCESS.device.type in TYPES:
        torch.accelerator.set_device_index(_PROCESS.device)


@neutral
def here() -> torch.device:
    """Where the networks of this process compute."""
    return _PROCESS.device


@neutral
def arithmetic(size: int) -> torch.device:
    """Where detectors compute that are fitted on so many bytes of features.

    On the device of this process, where it has float64 and room for these widened and for what is made of
    them; else on the CPU.
    """
    device = here()
    if device.type not in DOUBLE:
        return torch.device(CPU)
    module = torch.get_device_module(device)
    module.empty_cache()  # which counts as taken
    return device if 4 * size <= module.mem_get_info(device)[0] else torch.device(CPU)


def accelerator() -> str | None:
    """Type and name of the device of this process, for the records; None for the CPU."""
    device = here()
    if device.type == CPU:
        return None
    module = torch.get_device_module(device)
    name = torch.backends.mps.get_name() if device.type == MPS else module.get_device_name(device)
    return f"{device.type} {name}"


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
    # From pinned memory it is copied while the device computes.
    pinned = device.type == CUDA and tensor.device.type == CPU and not tensor.requires_grad
    return tensor.pin_memory().to(device, non_blocking=True) if pinned else tensor.to(device)


@neutral
def on_cpu(tensor: Tensor) -> Tensor:
    """Likewise on the CPU."""
    return tensor.cpu()


@contextmanager
def autocast(device: torch.device, precision: str | None) -> Iterator[None]:
    """Compute in bfloat16 where that is safe, if the precision is ``bf16``; if it is None, in float32."""
    if precision is None:
        yield
        return
    assert precision == BF16
    with torch.autocast(device.type, torch.bfloat16):
        yield


def autocasts() -> tuple[bool, ...]:
    """Whether autocast is on now, by device."""
    return tuple(torch.is_autocast_enabled(device) for device in (CPU, *TYPES))


def random_states(device: torch.device) -> dict[str, Tensor]:
    """States of torch's own generators that a computation on a device may draw from."""
    states = {"rng": torch.get_rng_state()}
    if device.type in TYPES:
        states[f"rng.{device.type}"] = torch.get_device_module(device).get_rng_state(device)
    return states


def restore_random_states(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Set them back; `states` may hold other tensors besides."""
    torch.set_rng_state(states["rng"])
    if device.type in TYPES:
        torch.get_device_module(device).set_rng_state(states[f"rng.{device.type}"], device)


def let_accelerators_repeat() -> None:
    """Have their libraries compute the same each time, as torch's deterministic algorithms need it."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@neutral
def ahead(items: Iterable[T]) -> Iterator[T]:
    """The same items; on an accelerator the next one is made while it computes with this one."""
    device, making = here(), iter(items)
    if device.type not in TYPES:
        yield from making
        return
    end = object()
    with ThreadPoolExecutor(1, initializer=torch.accelerator.set_device_index, initargs=(device,)) as thread:
        coming = thread.submit(next, making, end)
        while (item := coming.result()) is not end:
            coming = thread.submit(next, making, end)
            yield item  # type: ignore[misc]  # it is no `end`


def batches(images: Sliced[Rows], size: int = BATCH) -> Iterator[Rows]:
    """Some rows at a time, in order, each cut when it is asked for; one of none where there are none."""
    for start in range(0, max(len(images), 1), size):
        yield images[start : start + size]


def in_batches(work: Callable[[Rows], T], given: Iterable[Rows]) -> Iterator[T]:
    """What `work` makes of each batch, in order; of half a batch from where memory ran out.

    Raises
    ------
    OutOfMemory
        If not even one row fits.
    """
    size: int | None = None
    for batch in ahead(given):
        start = 0
        while start < max(len(batch), 1):
            asked = min(size or len(batch), len(batch) - start)
            found, done = _halving(partial(_some, work, batch, start), asked)
            yield found
            start += max(done, 1)
            if done < asked:
                size = done


def _some(work: Callable[[Rows], T], batch: Rows, start: int, count: int) -> T:
    return work(batch[start : start + count])


def in_pieces(
    work: Callable[[Callable[[Tensor], Tensor]], T], network: Callable[[Tensor], Tensor], rows: int
) -> T:
    """What `work`, such as an attack, comes to with a network of whose output row i is of image i alone.

    Where memory runs out it is done again, with a network that computes half of the `rows` of its batch at a
    time: random numbers, which are drawn for a whole batch, stay what they are.

    Raises
    ------
    OutOfMemory
        If not even one row fits.
    """

    def within(size: int) -> T:
        def pieces(images: Tensor) -> Tensor:
            found: Tensor = _Pieces.apply(images, network, size)
            return found

        return work(network if size == rows else pieces)

    return _halving(within, rows)[0]


class _Pieces(torch.autograd.Function):
    """A network that computes a few rows at a time, and once more for their gradient: no graph is kept."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, network: Callable[[Tensor], Tensor], size: int) -> Tensor:
        ctx.save_for_backward(images)
        ctx.network, ctx.size = network, size
        return torch.cat([network(part) for part in torch.split(images, size)])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        (images,), (slope,) = ctx.saved_tensors, slopes
        found: list[Tensor] = []
        for part, own in zip(torch.split(images, ctx.size), torch.split(slope, ctx.size), strict=True):
            with torch.enable_grad():
                x = part.detach().requires_grad_()
                made = ctx.network(x)
                if not made.requires_grad:
                    raise NoGradient("the output does not depend differentiably on the image")
                found += torch.autograd.grad(made, x, own)
        return torch.cat(found), None, None


@neutral
def ran_out(error: BaseException) -> bool:
    """Whether an error says that there is no memory left, of a device or of the machine."""
    said_so = ("DefaultCPUAllocator: can't allocate", "MPS backend out of memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in said_so)
    )


@neutral
def _halving(work: Callable[[int], T], size: int) -> tuple[T, int]:
    """What `work` comes to with a size, or with half of it as often as memory runs out; and which it was."""
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if size <= 1:
                reason = said(error).splitlines()[0] if said(error) else type(error).__name__
                raise OutOfMemory(f"out of memory at batch size 1: {reason}") from error
        # Not before the error is gone: it holds on to all that was computed.
        size //= 2
        _PROCESS.least = min(size, _PROCESS.least or size)
        if here().type in TYPES:
            torch.get_device_module(here()).empty_cache()


@contextmanager
def accounted() -> Iterator[dict[str, float]]:
    """What a block takes, filled in at its end.

    ``peak_device_memory_mb`` where there is an accelerator that tells, and ``least_batch``, how many images
    were computed at once in the end, where memory held no more.
    """
    device, found = here(), dict[str, float]()
    tells = device.type in _TELL
    _PROCESS.least = None
    if tells:
        torch.accelerator.reset_peak_memory_stats(device)
    yield found
    if tells:
        found["peak_device_memory_mb"] = torch.accelerator.max_memory_allocated(device) / 2**20
    if _PROCESS.least is not None:
        found["least_batch"] = _PROCESS.least
