"""What a classifier's forward gave: its logits, in whatever they came."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from benchmark.backbones.device import ran_out
from benchmark.errors import DataError, OodbenchError
from methods.errors import MethodError, printable, said
from methods.tensors import not_finite

T = TypeVar("T")
NAMED = 10  # rows that an error names
LOGITS = "logits"
_WRAP = "wrap the model so that its forward returns the logits alone"


class NotFinite(DataError):  # noqa: N818
    """Logits are NaN or infinite, of the images in `rows` of the batch."""

    def __init__(self, title: str, rows: tuple[int, ...], images: int) -> None:
        named = ", ".join(map(str, rows[:NAMED])) + (", …" if len(rows) > NAMED else "")
        super().__init__(
            f"{title}: the logits of {len(rows)} of {images} images are NaN or infinite: row "
            f"{named} of the batch, counted from 0; expected finite numbers: look at these images, at the "
            "preprocessing and at the weights"
        )
        self.rows, self.images = rows, images


@contextmanager
def naming(title: str, names: Sequence[str]) -> Iterator[None]:
    """Name images by their names where the logits of some are NaN or infinite, and not by rows."""
    try:
        yield
    except NotFinite as error:
        bad = [names[row] for row in error.rows]
        first = printable(", ".join(bad[:NAMED])) + (", …" if bad[NAMED:] else "")
        raise DataError(
            f"{title}: the logits of {len(bad)} of {len(names)} images of a batch are NaN or infinite: "
            f"{first}; look at these images, at the preprocessing and at the weights"
        ) from error


class DoesNotFit(DataError):  # noqa: N818
    """A model cannot take images of a shape."""


def refuse_not_finite(title: str, logits: Tensor) -> None:
    """Raise `NotFinite` if some of the logits (N, K) are."""
    bad = not_finite(logits)
    if bad.any():
        raise NotFinite(title, tuple(bad.nonzero()[:, 0].tolist()), len(logits))


def fitting(title: str, x: Tensor, work: Callable[[], T]) -> T:
    """What `work` comes to; the model's refusal of `x` in words."""
    try:
        return work()
    except (OodbenchError, MethodError):
        raise
    except Exception as error:  # a model of anyone's raises what it likes
        if ran_out(error):
            raise
        kind = str(x.dtype).removeprefix("torch.")
        reason = (said(error).splitlines() or [""])[0]
        raise DoesNotFit(
            f"{title}: the model cannot take {kind} images of shape {tuple(x.shape[1:])}: "
            f"{type(error).__name__}: {reason:.300}; expected images as the model was trained on: look at "
            "their size, their channels and the preprocessing"
        ) from error


def logits_in(output: object, images: int, title: str) -> Tensor:
    """The (N, K) logits in what a model returned of N images.

    That is a tensor (N, K), or (N, K, 1, 1); or of a tuple, list, mapping or dataclass what is called
    ``logits``, else the only tensor in it of that shape.

    Raises
    ------
    DataError
        If there is none, or more than one: says what was seen.
    """
    parts = dict(_parts(output))
    if LOGITS in parts:
        parts = {LOGITS: parts[LOGITS]}
    fits = {name: flat for name, part in parts.items() if (flat := _flat(part, images)) is not None}
    if len(fits) == 1:
        [logits] = fits.values()
        if logits.shape[1] > 1:
            return logits
        raise DataError(
            f"{title}: the model gives one number an image; expected logits of two classes or more: if "
            "it is the logit z of a sigmoid, return torch.cat([torch.zeros_like(z), z], dim=1)"
        )
    seen = "; ".join(f"{name or 'the output'}: {_described(part)}" for name, part in parts.items())
    many = f"{len(fits)} tensors could be the logits; {_WRAP}, or in a dict as 'logits'" if fits else _WRAP
    raise DataError(
        f"{title}: expected logits (N, K) of N = {images} images, got {type(output).__name__} with "
        f"{seen or 'nothing in it'}; {many}"
    )


def looks_like(logits: Tensor) -> str:
    """What the (N, K) outputs are, if they are no logits: a warning, or empty."""
    z = logits.detach().double()
    if bool((z >= 0).all()) and torch.allclose(z.sum(dim=1), z.new_ones(len(z)), atol=1e-3):
        kind, cure = "probabilities (each row sums to 1)", "logits, from before the softmax"
    elif bool((z <= 0).all()) and torch.allclose(z.logsumexp(dim=1), z.new_zeros(len(z)), atol=1e-3):
        kind, cure = "log-probabilities", "logits, from before the log-softmax"
    else:
        return ""
    return f"the outputs look like {kind}: scores of logits, such as the energy, want {cure}"


def _parts(output: object, name: str = "") -> Iterator[tuple[str, Any]]:
    """What a model returned, by name, one level deep."""
    if isinstance(output, Mapping):
        yield from ((str(key), value) for key, value in output.items())
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        yield from ((f.name, getattr(output, f.name)) for f in dataclasses.fields(output))
    elif isinstance(output, tuple | list):
        names = getattr(output, "_fields", [f"[{i}]" for i in range(len(output))])
        yield from zip(names, output, strict=True)
    elif not isinstance(output, Tensor) and isinstance(getattr(output, LOGITS, None), Tensor):
        yield LOGITS, getattr(output, LOGITS)
    else:
        yield name, output


def _flat(part: object, images: int) -> Tensor | None:
    if not isinstance(part, Tensor) or not part.is_floating_point() or part.ndim < 2 or len(part) != images:
        return None
    return part.flatten(1) if all(side == 1 for side in part.shape[2:]) else None


def _described(part: object) -> str:
    if isinstance(part, Tensor):
        return f"{str(part.dtype).removeprefix('torch.')} {tuple(part.shape)}"
    return type(part).__name__
