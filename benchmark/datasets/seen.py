"""What first weights have seen: test sets whose images they were trained on, and classes of the ID set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from benchmark.datasets.catalog import dataset, dataset_names
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import (
    TIMMS_OWN,
    CheckpointFile,
    FirstWeights,
    Hub,
    TrackNetworks,
    supervised_source,
)


class Seen(NamedTuple):
    """What the first weights of networks of a track have seen of it."""

    sets: tuple[str, ...]  # ``test``, and OOD sets, from a dataset that they were trained on
    classes: tuple[str, ...]  # what the leaderboard says of the ID set's classes in such a dataset


def seen_by(spec: Spec, track: str, backbone: str, init: str) -> Seen:
    """What the weights that an init has for a backbone have seen, as far as the leaderboard says."""
    asked, known = spec.tracks[track], _trained_on(spec, track, backbone, init)
    tested = {"test": asked.id_test or asked.id, **asked.ood}
    sets = (
        name for name, source in tested.items() if known & {source.dataset, *_origins(spec, source.dataset)}
    )
    return Seen(tuple(sets), tuple(asked.overlaps[name] for name in asked.overlaps if name in known))


def seen_by_any(spec: Spec, track: str) -> tuple[str, ...]:
    """The OOD sets of a track that the weights of any of its inits have seen."""
    asked = spec.tracks[track]
    found = {
        name
        for backbone in asked.backbones
        for init in asked.all_inits
        for name in seen_by(spec, track, backbone, init).sets
    }
    return tuple(name for name in asked.ood if name in found)


def _trained_on(spec: Spec, track: str, backbone: str, init: str) -> set[str]:
    source = spec.first_weights(track, init)
    named = set(trained_on_sets(spec, source, backbone, init))
    return named | {origin for name in named for origin in _origins(spec, name)}


def trained_on_sets(spec: Spec, source: FirstWeights, backbone: str, init: str) -> Iterator[str]:
    """The datasets that first weights were trained on, as leaderboard.yaml or their card names them."""
    if isinstance(source, TrackNetworks):
        for weights in source.weights.get(backbone, {}).values():
            yield from weights.trained_on
    elif isinstance(source, Hub):
        yield from spec.backbones[backbone].weights.get(init, TIMMS_OWN).trained_on
    elif isinstance(source, CheckpointFile):
        yield source.trained_on
    elif (of := supervised_source(source)) is not None:
        yield of.images.dataset


def _origins(spec: Spec, name: str) -> Iterator[str]:
    """The datasets that a dataset's images were taken from, those of these too."""
    if name in spec.datasets:
        parts = spec.datasets[name].part_of
    else:
        parts = list(dataset(name).card.part_of) if name in dataset_names() else []
    for part in parts:
        yield part
        yield from _origins(spec, part)
