"""What the files of a network hold: finite weights, and JSON of the form that training writes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import AllowInfNan, BaseModel, Field, JsonValue, RootModel

from benchmark.errors import DataError
from benchmark.networks.cards import KEPT, MODEL, Card
from benchmark.records.numbers import StrictModel
from benchmark.store.files import read_model

_Finite = Annotated[float, AllowInfNan(False)]
_DTYPES = {"F64", "F32", "F16", "BF16"}  # of weights that can be not finite
_EXACT = {"I64", "I32", "I16", "I8", "U8", "BOOL"}


class _Epoch(StrictModel):
    epoch: int
    loss: _Finite
    val_accuracy: _Finite | None
    val_nll: _Finite | None
    notes: dict[str, _Finite | None]
    watched_accuracy: _Finite | None = None


class _Loaded(StrictModel):
    loaded: list[str]
    fresh: list[str]
    unused: list[str]


class _About(StrictModel):
    classes: int = Field(ge=1, le=1 << 17)
    loaded: _Loaded | None
    objective: str
    hyperparameters: dict[str, JsonValue]


class _Source(RootModel[dict[str, JsonValue]]):
    pass


class _History(RootModel[list[_Epoch]]):
    pass


_FORMS: dict[str, tuple[type[BaseModel], str]] = {
    "history.json": (_History, "what a training says of its epochs"),
    "about.json": (_About, "what a training says of its network"),
    "source.json": (_Source, "where first weights are from"),
}


def faults_in(card: Card, name: str, path: Path) -> Iterator[str]:
    """What is wrong with what a file holds, whose checksum is right."""
    if name in (MODEL, KEPT):
        yield from _faults_of_tensors(path, weights=name == MODEL)
        return
    form, expected = _FORMS[name]
    try:
        found = read_model(path, form, expected)
    except DataError as error:
        yield str(error)
        return
    if isinstance(found, _About) and card.training is not None:
        told: tuple[Any, Any] = card.training.objective, card.training.hyperparameters
        if (found.objective, found.hyperparameters) != told:
            yield (
                f"{path}: objective {found.objective!r:.80} with hyper-parameters "
                f"{found.hyperparameters!r:.200}; its card says {told[0]!r:.80} with {told[1]!r:.200}"
            )


def _faults_of_tensors(path: Path, *, weights: bool) -> Iterator[str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            names = list(file.keys())
            if weights and not names:
                yield f"{path}: holds no tensor; expected the weights of a network"
            for name in names:
                dtype = file.get_slice(name).get_dtype()
                if dtype not in _DTYPES | _EXACT:
                    yield f"{path}: {name!r:.80} is of type {dtype}; expected {', '.join(sorted(_DTYPES))}"
                    return
                if dtype in _DTYPES and not bool(file.get_tensor(name).isfinite().all()):
                    yield f"{path}: {name!r:.80} holds NaN or infinity; expected finite weights"
                    return
    except (OSError, ValueError, SafetensorError) as error:
        yield f"{path}: cannot be read as safetensors: {' '.join(str(error).split()):.200}"
