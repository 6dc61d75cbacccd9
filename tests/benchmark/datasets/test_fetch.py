"""Fetching and checking splits by name: which, in which order, and what comes of each."""

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hub_files import encode, hub_dataset, noise, write_split

from benchmark.datasets import HubDataset, catalog, dataset
from benchmark.datasets.fetch import check, fetch, sources_of, splits_of
from benchmark.errors import DataError, UsageError
from benchmark.spec.images import ImageSource

SPEC = SimpleNamespace(tracks={}, datasets={}, kept=lambda name, work: work())  # no name is a track's


def fill(entry, split, rows=None):
    rows = rows or entry.splits[split]
    write_split(
        entry.place(split), [encode(noise(seed=i)) for i in range(rows)], [i % 3 for i in range(rows)]
    )


@pytest.fixture(autouse=True)
def insects(monkeypatch, tmp_path):
    """A catalog with a dataset of two splits, of which only one can be fetched; an empty mirror."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    entry = hub_dataset(splits={"test": 6, "train": 9})
    monkeypatch.setitem(catalog._CATALOG, "insects", entry)

    def download(self, split, on_rows=None):
        if split == "train":
            raise DataError("no way to the Hub")
        on_rows(3)
        fill(self, split)

    monkeypatch.setattr(HubDataset, "download", download)
    return entry


def test_sources_of_every_role_are_seen():
    def source(dataset, split=None):
        return ImageSource(dataset=dataset, split=split)

    track = SimpleNamespace(
        id=source("insects", "train"),
        id_test=source("insects", "test"),
        sets={
            "near": {},
            "far": {"a": source("beetles")},
            "drawn": {"d": source("glyphs")},
            "validation": {"b": source("digits")},
            "outliers": {"c": source("strokes")},
        },
    )
    assert [(role, name, source.dataset) for role, name, source in sources_of(track)] == [
        ("ID", "id", "insects"),
        ("ID test", "id_test", "insects"),
        ("far OOD", "a", "beetles"),
        ("drawn OOD", "d", "glyphs"),
        ("validation OOD", "b", "digits"),
        ("outliers", "c", "strokes"),
    ]


def test_a_source_without_a_split_means_all(insects):
    assert splits_of(insects, ImageSource(dataset="insects")) == ("test", "train")
    assert splits_of(insects, ImageSource(dataset="insects", split="train")) == ("train",)
    assert splits_of(dataset("digits"), ImageSource(dataset="digits")) == (None,)
    with pytest.raises(DataError, match="no split 'dev'"):
        splits_of(insects, ImageSource(dataset="insects", split="dev"))


def test_outcomes_come_one_by_one_and_a_failure_stops_nothing(insects):
    seen = []

    @contextmanager
    def watch(part):
        seen.append(f"{part} begins")
        yield lambda rows: seen.append(rows)
        seen.append(f"{part} ends")

    outcomes = fetch(["insects:train", "insects"], SPEC, watch)
    first = next(outcomes)
    assert (str(first.part), first.was_here, first.failure) == ("insects:train", False, "no way to the Hub")
    assert seen == ["insects:train begins"]
    (second,) = outcomes
    assert (str(second.part), second.was_here, second.failure) == ("insects:test", False, "")
    assert seen[1:] == ["insects:test begins", 3, "insects:test ends"]
    (again,) = fetch(["insects:test"], SPEC, watch)
    assert again.was_here
    assert len(seen) == 4


def test_an_unknown_name_is_refused_at_once(insects):
    for use in (lambda names: fetch(names, SPEC, None), lambda names: check(names, SPEC)):
        with pytest.raises(UsageError, match="did you mean 'insects'"):
            use(["insects:test", "insect"])
    assert not insects.here("test")


def test_faults_of_each_split(insects):
    assert list(check([], SPEC)) == []
    fill(insects, "train")
    fill(insects, "test", rows=5)
    found = {str(outcome.part): outcome.faults for outcome in check(["insects"], SPEC)}
    assert found["insects:train"] == ()
    assert any("5 rows, expected 6" in fault for fault in found["insects:test"])
