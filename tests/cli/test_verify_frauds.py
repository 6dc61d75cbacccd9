"""Planted frauds, and what looks like them: `oodbench verify` names each."""

import json
import shutil
from collections import Counter
from itertools import combinations
from math import comb

import pytest
import torch
from altered_records import change, elsewhere, unchecked
from safetensors.torch import load_file, save_file
from two_sides import record

from benchmark.records import text
from benchmark.records.files import read_records
from benchmark.records.text import record_path
from benchmark.store.artifacts import MANIFEST
from benchmark.store.files import sha256_of
from benchmark.verify.draw import chance, drawn
from benchmark.verify.ledger import read_ledger
from benchmark.verify.verdicts import spread_of

ONE = ("--entry", "msp", "--seed", 0)  # the cell that is altered
ALIKE = {"near": "far", "far": "near", "threes": "noise", "noise": "threes"}


def areas(edit):
    """Edits every AUROC."""
    return lambda found: {
        path: edit(value) if path.rpartition(".")[2].startswith("auroc") else value
        for path, value in found.items()
    }


def swapped(found):
    """Near for far: of every number and curve."""
    parts = {name: [ALIKE.get(part, part) for part in name.split(".")] for name in found}
    to = {
        name: ".".join(of).replace("_near", "_x").replace("_far", "_near").replace("_x", "_far")
        for name, of in parts.items()
    }
    return {name: found.get(to[name], found[name]) for name in found}


FRAUDS = {
    "all improved by half a point": {"numbers": areas(lambda x: min(1.0, x + 0.005))},
    "all improved by a half": {"numbers": areas(lambda x: min(1.0, x + 0.5))},
    "near and far swapped": {"numbers": swapped, "series": swapped},
    "ID and OOD swapped": {"numbers": areas(lambda x: 1 - x)},
}


@pytest.mark.parametrize("fraud", FRAUDS)
def test_numbers_that_were_not_computed_are_named(verify, fraud, monkeypatch):
    with monkeypatch.context() as patch:
        unchecked(patch)
        change(verify.results, **FRAUDS[fraud])
    with monkeypatch.context() as patch:  # even where records are consistent with themselves
        unchecked(patch)
        code, out, _ = verify(*ONE)
        assert code == 1
        assert "MISMATCH" in out
        assert "small msp tiny scratch seed 0" in out
    code, out, err = verify(*ONE)
    assert code == 1
    assert "MISMATCH" in out or "msp.json: tiny scratch 0: " in err


def test_a_bad_seed_that_is_claimed_to_have_failed_is_computed_again(verify):
    nothing = {"numbers": lambda _: {}, "series": lambda _: {}}
    change(verify.results, **nothing, status=lambda _: "failed", reason=lambda _: "out of memory")
    code, out, _ = verify(*ONE)
    assert code == 1
    assert "MISMATCH: failed is claimed, it was measured" in out


def test_a_forged_hash_of_the_weights_gives_no_room(verify):
    """Else whoever alters a number would have the width that networks of two machines differ by."""
    better = 1e-6

    def forged(made):
        return made.model_copy(update={"checkpoint": "0" * 64})

    change(
        verify.results,
        provenance=forged,
        numbers=lambda n: {**n, "selective.aurc": n["selective.aurc"] - better},
    )
    code, out, _ = verify(*ONE, "--write", "--by", "us")
    assert code == 1
    assert "MISMATCH: of other weights (000000000000 claimed, " in out
    assert not read_ledger(verify.results).verifications


def test_other_weights_of_another_machine_are_held_to_the_spread_and_no_more(verify, monkeypatch):
    with monkeypatch.context() as patch:
        unchecked(patch)
        change(
            verify.results,
            provenance=lambda made: made.model_copy(update={"checkpoint": "0" * 64}),
            numbers=areas(lambda x: 1 - x),
        )
        elsewhere(verify.results)
        code, out, _ = verify(*ONE)
    assert code == 1
    assert "MISMATCH: of a network trained again: at most" in out


def test_the_same_weights_on_another_machine_may_differ_by_a_ten_thousandth(verify, monkeypatch):
    for by, expected in ((5e-5, 0), (2e-4, 1)):
        with monkeypatch.context() as patch:
            unchecked(patch)
            change(verify.results, numbers=areas(lambda x, by=by: x - by if x > 0.5 else x + by))
            elsewhere(verify.results)
            code, out, _ = verify(*ONE)
        assert code == expected
        assert ("within: of the same weights on another machine" in out) == (not expected)


def test_other_settings_are_named_whether_or_not_the_cell_is_drawn(verify):
    def other(said):
        return {**said, "hyperparameters": {**said["hyperparameters"], "k": 5}}

    change(verify.results, "knn", settings=other)
    for seed in range(2):
        code, out, _ = verify("--seed-of-draw", seed, cells=1)
        assert code == 1
        assert "with other settings than leaderboard.yaml has now: hyperparameters" in out
        assert "small knn tiny scratch seed 0" in out


def test_a_key_that_is_not_todays_is_named(verify):
    change(verify.results, key=lambda _: "f" * 32)
    code, out, _ = verify(*ONE)
    assert code == 1
    assert "of another key than today's" in out


def test_another_key_is_expected_of_other_libraries(verify):
    path = record_path(verify.results, "small", "msp")
    content = json.loads(path.read_text())
    for place in content["environments"].values():
        place["libraries"]["torch"] = "1.0"
    path.write_text(json.dumps(content))
    change(verify.results, key=lambda _: "f" * 32)
    code, out, _ = verify(*ONE)
    assert code == 0
    assert "another key" not in out


# Networks


def weights(cache):
    """The file of the weights of every trained network."""
    made = {path: json.loads(path.read_text())["made"] for path in cache.glob(f"objects/*/*/{MANIFEST}")}
    return [path.parent / "model.safetensors" for path, one in made.items() if one["kind"] == "train"]


@pytest.fixture
def cache(measured, tmp_path, monkeypatch):
    """A cache of one's own with the networks."""
    folder = tmp_path / "own"
    shutil.copytree(measured.cache, folder)
    monkeypatch.setenv("OODBENCH_CACHE", str(folder))
    return folder


def test_a_damaged_network_is_said_and_not_trained_again(verify, cache):
    for path in weights(cache):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    code, out, err = verify()
    assert code == 0
    assert "not computed again: 4: its network is not at hand, or damaged" in out
    assert "0 stand, 0 do not" in out
    assert "train" not in err


def test_weights_that_were_changed_with_their_checksum_are_named(verify, cache):
    for path in weights(cache):
        tensors = load_file(path)
        save_file({n: t + 0.01 if t.dtype == torch.float32 else t for n, t in tensors.items()}, path)
        manifest = json.loads((path.parent / MANIFEST).read_text())
        manifest["files"][path.name] = {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        (path.parent / MANIFEST).write_text(json.dumps(manifest))
    code, out, _ = verify(*ONE)
    assert code == 1
    assert "MISMATCH: of other weights (" in out


# How much trainings may differ


def seeds(*values):
    """Records of one backbone and init with these numbers."""
    records = [record(0.8, seed=i) for i in range(len(values))]
    return [
        one.model_copy(update={"numbers": {**one.numbers, "selective.aurc": value}})
        for one, value in zip(records, values, strict=True)
    ]


def test_an_alteration_does_not_widen_what_it_is_held_to():
    honest, forged = seeds(0.10, 0.11, 0.12, 0.11), seeds(0.99, 0.11, 0.12, 0.11)
    widths = [spread_of(of[0], of, lambda path: 0.0)("selective.aurc") for of in (honest, forged)]
    # of .11, .12, .11: standard deviation .005774, times 3.2905 √2
    assert widths == [pytest.approx(0.02687, abs=1e-5)] * 2


def test_what_machines_were_seen_to_differ_by_counts_where_it_is_more():
    few = seeds(0.1, 0.2)
    assert spread_of(few[0], few, lambda path: 0.0)("selective.aurc") == 0.0
    assert spread_of(few[0], few, lambda path: 0.03)("selective.aurc") == 0.03


# Files that want to do harm


def test_a_hostile_name_reaches_no_terminal(verify):
    name = "\x1b[2J\x1b]0;gone\x07[red]x[/red]<script>"

    def other(made):
        return made.model_copy(update={"data": {**made.data, name * 9: "\x1b[31m" * 20}})

    change(verify.results, provenance=other)
    code, out, err = verify(*ONE)
    assert code == 1
    assert "the set has changed" in out
    assert "\x1b" not in out + err
    assert max(map(len, out.splitlines())) < 400
    change(verify.results, provenance=lambda made: made.model_copy(update={"method_source": name}))
    code, out, err = verify(*ONE)
    assert code == 1
    assert "\x1b" not in out + err


def huge(content):
    return json.dumps(content) + " " * text.LARGEST


def of_another_place(content):
    return json.dumps({**content, "track": "../../elsewhere"})


HOSTILE = {
    "too large": (huge, "expected at most"),
    "nested too deeply": (lambda _: "[" * 100_000, "recursion limit"),
    "no number": (lambda c: json.dumps(c).replace('"numbers": [', '"numbers": [NaN, ', 1), "msp.json"),
    "infinite": (lambda c: json.dumps(c).replace('"numbers": [', '"numbers": [1e400, ', 1), "msp.json"),
    "a path": (of_another_place, "expected one file of them, of that name"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_by_name(verify, what, monkeypatch):
    monkeypatch.setattr(text, "LARGEST", 1 << 20)
    make, said = HOSTILE[what]
    path = record_path(verify.results, "small", "msp")
    path.write_text(make(json.loads(path.read_text())))
    code, _, err = verify(*ONE)
    assert code == 1
    assert str(path.name) in err
    assert said in err


def test_only_files_of_what_is_selected_are_read(verify):
    (verify.results / "other").mkdir()
    (verify.results / "other" / "msp.json").write_text("{")
    record_path(verify.results, "small", "knn").write_text("{")
    assert verify(*ONE)[0] == 0
    code, _, err = verify("--seed", 0)
    assert code == 1
    assert "knn.json" in err


def test_a_record_of_another_row_is_not_taken_for_it(verify):
    shutil.copyfile(record_path(verify.results, "small", "knn"), record_path(verify.results, "small", "msp"))
    code, _, err = verify(*ONE)
    assert code == 1
    assert "holds the records of small/knn.json" in err


# The draw

ROWS = {"a": 8, "b": 3, "c": 1, "d": 4}
CELLS = [(row, i) for row, n in ROWS.items() for i in range(n)]


def row_of(cell):
    return cell[0]


@pytest.mark.parametrize("count", range(1, len(CELLS)))
def test_every_row_gets_its_share_of_the_draw(count):
    for seed in range(20):
        found = drawn(CELLS, count, seed, row_of)
        assert len(set(found)) == count
        assert found == [cell for cell in CELLS if cell in found]
        assert found == drawn(CELLS, count, seed, row_of)
        for row, n in ROWS.items():
            share = count * n / len(CELLS)
            assert abs(sum(cell[0] == row for cell in found) - share) < 1


def test_every_cell_is_drawn_as_often_as_another_whatever_its_row():
    counts = Counter(cell for seed in range(4000) for cell in drawn(CELLS, 5, seed, row_of))
    expected = 4000 * 5 / 16
    assert len(counts) == 16
    assert all(abs(n - expected) < 5 * 29.3 for n in counts.values())  # sd of a binomial: √(4000·5/16·11/16)


@pytest.mark.parametrize("altered", [1, 2, 3])
def test_the_chance_holds_of_a_draw_by_rows(altered):
    """Of all ways to alter so many cells the share that a given draw finds."""
    found = set(drawn(CELLS, 6, 11, row_of))
    hit = sum(not found.isdisjoint(ways) for ways in combinations(CELLS, altered))
    assert chance(len(CELLS), 6, altered) == pytest.approx(hit / comb(len(CELLS), altered))


def test_a_draw_of_half_the_cells_takes_one_of_each_row(verify):
    for seed in range(3):
        _, out, _ = verify("--seed-of-draw", seed, "--json", cells=2)
        assert sorted(cell.split()[1] for cell in json.loads(out)["drawn"]) == ["knn", "msp"]


def test_what_is_published_is_only_read(verify):
    before = {path: path.read_bytes() for path in verify.results.rglob("*") if path.is_file()}
    verify(*ONE)
    assert before == {path: path.read_bytes() for path in verify.results.rglob("*") if path.is_file()}
    assert read_records(record_path(verify.results, "small", "msp")).records
