"""What the command line lists and shows: methods, datasets, tracks, backbones."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from benchmark.checks import check_datasets
from benchmark.datasets import DataMissing, DatasetCard, HubDataset, dataset, dataset_names
from benchmark.datasets.sets import build_set
from benchmark.errors import UsageError
from benchmark.plan_sources import image_config
from benchmark.spec import ImageSource, Spec, Track
from methods.base import Detector, EnsembleDetector, Method, Objective
from methods.names import did_you_mean


def listings(what: str | None, spec: Spec) -> list[Table]:
    """Tables of every family of methods, of tracks, datasets and backbones; of ``methods``, or of one kind.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    from methods.registry import FAMILIES

    tables: dict[str, Callable[[], Table]] = {
        **{family: partial(_methods, family) for family in FAMILIES},
        "tracks": lambda: _tracks(spec),
        "datasets": _datasets,
        "backbones": lambda: _backbones(spec),
    }
    if what is not None and what not in ("methods", *tables):
        raise UsageError(f"no list of {what!r}; {did_you_mean(what, ('methods', *tables))}")
    kinds = list(tables) if what is None else list(FAMILIES) if what == "methods" else [what]
    return [tables[kind]() for kind in kinds]


def cards(name: str, spec: Spec) -> list[RenderableType]:
    """Everything that bears `name`.

    Raises
    ------
    UsageError
        If nothing does; suggests the nearest.
    """
    from methods import registry

    methods = ((kind, registry.family(kind), _method_card) for kind in registry.FAMILIES)
    families: list[tuple[str, Any, Callable[[Any], RenderableType]]] = [
        *((kind.capitalize()[:-1].replace("_", " "), found, card) for kind, found, card in methods),
        ("Track", spec.tracks, lambda _: _track_card(name, spec)),
        ("Dataset", dataset_names(), lambda _: _dataset_card(dataset(name).card)),
        ("Entry", spec.entries, _settings),
        ("Backbone", spec.backbones, _settings),
        ("Init", spec.inits, _settings),
    ]
    panels: list[RenderableType] = []
    for title, members, card in families:
        if name in members:
            member = members[name] if isinstance(members, dict) else name
            panels.append(Panel(card(member), title=f"{title} {escape(name)}", title_align="left"))
    if not panels and (ours := registry.known_as(name, *registry.FAMILIES)) != name:
        return cards(ours, spec)
    if not panels:
        known = dict.fromkeys(key for _, members, _ in families for key in members)
        raise UsageError(f"nothing is called {name!r}; {did_you_mean(name, known)}")
    return panels


def _methods(family: str) -> Table:
    from methods import registry

    table = _table(family.capitalize().replace("_", " "), "Name", "Summary", "Published")
    for name, cls in registry.family(family).items():
        paper = cls.paper
        table.add_row(name, _summary(cls), f"{paper.venue} {paper.year}")
    for module, error in registry.broken().items():
        if f".{family}." in module:
            table.add_row(module.rpartition(".")[2], Text(f"cannot be loaded: {error}", style="red"), "")
    return table


def _tracks(spec: Spec) -> Table:
    table = _table("Tracks", "Name", "Title", "ID", "Near OOD", "Far OOD", "Networks")
    for name, track in spec.tracks.items():
        networks = len(track.backbones) * len(track.inits) * len(track.seeds)
        table.add_row(
            name, track.title, track.id.dataset, ", ".join(track.near), ", ".join(track.far), str(networks)
        )
    return table


def _datasets() -> Table:
    table = _table("Datasets", "Name", "Title", "Images", "Licence", "Use")
    for name in dataset_names():
        card = dataset(name).card
        use = "training outliers" if card.outlier_source else "ID or OOD"
        table.add_row(name, card.title, f"{card.size:,}", card.licence, use)
    return table


def _backbones(spec: Spec) -> Table:
    table = _table("Backbones", "Name", "timm architecture", "Tracks")
    for name, backbone in spec.backbones.items():
        tracks = ", ".join(key for key, track in spec.tracks.items() if name in track.backbones)
        table.add_row(name, backbone.architecture, tracks or "none")
    return table


def _method_card(cls: type[Method]) -> RenderableType:
    paper = cls.paper
    arxiv = f", arXiv {paper.arxiv}" if paper.arxiv else ""
    lines = [
        inspect.cleandoc(cls.__doc__ or ""),
        "",
        f"Paper: {paper.authors}, “{paper.title}”, {paper.venue} {paper.year}{arxiv}",
    ]
    if issubclass(cls, Objective):
        lines += [
            f"Needs: {', '.join(('labelled ID images', *sorted(cls.needs)))}",
            f"Starts from: {cls.starts_from or 'the first weights'}",
            f"Scored with: {', '.join(cls.detectors)}",
            f"Cost of an epoch: about {cls.cost:g} × cross_entropy",
        ]
    elif issubclass(cls, Detector | EnsembleDetector):
        lines.append(f"Needs: {', '.join(cls.configure({}).requires)}")
    if aliases := cls.__dict__.get("aliases", ()):
        lines.append(f"Also called: {', '.join(aliases)}")
    defaults = ", ".join(f"{k} = {v!r}" for k, v in cls.configure({}).hyperparameters().items())
    lines += [f"Hyper-parameters: {defaults or 'none'}", f"Source: {inspect.getsourcefile(cls)}"]
    return Text("\n".join(lines))


def _track_card(name: str, spec: Spec) -> RenderableType:
    check_datasets(spec, name)
    track = spec.tracks[name]
    crop = "" if track.crop == 1 else f", the central {track.crop:.3g} of Hub images"
    table = _table("", "Set", "Role", "Dataset", "Images", "Fingerprint")
    for role, item, source in _sets(name, spec):
        classes = "" if source.classes is None else f", classes {', '.join(map(str, source.classes))}"
        split = "" if source.split is None else f", {source.split}"
        table.add_row(item, role, source.dataset + split + classes, *_content(name, track, item, source))
    sizes, shifts = track.split, track.shifts
    rest = "the test images are a set of their own" if track.id_test else "the rest tests"
    recipe = track.training.model_dump() if track.training else {}
    lines = [
        track.title,
        f"{track.image_size}×{track.image_size} pixels, 3 channels{crop}",
        f"ID split: {sizes.train_per_class} a class train, {sizes.val_per_class} validate, {rest}. "
        "The test set is the same for every seed.",
        "No shifts"
        if shifts is None
        else f"Shifts ({shifts.scale} severities 1 to 5): {', '.join(shifts.kinds)}, on "
        f"{shifts.images_per_class} test images a class",
        "Training: "
        + (", ".join(f"{k} {v}" for k, v in recipe.items()) or "none, published weights as they are"),
        f"Backbones: {', '.join(track.backbones)}; inits: {', '.join(track.inits)}; "
        f"seeds: {', '.join(map(str, track.seeds))}",
        f"Entries: {', '.join(track.entries)}",
        *([f"Only with --full: {', '.join(track.full.entries)}"] if track.full else []),
    ]
    return Group(Text("\n".join(lines)), table)


def _content(name: str, track: Track, item: str, source: ImageSource) -> tuple[str, str]:
    """Number of images and fingerprint: of the pixels, or of the mirror's file for a dataset of the Hub."""
    known = dataset(source.dataset)
    if isinstance(known, HubDataset):
        count = source.n or known.splits[source.split or next(iter(known.splits))]
        try:
            return f"{count:,}", image_config(track, name, item, source)["sha256"][:16]
        except DataMissing:
            return f"{count:,}", "not here"
    images, _ = build_set(image_config(track, name, item, source))
    return f"{len(images):,}", images.fingerprint()[:16]


def _sets(name: str, spec: Spec) -> Iterator[tuple[str, str, ImageSource]]:
    track = spec.tracks[name]
    yield "ID", "id", track.id
    if track.id_test is not None:
        yield "ID", "id_test", track.id_test
    groups: dict[str, Mapping[str, ImageSource]] = {
        "near OOD": track.near,
        "far OOD": track.far,
        "validation OOD": track.validation,
        "outliers": track.outliers,
    }
    for role, sets in groups.items():
        for item, source in sets.items():
            yield role, item, source


def _dataset_card(card: DatasetCard) -> RenderableType:
    lines = [
        card.title,
        card.description,
        f"Images: {card.size:,}" + (f", classes {', '.join(card.class_names)}" if card.labelled else ""),
        f"Source: {card.source}",
        f"Licence: {card.licence}",
        f"Cite: {card.citation}",
        card.notes,
        "For training outliers only, never a test set." if card.outlier_source else "",
    ]
    return Text("\n".join(line for line in lines if line))


def _settings(model: Any) -> RenderableType:
    return Text("\n".join(f"{key}: {value}" for key, value in model.model_dump().items()))


def _summary(cls: type[Method]) -> str:
    return (cls.__doc__ or "").strip().partition("\n")[0]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
