"""Where leaderboard.yaml uses a dataset, and as what: which sets of which tracks, which pre-training.

This module must not know what a dataset's images are, nor how a page is laid out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmark.datasets.catalog import Dataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.fetch import sources_of
from benchmark.datasets.seen import trained_on_sets
from benchmark.errors import DataError
from benchmark.spec.images import ImageSource, OutlierSource
from benchmark.spec.leaderboard import Spec
from benchmark.spec.networks import supervised_source

ID, APART, PRETRAINING = "ID", "apart", "pre-training"
ROLES = (ID, "near", "far", APART, "validation", "outliers", PRETRAINING)  # as pages list them


@dataclass(frozen=True)
class Use:
    """A dataset in one role on one track."""

    dataset: str
    track: str
    role: str  # one of `ROLES`
    says: str  # the role in words
    item: str  # name of the set, as records have it; of the init, for pre-training
    source: ImageSource | None  # None: whatever published weights were trained on
    backbones: tuple[str, ...] = ()  # whose weights were trained on it

    @property
    def is_ood(self) -> bool:
        """Whether detectors are tested on it."""
        return self.role in ("near", "far", APART)

    @property
    def blend(self) -> float | None:
        """Share of its images in a mix with ID images, where they are mixed."""
        return self.source.blend if isinstance(self.source, OutlierSource) else None


def uses_of(spec: Spec) -> dict[str, list[Use]]:
    """Every use of every dataset, in the order in which leaderboard.yaml first uses them."""
    found: dict[str, list[Use]] = {}
    for use in _uses(spec):
        found.setdefault(use.dataset, []).append(use)
    return found


def known_of(spec: Spec, name: str) -> Dataset | None:
    """A dataset; None where a declared one cannot be read here, or there is none of that name.

    A run says why; what is shown of others does not depend on it.
    """
    try:
        return datasets_of(spec)[name]
    except (DataError, UnknownDatasetError):
        return None


def by_role(uses: Sequence[Use]) -> dict[str, list[str]]:
    """The tracks on which a dataset has each role that it has anywhere."""
    tracks = {role: list(dict.fromkeys(use.track for use in uses if use.role == role)) for role in ROLES}
    return {role: there for role, there in tracks.items() if there}


def classes_of(source: ImageSource, names: Sequence[str]) -> list[str]:
    """Names of the classes that a set has of a dataset; what is asked for, where no names are known."""
    if source.without is not None:
        gone = {_name(one, names) for one in source.without}
        return [name for name in names if name not in gone]
    return [*names] if source.classes is None else [_name(one, names) for one in source.classes]


def left_out(source: ImageSource, names: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes that a set is made without, where it names those."""
    return tuple(_name(one, names) for one in source.without or ())


def count_of(source: ImageSource, known: Dataset | None) -> int | None:
    """How many images a set has, as far as that is known before they are read."""
    if known is None:
        return source.n
    split = source.split or next(iter(known.splits), None)
    sizes = known.class_sizes(split)
    part = source.classes is not None or source.without is not None
    if part and sizes and not (source.n and known.splits):
        chosen = set(classes_of(source, known.card.class_names))
        return sum(n for name, n in zip(known.card.class_names, sizes, strict=True) if name in chosen)
    if part:
        return None  # some of those that are drawn are not of these classes
    return (None if sizes and split is None else source.n) or known.splits.get(split or "", known.card.size)


def _name(one: int | str, names: Sequence[str]) -> str:
    return names[one] if isinstance(one, int) and one < len(names) else str(one)


def _uses(spec: Spec) -> Iterator[Use]:
    for name, track in spec.tracks.items():
        for says, item, source in sources_of(track):
            group = says.removesuffix(" OOD").removesuffix(" test")
            role = APART if group in track.apart else group
            said = f"{says} (apart)" if role == APART else says
            yield Use(source.dataset, name, role, said, item, source)
        yield from _pretraining(spec, name)


def _pretraining(spec: Spec, name: str) -> Iterator[Use]:
    """The known datasets that the first weights of a track's networks were trained on."""
    track, known = spec.tracks[name], set(datasets_of(spec).names)
    for init in track.all_inits:
        first = spec.first_weights(name, init)
        backbones: dict[str, list[str]] = {}
        for backbone in track.backbones:
            for dataset in dict.fromkeys(trained_on_sets(spec, first, backbone, init)):
                backbones.setdefault(dataset, []).append(backbone)
        source = supervised_source(first)
        for dataset, of in backbones.items():
            if dataset in known:
                images = None if source is None else source.images
                yield Use(dataset, name, PRETRAINING, PRETRAINING, init, images, tuple(of))
