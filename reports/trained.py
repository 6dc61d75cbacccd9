"""Whether a network was trained as leaderboard.yaml would train it now.

This module must not know any number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmark.records.results import TrainedWith
from benchmark.spec.leaderboard import Scratch, Spec, Track
from benchmark.spec.studies import MethodUse


def trained_so(spec: Spec, track: Track, init: str, name: str, training: TrainedWith) -> bool:
    """Whether leaderboard.yaml would train the network of objective `name` in this way, the code apart."""
    known, use = spec.inits[init], spec.objectives.get(name)
    given = {} if use is None else use.hyperparameters
    outliers = () if use is None else use.outliers or ()
    recipe = (track.finetuning or track.training) if training.starts_from else track.training
    if recipe is not None and use is not None and use.epochs is not None:
        recipe = recipe.model_copy(update={"epochs": use.epochs})
    tune = "all" if isinstance(known, Scratch) else known.tune
    expected = None if recipe is None else {**recipe.model_dump(), "tune": tune}
    return (
        training.objective == (name if use is None else use.objective)
        and _given(training.hyperparameters, given)
        and training.outliers
        == {item: track.outliers[item].blend for item in outliers if item in track.outliers}
        and training.recipe == expected
    )


def transformed_so(recorded: Mapping[str, Any] | None, key: str, use: MethodUse) -> bool:
    """Whether the training split was transformed by this method with the hyper-parameters that are given.

    A transformation that is not recorded is none, such as noise of strength 0: it cannot differ.
    """
    found = (recorded or {}).get(key)
    return found is None or configured_so(found, use)


def configured_so(recorded: Mapping[str, Any], use: MethodUse) -> bool:
    """Whether a recorded method is this one with the hyper-parameters that are given."""
    same = recorded["method"] == use.method
    return same and _given(recorded["hyperparameters"], use.hyperparameters)


def sampled_so(recorded: Mapping[str, Any] | None, use: MethodUse | None) -> bool:
    """Whether this sampler, or none, drew the batches, with the hyper-parameters that are given."""
    if recorded is None or use is None:
        return recorded is None and use is None
    return recorded["name"] == use.method and _given(recorded, use.hyperparameters)


def _given(recorded: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    return all(recorded.get(key) == value for key, value in expected.items())
