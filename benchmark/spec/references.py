"""What one part of a leaderboard file says of another: names that must exist, sources that must differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from benchmark.records.record import BOUNDARY
from benchmark.spec.images import ImageSource
from benchmark.spec.leaderboard import Spec, Track
from benchmark.spec.networks import Hub, supervised_source
from methods.names import did_you_mean


def dangling(spec: Spec) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Names that nothing defines, and names and sources that must differ and do not."""
    defined: dict[str, Collection[str]] = {
        "backbones": spec.backbones,
        "inits": spec.inits,
        "entries": spec.entries,
    }
    for name, declared in spec.datasets.items():
        for i, item in enumerate(declared.part_of):
            if item in spec.datasets and name in _parts_of(spec, item):
                yield ("datasets", name, "part_of", i), "a dataset is no part of itself; expected another"
    yield from _dangling_weights(spec)
    if BOUNDARY in spec.tracks:
        yield ("tracks", BOUNDARY), f"the name {BOUNDARY!r} is that of an experiment; expected another"
    for name, track in spec.tracks.items():
        for kind, known in defined.items():
            for i, item in enumerate(getattr(track, kind)):
                if item not in known:
                    yield ("tracks", name, kind, i), f"unknown name {item!r}; {did_you_mean(item, known)}"
        for i, recipe in enumerate(track.recipes):
            for kind, listed_there in {"backbones": track.backbones, "inits": track.all_inits}.items():
                for j, item in enumerate(getattr(recipe, kind) or []):
                    if item not in listed_there:
                        problem = f"{item!r} is not on track {name!r}; {did_you_mean(item, listed_there)}"
                        yield ("tracks", name, "recipes", i, kind, j), problem
        if track.full is not None:
            listed = set(track.entries)
            for kind, names, of_full in (
                ("entries", track.full.entries, defined["entries"]),
                ("backbones", track.full.backbones or [], dict.fromkeys(track.backbones)),
            ):
                for i, item in enumerate(names):
                    place = ("tracks", name, "full", kind, i)
                    if item not in of_full:
                        yield place, f"unknown name {item!r}; {did_you_mean(item, of_full)}"
                    elif kind == "entries" and item in listed:
                        yield place, f"{item!r} is one of the track's `entries` already"
        entries = dict.fromkeys(track.all_entries)
        for i, item in enumerate(track.drawn or []):
            if item not in entries:
                hint = did_you_mean(item, entries)
                yield ("tracks", name, "drawn", i), f"{item!r} is none of the track's entries; {hint}"
        yield from _dangling_studies(spec, name, track)
        groups: dict[str, str] = {}
        for group, sets in track.sets.items():
            if not sets and group in track.apart:
                yield ("tracks", name, *track.where(group)), "expected some image sets, got none"
            for item in sets:
                if item in groups:
                    problem = f"the name {item!r} is used in {groups[item]!r} already; expected another"
                    yield ("tracks", name, *track.where(group), item), problem
                groups[item] = group
        if not track.entry_inits:
            yield ("tracks", name, "inits"), "got none, and no `networks`; expected some of either"
        for init, networks in track.networks.items():
            at = ("tracks", name, "networks", init)
            if init in spec.inits:
                yield at, f"the name {init!r} is that of one of `inits`; expected another"
            for backbone in track.backbones:
                given = networks.weights.get(backbone, {})
                if missing := [seed for seed in track.seeds if seed not in given]:
                    yield (
                        (*at, "weights"),
                        f"has none for backbone {backbone!r} and seed {missing[0]}; expected some for every "
                        "backbone and seed of the track",
                    )
            for backbone in networks.weights.keys() - dict.fromkeys(track.backbones):
                hint = did_you_mean(backbone, track.backbones)
                yield (*at, "weights", backbone), f"{backbone!r} is no backbone of the track; {hint}"
        for group, sets in track.groups.items():
            for item, source in sets.items():
                if source.dataset == track.id.dataset and _overlap(source, track.id):
                    problem = "an OOD set must have no class of the ID set; expected other classes"
                    yield ("tracks", name, *track.where(group), item), problem
        tested = {source.dataset for source in track.ood.values()}
        if track.id_test is not None:
            tested.add(track.id_test.dataset)
        for init in track.all_inits:
            supervised = supervised_source(spec.inits.get(init))
            if supervised is not None and _tested_by(track, supervised.images):
                problem = f"these are ID test images of track {name!r}; expected others"
                yield ("inits", init, "images"), problem
        for group in ("outliers", "validation"):
            for item, source in getattr(track, group).items():
                if source.dataset in {*tested, track.id.dataset}:
                    yield (
                        ("tracks", name, group, item, "dataset"),
                        f"{group} must come from a source that no test set uses; {source.dataset!r} is one",
                    )
    for name, board in spec.boards.items():
        if board.track not in spec.tracks:
            yield (
                ("boards", name, "track"),
                f"unknown track {board.track!r}; {did_you_mean(board.track, list(spec.tracks))}",
            )
            continue
        track = spec.tracks[board.track]
        study = None if board.study is None else track.studies.chosen(full=True).get(board.study)
        if board.study is not None and study is None:
            yield ("boards", name, "study"), f"the track {board.track!r} has no study {board.study!r}"
            continue
        for kind in defined:
            on_track = track.all_entries if kind == "entries" else getattr(track, kind)
            if study is not None:
                of_study = {"entries": study.rows, "inits": study.all_inits}
                on_track = of_study.get(kind, track.backbones)
            there = dict.fromkeys(on_track)
            for i, item in enumerate(getattr(board, kind) or []):
                if item not in there:
                    problem = f"{item!r} is not on track {board.track!r}; {did_you_mean(item, there)}"
                    yield ("boards", name, kind, i), problem


def _dangling_studies(spec: Spec, name: str, track: Track) -> Iterator[tuple[tuple[Any, ...], str]]:
    """What studies name and nothing defines."""
    for study_name, study in track.studies.chosen(full=True).items():
        place = ("tracks", name, "studies", study_name)
        for kind in ("backbones", "seeds"):
            known = dict.fromkeys(getattr(track, kind))
            for i, item in enumerate(getattr(study, kind) or []):
                if item not in known:
                    hint = did_you_mean(str(item), map(str, known))
                    yield (*place, kind, i), f"{str(item)!r} is not on track {name!r}; {hint}"
        for item in study.all_inits:
            if item not in spec.inits:
                yield place, f"unknown init {item!r}; {did_you_mean(item, list(spec.inits))}"
        yield from (((*place, *key), problem) for key, problem in study.dangling())


def _tested_by(track: Track, images: ImageSource) -> bool:
    """Whether a set of images holds ID test images of a track."""
    test = track.id_test or track.id
    return (images.dataset, images.split) == (test.dataset, test.split) and _overlap(images, test)


def _overlap(one: ImageSource, other: ImageSource) -> bool:
    """Whether two choices of a dataset's classes share one, as far as that is known without their names."""
    for some, others in ((one, other), (other, one)):
        if some.classes is not None and others.without is not None:
            return not set(some.classes) <= set(others.without)
    if one.classes is None or other.classes is None:
        return True
    return not set(one.classes).isdisjoint(other.classes)


def _parts_of(spec: Spec, name: str) -> set[str]:
    """A declared dataset, and those that it was taken from, as far as the file declares these."""
    found, waiting = set[str](), [name]
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += spec.datasets[one].part_of if one in spec.datasets else []
    return found


def _dangling_weights(spec: Spec) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Published weights that no init asks for, or that an init has for some backbones alone."""
    for name, backbone in spec.backbones.items():
        for init in backbone.weights:
            if not isinstance(spec.inits.get(init), Hub):
                hubs = [known for known, source in spec.inits.items() if isinstance(source, Hub)]
                hint = did_you_mean(init, hubs) if hubs else "there is none"
                yield ("backbones", name, "weights", init), f"{init!r} is no init whose source is hub; {hint}"
    named = {init: b for b, backbone in spec.backbones.items() for init in backbone.weights}
    for name, track in spec.tracks.items():
        for init in track.all_inits:
            for i, item in enumerate(track.backbones):
                known = spec.backbones.get(item)
                if init in named and known is not None and init not in known.weights:
                    yield (
                        ("tracks", name, "backbones", i),
                        f"the init {init!r} has weights for {named[init]!r} and none for {item!r}; "
                        f"expected `backbones.{item}.weights.{init}`",
                    )
