"""What the command line lists and shows: methods, datasets, tracks, backbones, inits, entries."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from benchmark.datasets import DataMissing, DatasetCard
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.fetch import sources_of
from benchmark.errors import UsageError
from benchmark.plan.checks import check_datasets
from benchmark.plan.contents import content_of
from benchmark.spec.datasets import Declared
from benchmark.spec.leaderboard import Spec
from methods.base import Detector, EnsembleDetector, Method, Objective
from methods.names import did_you_mean
from reports.console.docstrings import Block, read_docstring
from reports.console.listings import Card, Cell, Column, Listing
from reports.uses import entries_of, studies_of


def listings(what: str | None, spec: Spec) -> list[Listing]:
    """List every family of methods, tracks, datasets, …; only ``methods``, or only one kind.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    from methods.registry import FAMILIES

    kinds: dict[str, Callable[[], Listing]] = {
        **{family: partial(_methods, family) for family in FAMILIES},
        "entries": lambda: _entries(spec),
        "tracks": lambda: _tracks(spec),
        "datasets": lambda: _datasets(spec),
        "backbones": lambda: _backbones(spec),
        "inits": lambda: _inits(spec),
    }
    if what is not None and what not in ("methods", *kinds):
        raise UsageError(f"no list of {what!r}; {did_you_mean(what, ('methods', *kinds))}")
    chosen = list(kinds) if what is None else list(FAMILIES) if what == "methods" else [what]
    return [kinds[kind]() for kind in chosen]


def cards(name: str, spec: Spec) -> list[Card]:
    """Everything that bears `name`.

    Raises
    ------
    UsageError
        If nothing does; suggests the nearest.
    """
    from methods import registry

    methods = ((kind, registry.family(kind)) for kind in registry.FAMILIES)
    families: list[tuple[str, Any, Callable[[str], Card]]] = [
        *((_singular(kind), found, partial(_method_card, kind, found, spec)) for kind, found in methods),
        ("Track", spec.tracks, lambda _: _track_card(name, spec)),
        ("Dataset", datasets_of(spec).names, partial(_dataset_card, spec)),
        ("Entry", spec.entries, partial(_settings, "Entry", spec.entries)),
        ("Backbone", spec.backbones, partial(_settings, "Backbone", spec.backbones)),
        ("Init", spec.inits, partial(_settings, "Init", spec.inits)),
    ]
    found = [card(name) for _, members, card in families if name in members]
    for module, error in registry.broken().items():
        if name in (module, module.rpartition(".")[2]):
            found.append(Card("Method", name, (Block(f"{module} cannot be loaded: {error}"),)))
    if not found and (ours := registry.known_as(name, *registry.FAMILIES)) != name:
        return cards(ours, spec)
    if not found:
        known = dict.fromkeys(key for _, members, _ in families for key in members)
        raise UsageError(f"nothing is called {name!r}; {did_you_mean(name, known, 'oodbench list')}")
    return found


def _singular(family: str) -> str:
    return family.capitalize().removesuffix("s").replace("_", " ")


def _methods(family: str) -> Listing:
    from methods import registry

    rows: list[tuple[str, str, str]] = []
    for name, cls in registry.family(family).items():
        paper = cls.paper
        rows.append((name, read_docstring(cls.__doc__).summary, f"{paper.venue} {paper.year}"))
    for module, error in registry.broken().items():
        ours = module.startswith("methods.")
        if not ours or module.startswith(f"methods.{family}."):  # another package may have any family's
            name = module.rpartition(".")[2] if ours else module
            rows.append((name, f"cannot be loaded: {error}", ""))
    title = family.capitalize().replace("_", " ")
    return Listing(family, ("Name", "Summary", "Published"), rows, title)


def _entries(spec: Spec) -> Listing:
    rows = []
    for name, entry in spec.entries.items():
        on = [
            key for key, t in spec.tracks.items() if name in t.entries or (t.full and name in t.full.entries)
        ]
        rows.append((name, entry.objective, entry.detector, on))
    return Listing("entries", ("Name", "Objective", "Detector", "Tracks"), rows, "Entries")


def _tracks(spec: Spec) -> Listing:
    rows = [
        (
            name, track.title, track.id.dataset, list(track.near), list(track.far),
            len(track.backbones) * len(track.entry_inits) * len(track.seeds),
        )
        for name, track in spec.tracks.items()
    ]  # fmt: skip
    return Listing("tracks", ("Name", "Title", "ID", "Near OOD", "Far OOD", "Networks"), rows, "Tracks")


def _datasets(spec: Spec) -> Listing:
    rows = []
    for name in datasets_of(spec).names:
        card = _card(spec, name)
        use = "training outliers" if card.outlier_source else "ID or OOD"
        rows.append((name, card.title, getattr(card, "size", None), card.licence, use))
    return Listing("datasets", ("Name", "Title", "Images", "Licence", "Use"), rows, "Datasets")


def _backbones(spec: Spec) -> Listing:
    rows = [
        (name, backbone.architecture, [key for key, track in spec.tracks.items() if name in track.backbones])
        for name, backbone in spec.backbones.items()
    ]
    return Listing("backbones", ("Name", "timm architecture", "Tracks"), rows, "Backbones")


def _inits(spec: Spec) -> Listing:
    rows = [
        (name, init.source, [key for key, track in spec.tracks.items() if name in track.inits])
        for name, init in spec.inits.items()
    ]
    return Listing("inits", ("Name", "Source", "Tracks"), rows, "Inits")


def _method_card(family: str, found: Mapping[str, type[Method]], spec: Spec, name: str) -> Card:
    cls = found[name]
    paper, doc = cls.paper, read_docstring(cls.__doc__)
    facts: dict[str, Any] = {
        "Paper": f"{paper.authors}, “{paper.title}”, {paper.venue} {paper.year}",
        "Link": f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else None,
    }
    if issubclass(cls, Objective):
        facts |= {
            "Needs": ["labelled ID images", *sorted(cls.needs)],
            "Starts from": cls.starts_from or "the first weights",
            "Scored with": list(cls.detectors),
            "Cost of an epoch": f"about {cls.cost:g} × cross_entropy",
        }
    elif issubclass(cls, Detector | EnsembleDetector):
        facts["Needs"] = list(cls.configure({}).requires)
    if aliases := cls.__dict__.get("aliases", ()):
        facts["Also called"] = list(aliases)
    defaults = cls.configure({}).hyperparameters()
    facts |= {
        "Entries": entries_of(family, name, spec),
        "Studies": _studies_of(family, name, spec),
        "Source": inspect.getsourcefile(cls),
    }
    if not defaults:
        facts["Hyper-parameters"] = "none"
    rows = [(key, Cell(value, repr(value)), doc.parameters.get(key, "")) for key, value in defaults.items()]
    table = Listing("hyperparameters", ("Name", "Default", "Meaning"), rows, "Hyper-parameters")
    blocks = (Block(doc.summary), *doc.body)
    return Card(_singular(family), name, blocks, facts, [table] if defaults else [])


def _studies_of(family: str, name: str, spec: Spec) -> list[str]:
    """The studies of tracks that use it, those of ``--full`` included."""
    return [f"{study.replace('_', ' ')} on {track}" for track, study in studies_of(family, name, spec)]


def _track_card(name: str, spec: Spec) -> Card:
    check_datasets(spec, name)
    track = spec.tracks[name]
    rows = []
    for role, item, source in sources_of(track):
        classes = "" if source.classes is None else f", classes {', '.join(map(str, source.classes))}"
        if source.without is not None:
            classes = f", without {', '.join(map(str, source.without))}"
        split = "" if source.split is None else f", {source.split}"
        count, fingerprint = content_of(spec, name, item, source)
        held = "not here" if fingerprint is None else fingerprint[:16]
        rows.append((item, role.removesuffix(" test"), source.dataset + split + classes, count, held))
    columns = ("Set", "Role", "Dataset", "Images", Column("Fingerprint", whole=True))
    sizes, shifts = track.split, track.shifts
    rest = "the test images are a set of their own" if track.id_test else "the rest tests"
    crop = "" if track.crop == 1 else f", the central {track.crop:.3g} of images in files"
    facts = {
        "Images": f"{track.image_size}×{track.image_size} pixels, 3 channels{crop}",
        "ID split": f"{sizes.train_per_class} a class train, {sizes.val_per_class} validate, {rest}. "
        "The test set is the same for every seed.",
        "Shifts": "none"
        if shifts is None
        else f"{shifts.scale} severities 1 to 5: {', '.join(shifts.kinds)}, on "
        f"{shifts.images_per_class} test images a class",
        "Training": track.training.model_dump(mode="json")
        if track.training
        else "none, published weights as they are",
        "Other recipes": [recipe.model_dump(mode="json", exclude_none=True) for recipe in track.recipes],
        "Backbones": track.backbones,
        "Inits": track.entry_inits,
        "Seeds": track.seeds,
        "Entries": track.entries,
        "Only with --full": track.full.entries if track.full else None,
        "Studies": list(track.studies.root),
    }
    return Card("Track", name, [Block(track.title)], facts, [Listing("sets", columns, rows)])


def _card(spec: Spec, name: str) -> DatasetCard | Declared:
    """What is said of a dataset: its card, or what the leaderboard declares where its files are not."""
    try:
        return datasets_of(spec)[name].card
    except DataMissing:
        return spec.datasets[name]


def _dataset_card(spec: Spec, name: str) -> Card:
    card = _card(spec, name)
    text = [card.title, card.description, card.notes]
    if card.outlier_source:
        text.append("For training outliers only, never a test set.")
    facts = {
        "Images": getattr(card, "size", "not here"),
        "Classes": list(card.class_names or ()) or None,
        "Part of": list(card.part_of) or None,
        "Source": card.source,
        "Licence": card.licence,
        "Cite": card.citation,
    }
    return Card("Dataset", name, [Block(line) for line in text if line], facts)


def _settings(kind: str, members: Mapping[str, Any], name: str) -> Card:
    facts = members[name].model_dump(mode="json")
    return Card(kind, name, facts={key.replace("_", " ").capitalize(): v for key, v in facts.items()})
