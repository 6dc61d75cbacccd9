"""Runs of the small leaderboard, and what they leave."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from benchmark.plan.make import Selection, make_plan
from benchmark.records.record import DETECTION
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import MANIFEST, Store


def said(record):
    """All that a record measured."""
    return record.model_dump_json(include={"numbers", "series"})


def cells(summary):
    """The records of OOD detection that a run came to."""
    return {place: record for place, record in summary.records.items() if place.study == DETECTION}


class Place(NamedTuple):
    """Where a run keeps things."""

    cache: Path
    results: Path

    def records(self):
        """Every record by cell, once each."""
        found = {}
        for file in read_all(self.results):
            for record in file.records:
                cell = (file.track, file.row, *record.cell)
                assert cell not in found
                found[cell] = record
        return found

    def measurements(self):
        return {cell: said(record) for cell, record in self.records().items()}

    def state(self):
        """Content and time of every record file."""
        return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in self.results.rglob("*.json")}


class Events(list):
    def __call__(self, event, job, message):
        self.append((event, job.label))

    def done(self):
        return sorted(label for event, label in self if event == "done")


def planned(leaderboard):
    return make_plan(load_spec(leaderboard), Selection())


def run(leaderboard, place, workers=1, **options):
    """Run everything in this process; the labels of the jobs that were done, and the summary."""
    events = Events()
    done = run_plan(
        planned(leaderboard),
        cache=place.cache,
        results=place.results,
        workers=workers,
        on_event=events,
        **options,
    )
    return events.done(), done


def command(small, place, tmp_path, *arguments):
    folders = {"--cache": place.cache, "--results": place.results, "--site": tmp_path / "site"}
    options = [str(part) for pair in folders.items() for part in pair if str(pair[0]) not in arguments]
    return ["run", "--all", "--jobs", "1", "--leaderboard", str(small), *options, *map(str, arguments)]


def lose(place, *keys):
    for key in keys:
        shutil.rmtree(place.cache / "objects" / key[:2] / key)


def artifacts(place):
    """The kind of every artifact, by key."""
    found = {}
    for path in place.cache.glob(f"objects/*/*/{MANIFEST}"):
        found[path.parent.name] = json.loads(path.read_text())["made"]["kind"]
    return found


def assert_sound(place, plan):
    """The cache holds each artifact of the plan, whole, and nothing else that passes for one."""
    store = Store(place.cache)
    assert {path.name for path in place.cache.glob("objects/*/*")} == set(plan.jobs)
    for key in plan.jobs:
        store.open(key)
