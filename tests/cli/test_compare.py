"""`oodbench compare`, and the file that it keeps: the spread between machines."""

import json

import pytest
from two_sides import file, record

from benchmark.errors import DataError
from benchmark.records.comparison import pair, seen
from benchmark.records.results import write_records
from benchmark.records.spread import Spread, add_to, describe, read_spread
from benchmark.records.text import record_path


def write(folder, *files):
    for made in files:
        write_records(record_path(folder, made.track, made.row), made)


def tuned(near: float, percentile: float, **changes):
    values = {"hp_mode": "proxy_ood", "hyperparameters": {"percentile": percentile}}
    return record(near, **values, **changes)


@pytest.fixture
def folders(command):
    """Two folders: msp and ash_tuned on networks of each side's own, knn on the same ones."""
    one, other = command.folder / "a", command.folder / "b"
    write(one, file("msp", [record(0.8), record(0.7, seed=1)]), file("ash_tuned", [tuned(0.9, 65.0)]))
    write(other, file("msp", [record(0.81, network="x"), record(0.67, seed=1, network="x")]))
    write(other, file("ash_tuned", [tuned(0.4, 90.0, network="x")]))
    write(one, file("knn", [record(0.8)]))
    write(other, file("knn", [record(0.8001)]))
    return command


def test_compare_shows_rows_widest_first_and_what_flips(folders):
    code, out, err = folders("compare", "a", "b")
    assert (code, err) == (0, "")
    assert out.startswith("4 places compared, 0 equal to the bit, 1 of the same networks\n")
    assert "first: Invented CPU; Python 3.11.9; timm 1.0.9, torch 2.4.0\n" in out
    rows = [line.split()[1] for line in out.split("Near AUROC by row")[1].splitlines() if " toy " in line]
    assert rows[:3] == ["ash_tuned", "msp", "knn"]
    assert "chosen otherwise: toy ash_tuned tiny_cnn scratch seed 0: percentile 65.0 → 90.0\n" in out


def test_compare_writes_json_with_the_conditions_of_each_side(folders):
    code, _, _ = folders("compare", "a", "b", "--json", "spread.json")
    assert code == 0
    (part,) = json.loads((folders.folder / "spread.json").read_text())["comparisons"]
    assert (part["compared"], part["equal"], part["same_network"]) == (4, 0, 1)
    assert part["a"][0]["libraries"] == {"torch": "2.4.0", "timm": "1.0.9"}
    near = part["tracks"]["toy"]["own"]["msp"]["near.auroc"]
    assert (near["n"], near["equal"]) == (2, 0)
    assert (near["median"], near["mean"], near["max"]) == pytest.approx((0.02, 0.02, 0.03))
    assert near["q95"] == pytest.approx(0.01 + 0.95 * 0.02)
    assert part["flips"] == [
        {
            "place": "toy ash_tuned tiny_cnn scratch seed 0",
            "a": {"percentile": 65.0},
            "b": {"percentile": 90.0},
        }
    ]


def test_the_spread_serves_as_tolerance(folders):
    folders("compare", "a", "b", "--json", "spread.json")
    spread = read_spread(folders.folder / "spread.json")
    assert spread.tolerance("toy", "msp", "near.auroc") == pytest.approx(0.03)
    assert spread.tolerance("toy", "knn", "near.auroc", "same") == pytest.approx(0.0001)
    assert spread.tolerance("toy", "new", "near.auroc") == pytest.approx(0.5)  # the widest of the track's
    assert spread.tolerance("toy", "msp", "classification.accuracy") == 0.0
    assert spread.tolerance("toy", "msp", "detection.glyphs.auroc") == 0.0
    for place in (("other", "msp", "near.auroc"), ("toy", "msp", "near.gone")):
        with pytest.raises(DataError, match="never compared"):
            spread.tolerance(*place)


def test_a_file_holds_one_comparison_for_each_pair_of_conditions(folders):
    path = folders.folder / "spread.json"
    for _ in range(2):
        assert folders("compare", "a", "b", "--json", "spread.json")[0] == 0
    assert len(read_spread(path).comparisons) == 1
    part = read_spread(path).comparisons[0]
    forced = part.b[0].model_copy(update={"instructions": "DEFAULT"})
    wider = describe(
        pair(seen([file("msp", [record(0.8)])]), seen([file("msp", [record(0.4, network="x")])]))
    )
    assert add_to(path, wider.model_copy(update={"b": [forced]}))
    spread = read_spread(path)
    assert len(spread.comparisons) == 2
    assert spread.tolerance("toy", "msp", "near.auroc") == pytest.approx(0.4)  # the largest of all


def test_a_record_is_not_overwritten(folders):
    path = record_path(folders.folder / "a", "toy", "msp")
    before = path.read_bytes()
    code, _, err = folders("compare", "a", "b", "--json", "a/toy/msp.json")
    assert code == 2
    assert err.startswith("oodbench: a/toy/msp.json: ")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (["a", "nothing"], 2, "nothing: has no records; expected a folder that `oodbench run` wrote"),
        (["a", "c"], 1, "nothing to compare: the folders share no place"),
    ],
)
def test_folders_that_cannot_be_compared_are_named(folders, names, code, message):
    write(folders.folder / "c", file("energy", [record(0.8)]))
    found, out, err = folders("compare", *names)
    assert (found, out) == (code, "")
    assert err.startswith(f"oodbench: {message}")


def test_a_spread_reads_back_as_it_was_written(folders):
    folders("compare", "a", "b", "--json", "spread.json")
    path = folders.folder / "spread.json"
    assert Spread.model_validate_json(path.read_bytes()) == read_spread(path)
    assert not add_to(path, read_spread(path).comparisons[0])
