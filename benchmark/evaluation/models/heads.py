"""Finding a network's final linear layer, by what it computes and not by what it is called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmark.backbones.device import on_cpu
from benchmark.backbones.network import HEAD_TOLERANCE
from methods.head import Head

SCRIPTED = "of the layers of a scripted model nothing is seen; give the model that it was made from"
Take = Callable[[Tensor], Tensor]  # the input of a layer → (N, D)


def _itself(given: Tensor) -> Tensor:
    return given


def _averaged(given: Tensor) -> Tensor:
    return given.flatten(1, -2).mean(dim=1)  # of tokens (N, ..., D): what is linear commutes with the mean


def _first(given: Tensor) -> Tensor:
    return given[:, 0]


def _positions(given: Tensor) -> Tensor:
    return given.mean(dim=(2, 3))


@dataclass(frozen=True)
class FinalLayer:
    """The layer whose output is the logits.

    Attributes
    ----------
    call
        Which of its calls in one forward pass, from 0.
    take
        From its input to the penultimate features (N, D).
    pooling
        What `take` does, in words; empty if nothing.
    """

    name: str
    layer: nn.Linear | nn.Conv2d
    call: int
    take: Take
    pooling: str

    def read(self) -> Head:
        """Its weight (K, D) and bias (K,), in float32 on the CPU."""
        weight, bias = _parameters(self.layer)
        return Head(on_cpu(weight).float(), None if bias is None else on_cpu(bias).float())


def tolerance_of(dtype: torch.dtype) -> float:
    """By how much logits may differ from those computed by hand, relative to the largest."""
    return max(HEAD_TOLERANCE, 4 * torch.finfo(dtype).eps)


def find_final_layer(model: nn.Module, forward: Callable[[], Tensor], logits: Tensor) -> FinalLayer | str:
    """Find the linear layer, or convolution of 1×1, whose output is the logits.

    A layer is it if ``h W' + b`` is the logits, to `tolerance_of` their type, for an h that is its input, or
    of tokens or a map the average or the first of them. Of several it is the last.

    Parameters
    ----------
    forward
        Runs a few probe images through the model.
    logits
        (N, K), what that gives.

    Returns
    -------
    FinalLayer
        Or why there is none.
    """
    classes = logits.shape[1]
    if isinstance(model, torch.jit.ScriptModule):
        return SCRIPTED
    layers = {
        name: module
        for name, module in model.named_modules()
        if (isinstance(module, nn.Linear) and module.out_features == classes)
        or (isinstance(module, nn.Conv2d) and module.out_channels == classes and _is_pointwise(module))
    }
    if not layers:
        return f"the model has no linear layer with {classes} outputs, as many as there are logits"
    seen: list[tuple[str, int, Tensor]] = []
    with ExitStack() as hooks:
        for name, layer in layers.items():
            calls: list[int] = []

            def note(
                _layer: nn.Module,
                given: tuple[Tensor, ...],
                _: object,
                name: str = name,
                calls: list[int] = calls,
            ) -> None:
                if given:
                    seen.append((name, len(calls), given[0].detach()))
                calls.append(1)

            hooks.callback(layer.register_forward_hook(note).remove)
        forward()
    limit = tolerance_of(logits.dtype) * float(logits.abs().max())
    gaps = []
    for name, call, given in reversed(seen):
        layer = layers[name]
        weight, bias = _parameters(layer)
        for pooling, take in _ways(layer, given):
            h = take(given)
            if h.shape != (len(logits), weight.shape[1]):
                continue
            by_hand = functional.linear(h.float(), weight.float(), None if bias is None else bias.float())
            gap = float((logits.float() - by_hand).abs().max())
            if gap <= limit:
                return FinalLayer(name, layer, call, take, pooling)
            gaps.append((gap, name))
    return _why_none(model, layers, gaps)


def _why_none(model: nn.Module, layers: Mapping[str, nn.Module], gaps: list[tuple[float, str]]) -> str:
    ends = [module for module in model.modules() if not any(True for _ in module.children())]
    end = type(ends[-1]).__name__ if ends else type(model).__name__
    if not gaps:
        return f"no output of a linear layer ({', '.join(layers)}) is the logits; the last module is {end}"
    gap, name = min(gaps)
    return (
        f"the logits are not the output of a linear layer: those of {name or 'the model'} differ by "
        f"{gap:.2g}; the last module is {end}"
    )


def _is_pointwise(layer: nn.Conv2d) -> bool:
    return layer.kernel_size == (1, 1) and layer.groups == 1 and layer.padding in ((0, 0), "valid")


def _parameters(layer: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight (K, D) and bias (K,): of the parameters, as a subclass may do what it likes."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    return layer.weight.detach().flatten(1), None if layer.bias is None else layer.bias.detach()


def _ways(layer: nn.Module, given: Tensor) -> Iterator[tuple[str, Take]]:
    """In which ways the logits may come of the input of a layer."""
    if isinstance(layer, nn.Conv2d):
        yield "averaged over positions", _positions
    elif given.ndim == 2:
        yield "", _itself
    elif given.ndim > 2:
        yield "averaged over tokens", _averaged
        yield "of the first token", _first
