"""Datasets of the Hub: what is wrong with a file of the mirror."""

import json

import pytest
from hub_examples import fill
from hub_files import encode, hub_dataset, images_column, noise, write_raw

from benchmark.errors import DataError


def test_a_good_file_has_nothing_wrong():
    entry = hub_dataset()
    fill(entry)
    assert entry.check("test") == []


def test_a_missing_file_is_wrong():
    (fault,) = hub_dataset().check("test")
    assert fault.endswith("oodbench data get insects:test")
    with pytest.raises(DataError, match="no split 'tests'"):
        hub_dataset().check("tests")


def test_a_checksum_that_differs_is_wrong():
    entry = hub_dataset()
    fill(entry)
    side = entry.path("test").with_suffix(".json")
    side.write_text(json.dumps({"sha256": entry.digest("test")}))
    assert entry.check("test") == []
    side.write_text(json.dumps({"sha256": "0" * 64}))
    (fault,) = entry.check("test")
    assert entry.digest("test") in fault
    assert "expected 0000" in fault


@pytest.mark.parametrize("text", ["", "[]", "{}", "7"])
def test_a_broken_file_beside_it_is_wrong(text):
    entry = hub_dataset()
    fill(entry)
    entry.path("test").with_suffix(".json").write_text(text)
    (fault,) = entry.check("test")
    assert "test.json cannot be read" in fault


def test_all_that_is_wrong_is_told_at_once():
    entry = hub_dataset(rows=40)
    encoded = [encode(noise())] * 5 + [b"no image"] * 20
    write_raw(entry.place("test"), image=images_column(encoded), label=[0] * 24 + [9])
    faults = entry.check("test")
    assert "has 25 rows, expected 40" in faults[0]
    assert "row 24 has label 9" in faults[1]
    assert [f"row {5 + i} cannot be decoded" in fault for i, fault in enumerate(faults[2:12])] == [True] * 10
    assert "10 more images cannot be decoded" in faults[12]
    assert len(faults) == 13


def test_a_cut_file_is_wrong():
    entry = hub_dataset()
    fill(entry)
    path = entry.path("test")
    path.write_bytes(path.read_bytes()[:-30])
    (fault,) = entry.check("test")
    assert "cannot be read" in fault
