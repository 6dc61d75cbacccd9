"""From a leaderboard file and a selection to the cells, and the jobs that they need, each with a content key.

A job's key is the hash of all that makes its result: its configuration, the keys of its inputs, the source of
the code that computes it and the versions of the libraries below. Nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmark.census import Census, Selection
from benchmark.datasets import DataMissing
from benchmark.errors import MethodLeftOut, UsageError
from benchmark.jobs.job import Job
from benchmark.plan.checks import check_datasets
from benchmark.plan.methods import declared
from benchmark.plan.plan import Plan, Planned
from benchmark.plan.track import TrackPlanner
from benchmark.spec.leaderboard import Spec
from benchmark.spec.limits import MOST_CELLS
from methods.names import did_you_mean

__all__ = ["Plan", "Planned", "Selection", "make_plan"]


def make_plan(spec: Spec, selection: Selection) -> Plan:
    """Plan the selected cells.

    A track whose data are not at hand is left out, with the reason, unless it was selected by name; so is
    what uses a method whose file is broken.

    Raises
    ------
    UsageError
        If the selection names something that the leaderboard does not have, or is too large.
    SpecError
        If an entry names an unknown method, dataset or hyper-parameter; names file, line and key.
    DataMissing
        If a selected track's data, or those of every track, are not at hand.
    """
    _check_selection(spec, selection)
    census = Census(spec, declared)
    jobs: dict[str, Job] = {}
    measured: list[Planned] = []
    trainings: list[Planned] = []
    left_out: dict[str, DataMissing] = {}
    broken: dict[str, str] = {}
    for name in census.tracks:
        if selection.tracks and name not in selection.tracks:
            continue
        _check_size(census, name, selection)
        try:
            if name in spec.tracks:
                check_datasets(spec, name)
            planner = TrackPlanner(census, name, selection, jobs)
            of_track = [*planner.measured()]
            measured += of_track
            trainings += planner.trainings(of_track)
            broken |= {f"{what} of track {name}": why for what, why in planner.left_out.items()}
        except DataMissing as error:
            if name in selection.tracks:
                raise
            left_out[name] = error
    if not any(one.place.track in spec.tracks for one in measured):
        if left_out:
            raise next(iter(left_out.values()))
        if broken:
            raise MethodLeftOut(next(iter(broken.values())))
        raise UsageError(
            "nothing is selected: no track has all of the given backbones, inits, seeds, entries and studies"
        )
    return Plan(
        measured=tuple(measured),
        jobs=jobs,
        left_out={name: str(error) for name, error in left_out.items()},
        trainings=tuple(trainings),
        broken=broken,
        selection=selection,
    )


def _check_size(census: Census, name: str, selection: Selection) -> None:
    """Refuse what would be planned for longer than anyone waits."""
    studies = census.studies(name, selection)
    count = sum(axes.count for study in studies for axes in census.axes(name, study, selection).values())
    if count > MOST_CELLS:
        raise UsageError(
            f"{census.spec.where('tracks', name)}: {count:,} cells are asked for at once; expected at most "
            f"{MOST_CELLS:,}: choose a part with --entry, --backbone, --init, --seed or --study"
        )


def _check_selection(spec: Spec, selection: Selection) -> None:
    tracks = [t for n, t in spec.tracks.items() if not selection.tracks or n in selection.tracks]
    studies = [(n, s) for t in tracks for n, s in t.studies.chosen(full=True).items()]
    of_studies = [init for _, study in studies for init in study.all_inits]
    known: dict[str, tuple[str, Iterable[Any]]] = {
        "tracks": ("track", spec.tracks),
        "entries": ("entry", [entry for t in tracks for entry in t.all_entries]),
        "backbones": ("backbone", [backbone for t in tracks for backbone in t.backbones]),
        "inits": ("init", [init for t in tracks for init in t.entry_inits] + of_studies),
        "seeds": ("seed", [seed for t in tracks for seed in t.seeds]),
        "studies": ("study", [name for name, _ in studies]),
    }
    for kind, (word, choices) in known.items():
        names = list(dict.fromkeys(str(choice) for choice in choices))
        for wanted in getattr(selection, kind):
            if str(wanted) not in names:
                hint = did_you_mean(str(wanted), names, f"oodbench list {kind}")
                raise UsageError(f"no {word} {str(wanted)!r}; {hint}")
