"""A network's stages: which of its modules give the maps that detectors of several layers look at.

For timm's networks timm tells. Else a stage ends where the resolution changes:

1. On probe images it is noted what each module gives: maps (N, C, H, W) or (N, H, W, C), tokens (N, T, C).
2. Of all the containers, that one counts whose own children go through the most resolutions: the ResNet
   itself, the ``features`` of a VGG. Where none changes it, that with the most blocks of one class. Of
   several it is the outermost.
3. The last child of each resolution is the end of a stage. Where the resolution stays, the last of each
   number of channels; where that stays too, as in a transformer, the children at quarters of the depth.
4. The last four are taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.errors import UsageError
from methods.names import did_you_mean

MOST = 4
SAME = 1.5  # times as many positions are the same resolution still
PREFIX = 8  # tokens that may stand before the grid: a class token, registers


@dataclass(frozen=True)
class Stage:
    """A module, and how its output is laid out: ``NCHW``, ``NHWC``, ``NTC`` or ``NC``."""

    name: str
    layout: str
    square: bool = True  # whether the images are, and so the grid of tokens

    def map_of(self, output: Any) -> Tensor:
        """The (N, C, H, W) map in what the module gave."""
        given = _tensor_in(output)
        assert given is not None
        if self.layout == "NHWC":
            return given.permute(0, 3, 1, 2)
        if self.layout == "NC":
            return given[:, :, None, None]
        return _grid(given, square=self.square) if self.layout == "NTC" else given


@dataclass(frozen=True)
class _Seen:
    name: str
    kind: type
    composed: bool  # of other modules
    layout: str
    positions: int
    channels: int


def find_stages(model: nn.Module, forward: Callable[[], object], images: Tensor) -> tuple[Stage, ...]:
    """Stages of a network by the rule above; `forward` runs the probe `images` (N, C, H, W) through it."""
    given = _outputs(model, forward)
    seen = [one for name, output in given if (one := _looked_at(name, output, model, len(images)))]
    return tuple(Stage(one.name, one.layout, _is_square(images)) for one in _ends(seen))


def named_stages(
    model: nn.Module, names: Sequence[str], forward: Callable[[], object], images: Tensor
) -> tuple[Stage, ...]:
    """Stages by the names of modules, as `model.named_modules` has them.

    Raises
    ------
    UsageError
        If there is no such module, or what it gives is neither a map, nor tokens, nor a vector.
    """
    modules = dict(model.named_modules())
    for name in names:
        if name not in modules or not name:
            raise UsageError(
                f"--layers: the model has no module {name!r}; {did_you_mean(name, list(modules)[1:])}"
            )
    given = dict(_outputs(model, forward, frozenset(names)))
    found = []
    for name in names:
        tensor = given.get(name)
        layout = "NC" if tensor is not None and tensor.ndim == 2 else _layout(tensor)
        if tensor is None or not layout or len(tensor) != len(images):
            shape = "no tensor in one call of a pass" if tensor is None else f"{tuple(tensor.shape)}"
            raise UsageError(
                f"--layers: module {name!r} gives {shape}; expected one that gives maps (N, C, H, W), tokens "
                f"(N, T, C) or vectors (N, C) of N = {len(images)} images"
            )
        found.append(Stage(name, layout, _is_square(images)))
    return tuple(found)


@contextmanager
def watched(model: nn.Module, stages: Sequence[Stage], note: Callable[[int, Tensor], None]) -> Iterator[None]:
    """Have `note` told of each stage, by number, the map that it gives."""
    with ExitStack() as hooks:
        for i, stage in enumerate(stages):

            def tell(_m: nn.Module, _g: object, output: object, i: int = i, stage: Stage = stage) -> None:
                note(i, stage.map_of(output))

            hooks.callback(model.get_submodule(stage.name).register_forward_hook(tell).remove)
        yield


def _outputs(
    model: nn.Module, forward: Callable[[], object], only: frozenset[str] | None = None
) -> list[tuple[str, Tensor]]:
    """Shapes of what each module gave, as tensors without numbers, in the order in which modules end.

    Of those that are called once in a pass, and of `only` some if that is given.
    """
    order: list[tuple[str, Tensor]] = []
    times: dict[str, int] = {}
    if isinstance(model, torch.jit.ScriptModule):
        return []
    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if not name or (only is not None and name not in only):
                continue

            def note(_m: nn.Module, _g: object, output: object, name: str = name) -> None:
                times[name] = times.get(name, 0) + 1
                if (tensor := _tensor_in(output)) is not None:
                    order.append((name, torch.empty_like(tensor, device="meta")))

            hooks.callback(module.register_forward_hook(note).remove)
        forward()
    return [(name, tensor) for name, tensor in order if times[name] == 1]


def _is_square(images: Tensor) -> bool:
    return images.ndim == 4 and images.shape[2] == images.shape[3]


def _tensor_in(output: object) -> Tensor | None:
    """The tensor that a module gave, of a tuple or a mapping the first."""
    if isinstance(output, Mapping):
        output = tuple(output.values())
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) and output.is_floating_point() else None


def _layout(tensor: Tensor | None) -> str:
    if tensor is None or tensor.ndim not in (3, 4):
        return ""
    if tensor.ndim == 3:
        return "NTC"
    _, a, b, c = tensor.shape
    # Of square maps two sides are the same: in doubt they are the last.
    return "NHWC" if a == b != c else "NCHW"


def _looked_at(name: str, tensor: Tensor, model: nn.Module, images: int) -> _Seen | None:
    """A module's output, if it may be a stage's: no pooling to one position counts."""
    layout = _layout(tensor)
    if not layout or len(tensor) != images:
        return None
    channels = int(tensor.shape[1 if layout == "NCHW" else -1])
    positions = math.prod(tensor.shape[1:]) // max(1, channels)
    if layout == "NTC" and channels == 1:  # tokens (N, C, T) that were pooled
        return None
    module = model.get_submodule(name)
    if positions <= 1 and not any(True for _ in module.parameters()):
        return None
    return _Seen(name, type(module), any(True for _ in module.children()), layout, positions, channels)


def _ends(seen: Sequence[_Seen]) -> Sequence[_Seen]:
    """The ends of the stages; see the module's rule."""
    by_parent: dict[str, list[_Seen]] = {}
    for one in seen:
        by_parent.setdefault(one.name.rpartition(".")[0], []).append(one)
    if not by_parent:
        return ()

    def rank(parent: str) -> tuple[int, int, int, int]:
        inner = by_parent[parent]
        levels, blocks = len(set(_levels(inner))), _alike(inner)
        several = len(blocks) if levels == 1 else 0
        # Blocks are made of layers: those of a transformer go before the projections of its attention.
        composed = several if several > 1 and blocks[0].composed else 0
        return levels, composed, several, -parent.count(".") - bool(parent)

    children = by_parent[max(by_parent, key=rank)]
    for keys in (_levels(children), [one.channels for one in children]):
        if len(set(keys)) > 1:
            return list(dict(zip(keys, children, strict=True)).values())[-MOST:]
    blocks = _alike(children)
    return [blocks[i] for i in quarters(len(blocks))]


def _levels(children: Sequence[_Seen]) -> list[int]:
    """Which resolution each has: numbers of positions that differ by a class token or so are one."""
    base, level, found = 0, -1, dict[int, int]()
    for positions in sorted({one.positions for one in children}):
        if positions > SAME * base:
            base, level = positions, level + 1
        found[positions] = level
    return [found[one.positions] for one in children]


def _alike(children: Sequence[_Seen]) -> list[_Seen]:
    """Those of the most frequent class, as a network's blocks are."""
    [(kind, _)] = Counter(one.kind for one in children).most_common(1)
    return [one for one in children if one.kind == kind]


def quarters(depth: int) -> list[int]:
    """The blocks at the ends of the quarters of a depth, fewer where there are fewer than four."""
    return sorted({max(0, depth * (i + 1) // MOST - 1) for i in range(MOST)}) if depth else []


def _grid(tokens: Tensor, *, square: bool) -> Tensor:
    """(N, T, C) as maps (N, C, H, W): without the fewest leading tokens that leave a square, if any do."""
    count = tokens.shape[1]
    for prefix in range(min(PREFIX, count - 1) + 1) if square else ():
        side = math.isqrt(count - prefix)
        if side * side == count - prefix:
            grid = tokens[:, prefix:].transpose(1, 2)  # (N, C, H W)
            return grid.reshape(*grid.shape[:2], side, side)
    return tokens.transpose(1, 2)[..., None]
