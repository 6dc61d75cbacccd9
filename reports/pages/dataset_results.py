"""What was measured on a dataset: how well its images are told from ID images, how well networks know them.

This module must not know what a dataset's images are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isnan, nan

from benchmark.metrics.statistics import mean_interval
from benchmark.spec.leaderboard import Spec
from reports.boards.gains import SOFTMAX
from reports.pages.dataset_uses import ID, PRETRAINING, Use
from reports.pages.method_results import Line, TrackResults
from reports.pages.method_text import path_of
from reports.site.cells import Content, Count, Labels, Noted, Number
from reports.site.numbers import fixed
from reports.site.sections import Column, Row, Section, Table, notes
from reports.site.text import Link

ACCURACY = "classification.accuracy"
_SAW, _SAW_CLASSES = "saw its images", "saw ID classes"

Results = Mapping[str, TrackResults]  # by track


@dataclass(frozen=True)
class Told:
    """How well the images of an OOD set are told from ID images, by the entries on one network."""

    use: Use
    backbone: str
    init: str
    simple: Line | None  # of the entry by which networks are compared
    best: Line  # of those with all seeds
    of: int  # so many
    column: int
    seeds: int

    def number(self, line: Line) -> Number:
        """AUROC of an entry with half its interval over seeds."""
        return Number(float(line.means[self.column]), half=float(line.halves[self.column]))


def answer(uses: Sequence[Use], results: Results) -> str:
    """What the numbers say of a dataset, in a sentence or two; how it is used where there are none."""
    said = [*_of_ood(uses, results), *_of_id(uses, results), *_of_training(uses)]
    if not any(use.track in results for use in uses):
        said.append("No record of its tracks counts yet.")
    return " ".join(said)


def auroc_section(spec: Spec, uses: Sequence[Use], results: Results) -> Section | None:
    """AUROC of the simplest and of the best entry, by track, backbone and init; None where there are none."""
    told = list(_told(uses, results))
    if not told:
        return None
    rows = tuple(Row(tuple(_auroc_cells(spec, one, results))) for one in told)
    columns = (
        Column("Track · backbone · init", "text"),
        Column("Set", "text"),
        Column(SOFTMAX, better="higher"),
        Column("Best entry", "text"),
        Column("its AUROC", better="higher"),
        Column("Of entries", largest_first=True),
        Column("Seeds", largest_first=True),
    )
    about = (
        "AUROC against the ID test images, mean ± half the 95 % interval over seeds; 50 is chance. The best "
        "is of so many entries that are of single networks and have all seeds; it is chosen by this very "
        "number, which flatters it."
    )
    said = _seen_notes((results[one.use.track], one.use.item, one.best) for one in told)
    table = Table(columns, rows, about=about, sortable=True)
    return Section("auroc", "How hard it is to tell", (table, *notes(said)))


def accuracy_section(uses: Sequence[Use], results: Results) -> Section | None:
    """Accuracy of the networks that learn its classes, by track, backbone and init; None without any."""
    found = list(_accuracies(uses, results))
    if not found:
        return None
    rows = []
    for track, line, number in found:
        label = Labels((track.name, line.backbone, line.init))
        saw = _saw(track, "test", line.backbone, line.init)
        rows.append(Row((Noted(label, saw) if saw else label, number, Count(len(line.cells), track.seeds))))
    columns = (
        Column("Track · backbone · init", "text"),
        Column("Accuracy", better="higher"),
        Column("Seeds", largest_first=True),
    )
    said = _seen_notes((track, "test", line) for track, line, _ in found)
    about = "On the ID test images, mean ± half the 95 % interval over seeds."
    table = Table(columns, tuple(rows), about=about, sortable=True)
    title = "How well networks learn its classes"
    return Section("accuracy", title, (table, *notes(said)))


def _of_ood(uses: Sequence[Use], results: Results) -> Iterator[str]:
    told = list(_told(uses, results))
    if not told:
        return
    best = {f"{one.use.track} · {one.backbone} · {one.init}": one.number(one.best).value for one in told}
    simple = [one.number(one.simple).value for one in told if one.simple is not None]
    also = f", {SOFTMAX} with {_span(simple)}" if simple else ""
    reached = _span([*best.values()])
    if reached != fixed(max(best.values())):  # networks differ
        ends = min(best, key=best.__getitem__), max(best, key=best.__getitem__)
        reached = " to ".join(f"{fixed(best[network])} ({network})" for network in ends)
    yield f"The best entry of a network tells its images from ID images with an AUROC of {reached}{also}."


def _of_id(uses: Sequence[Use], results: Results) -> Iterator[str]:
    found = [number.value for _, _, number in _accuracies(uses, results)]
    if found:
        tracks = len({use.track for use in uses if use.role == ID and use.track in results})
        on = "" if tracks == 1 else f" on {tracks} tracks"
        yield f"Networks learn its classes with an accuracy of {_span(found)}{on}."


def _of_training(uses: Sequence[Use]) -> Iterator[str]:
    of = {role: {use.track for use in uses if use.role == role} for role in ("validation", "outliers")}
    if not any(use.is_ood or use.role == ID for use in uses) and any(of.values()):
        told = []
        if n := len(of["validation"]):
            told.append(f"hyper-parameters are tuned on its images on {on_tracks(n)}")
        if n := len(of["outliers"]):
            told.append(f"networks are shown them as outliers in training on {on_tracks(n)}")
        text = ", and ".join(told)
        yield f"{text[:1].upper()}{text[1:]}; no track tests on it."
    if n := len({use.track for use in uses if use.role == PRETRAINING}):
        yield f"First weights on {on_tracks(n)} were trained on it."


def on_tracks(n: int) -> str:
    """A number of tracks in words."""
    return "1 track" if n == 1 else f"{n} tracks"


def _span(values: Sequence[float]) -> str:
    low, high = fixed(min(values)), fixed(max(values))
    return low if low == high else f"{low} to {high}"


def _told(uses: Sequence[Use], results: Results) -> Iterator[Told]:
    for use in uses:
        of_track = results.get(use.track)
        if of_track is None or not use.is_ood:
            continue
        metrics = [measure.metric for measure in of_track.measures]
        if (metric := f"detection.{use.item}.auroc") not in metrics:
            continue
        column = metrics.index(metric)
        by_network: dict[tuple[str, str], list[Line]] = {}
        for line in of_track.of(of_track.lines):
            if line.networks == 1 and not isnan(line.means[column]):
                by_network.setdefault((line.backbone, line.init), []).append(line)
        for (backbone, init), lines in by_network.items():
            most = max(len(line.cells) for line in lines)
            whole = [line for line in lines if len(line.cells) == most]
            best = max(whole, key=lambda line: float(line.means[column]))
            simple = next((line for line in lines if line.entry == SOFTMAX), None)
            yield Told(use, backbone, init, simple, best, len(whole), column, of_track.seeds)


def _auroc_cells(spec: Spec, one: Told, results: Results) -> Iterator[Content]:
    label = Labels((one.use.track, one.backbone, one.init))
    saw = _saw(results[one.use.track], one.use.item, one.backbone, one.init)
    yield Noted(label, saw) if saw else label
    yield f"{one.use.role}: {one.use.item}"
    yield None if one.simple is None else one.number(one.simple)
    yield (Link(one.best.entry, path_of("detectors", spec.entries[one.best.entry].detector)),)
    yield one.number(one.best)
    yield one.of
    yield Count(len(one.best.cells), one.seeds)


def _accuracies(uses: Sequence[Use], results: Results) -> Iterator[tuple[TrackResults, Line, Number]]:
    """Of the networks of each track whose ID set it is."""
    for name in dict.fromkeys(use.track for use in uses if use.role == ID):
        of_track = results.get(name)
        for line in () if of_track is None else of_track.lines.get(SOFTMAX, ()):
            values = [found.numbers[ACCURACY] for found in line.cells]
            interval = mean_interval(values)
            half = interval.high - interval.mean if len(values) > 1 else nan
            assert of_track is not None
            yield of_track, line, Number(interval.mean, half=half)


def _saw(track: TrackResults, item: str, backbone: str, init: str) -> str:
    """What the first weights had seen of a set and of the ID classes; empty where nothing."""
    seen = track.seen[backbone, init]
    told = [_SAW] if item in seen.sets else []
    return "; ".join([*told, *([_SAW_CLASSES] if seen.classes else [])])


def _seen_notes(shown: Iterable[tuple[TrackResults, str, Line]]) -> list[str]:
    """What it means that weights saw something, of the sets and networks that are shown."""
    found = [(track.name, item, track.seen[line.backbone, line.init]) for track, item, line in shown]
    said = []
    if any(item in seen.sets for _, item, seen in found):
        said.append(f"{_SAW.capitalize()}: the first weights were trained on the dataset that they are from.")
    tracks: dict[str, list[str]] = {}
    for name, _, seen in found:
        for classes in seen.classes:
            tracks.setdefault(classes, []).append(name)
    listed = "; ".join(f"{classes} ({', '.join(dict.fromkeys(names))})" for classes, names in tracks.items())
    if listed:
        said.append(
            f"{_SAW_CLASSES[0].upper()}{_SAW_CLASSES[1:]}: the first weights were trained on {listed}."
        )
    return said
