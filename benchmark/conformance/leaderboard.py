"""What leaderboard.yaml says of a contribution: entries that can be made, tracks, datasets."""

from __future__ import annotations

from collections.abc import Iterator

from benchmark.conformance.findings import Finding, Severity
from benchmark.conformance.texts import TODO
from benchmark.datasets import DataMissing, DatasetCard
from benchmark.datasets.declared import datasets_of
from benchmark.errors import DataError, SpecError
from benchmark.plan.checks import check_datasets
from benchmark.plan.methods import declared, method_errors
from benchmark.spec.leaderboard import Spec
from benchmark.studies.detection.settings import scoring_of
from methods.registry import detector_class, objective_class

NONE_STATED = "none stated"


def check_entry(name: str, spec: Spec) -> Iterator[Finding]:
    """Whether detector and objective of an entry can be made with its hyper-parameters."""
    entry, where = spec.entries[name], spec.where("entries", name)
    use = entry.objective
    objective = spec.objectives[use].objective if use in spec.objectives else use
    try:
        with method_errors(where):
            scorer = detector_class(entry.detector)
            for point in scoring_of(entry, declared("detectors", entry.detector)).points:
                scorer.configure(point)
            trained = objective_class(objective)
            trained.configure(spec.objectives[use].hyperparameters if use in spec.objectives else {})
    except SpecError as error:
        yield Finding(f"entry {name}", "entry", Severity.ERROR, str(error), "mend the entry")


def check_track(name: str, spec: Spec) -> Iterator[Finding]:
    """Whether the image sets of a track are there to be had, and each has a licence and a citation."""
    subject = f"track {name}"
    try:
        check_datasets(spec, name)
    except DataMissing as error:
        yield Finding(subject, "data", Severity.WARNING, str(error), "`oodbench data get` fetches it")
    except (SpecError, DataError) as error:
        yield Finding(subject, "data", Severity.ERROR, str(error), "mend the track")
    track = spec.tracks[name]
    sets = [track.id, *([track.id_test] if track.id_test else []), *track.ood.values()]
    known = datasets_of(spec).names
    for dataset in dict.fromkeys(one.dataset for one in sets):
        if dataset in known:
            yield from check_dataset(dataset, spec)


def check_dataset(name: str, spec: Spec) -> Iterator[Finding]:
    """Whether a dataset says where it is from, under which licence, and whom to cite."""
    subject = f"dataset {name}"
    card: object = spec.datasets.get(name)
    if card is None:
        card = datasets_of(spec)[name].card
        assert isinstance(card, DatasetCard)
    for key in ("title", "source", "licence", "citation"):
        said = str(getattr(card, key)).strip()
        if not said:
            yield Finding(subject, key, Severity.ERROR, f"it has no {key}", f"give its {key}")
        elif TODO.search(said):
            yield Finding(subject, key, Severity.ERROR, f"its {key} is {said!r}", "fill it in")
    if str(getattr(card, "licence", "")).startswith(NONE_STATED):
        yield Finding(
            subject, "licence", Severity.WARNING, "no licence is stated: its images are not to be given on",
            "name the licence where there is one",
        )  # fmt: skip
