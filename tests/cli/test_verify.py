"""`oodbench verify`: what is published is computed again, and what was altered is named."""

import json
import shutil
from math import comb

import pytest
from altered_records import change, elsewhere, numbers

from benchmark.records.files import iterate, read_records
from benchmark.records.text import record_path
from benchmark.store.artifacts import MANIFEST, Store
from benchmark.verify.draw import chance, drawn
from benchmark.verify.ledger import LEDGER, digest_of, read_ledger


def test_untouched_records_stand_to_the_bit(verify):
    code, out, _ = verify()
    assert code == 0
    assert "4 of 4 published cells drawn" in out
    assert out.count("equal: to the bit") == 4
    assert "One altered cell of 4 would have been among these 4 with probability 100.0%" in out
    assert out.rstrip().endswith("4 stand, 0 do not")


def test_nothing_that_the_cache_holds_of_scores_is_believed(verify, measured, tmp_path, monkeypatch):
    cache = tmp_path / "poisoned"
    shutil.copytree(measured.cache, cache)
    monkeypatch.setenv("OODBENCH_CACHE", str(cache))
    touched = 0
    for manifest in cache.glob(f"objects/*/*/{MANIFEST}"):
        said = json.loads(manifest.read_text())
        if said["made"]["kind"] in ("measure", "score", "extract", "classify"):
            for name in said["files"]:
                (manifest.parent / name).write_bytes(b"altered")
                touched += 1
    assert touched
    code, out, _ = verify()
    assert code == 0
    assert out.count("equal: to the bit") == 4


def shifted(record_numbers):
    """AUROC of the one near set, and so their mean, moved by .001, as the ROC curve allows."""
    by = -0.001 if record_numbers["near.auroc"] > 0.5 else 0.001
    edit = numbers(**dict.fromkeys(("near_auroc", "detection_threes_auroc"), lambda x: x + by))
    found = edit(record_numbers)
    return (
        {**found, "full_spectrum.near.auroc": full(found)} if "full_spectrum.near.auroc" in found else found
    )


def full(found):
    """AUROC of the full spectrum, as it follows from the parts: a fraud that agrees with itself."""
    clean, whole = found["classification.n"], found["full_spectrum.n_in"]
    parts = [v for p, v in found.items() if p.endswith(".auroc_near") and p.split(".")[2] != "0"]
    each = (whole - clean) / len(parts)
    return round((clean * found["near.auroc"] + each * sum(parts)) / whole, 10)


def test_one_cell_altered_by_a_thousandth_is_named(verify):
    change(verify.results, numbers=shifted)
    code, out, _ = verify()
    assert code == 1
    assert out.count("MISMATCH") == 1
    line = next(line for line in out.splitlines() if "MISMATCH" in line)
    assert "small msp tiny scratch seed 0" in line
    assert "not to the bit, of the same weights where it was made" in line
    assert out.rstrip().endswith("3 stand, 1 do not")


def test_a_number_that_no_other_depends_on_is_found_as_well(verify):
    change(verify.results, "knn", numbers=numbers(selective_aurc=lambda x: x + 1e-6))
    code, out, _ = verify()
    assert code == 1
    assert "selective.aurc" in out


def test_what_plots_show_is_compared_too(verify):
    def moved(series):
        bins = list(series["histogram_id"])
        at = max(range(len(bins)), key=bins.__getitem__)
        bins[at], bins[at - 1] = bins[at - 1], bins[at]
        return {**series, "histogram_id": bins}

    change(verify.results, series=moved)
    code, out, _ = verify()
    assert code == 1
    assert "what plots show" in out


def test_a_cell_that_is_not_drawn_is_not_found_and_the_chance_says_so(verify):
    change(verify.results, numbers=shifted)
    codes = {}
    for seed in range(6):
        code, out, _ = verify("--seed-of-draw", seed, cells=1)
        assert "1 of 4 published cells drawn" in out
        assert "with probability 25.0%" in out
        codes[seed] = code
    assert {0, 1} == set(codes.values())
    again = [verify("--seed-of-draw", seed, cells=1)[0] for seed in codes]
    assert again == [*codes.values()], "the same seed draws the same cells"


def test_images_that_changed_under_the_same_name_are_named(verify):
    def other(made):
        return made.model_copy(update={"data": {**made.data, "threes": "0" * 64}})

    change(verify.results, provenance=other)
    code, out, _ = verify()
    assert code == 1
    assert "images of threes" in out
    assert "the set has changed" in out


def test_a_record_of_another_methods_source_is_named_whether_or_not_it_is_drawn(verify):
    change(verify.results, provenance=lambda made: made.model_copy(update={"method_source": "f" * 64}))
    for cells in ("all", 1):
        code, out, _ = verify("--seed-of-draw", 1, cells=cells)
        assert code == 1
        assert "does not stand: made by other code (ffffffffffff, today" in out
        assert "small msp tiny scratch seed 0" in out


def test_a_seed_that_was_left_out_is_named(verify):
    change(verify.results)
    code, out, _ = verify()
    assert code == 1
    assert "does not stand: 1 cells of published rows are missing: small msp tiny scratch seed 0" in out


def test_another_detectors_numbers_are_found(verify):
    other = next(r for r in read_records(record_path(verify.results, "small", "knn")).records if r.seed == 0)
    change(verify.results, numbers=lambda _: other.numbers, series=lambda _: other.series)
    code, out, _ = verify()
    assert code == 1
    assert "MISMATCH" in out


def test_of_other_weights_only_the_spread_is_held_to(verify):
    def others(made):
        return made.model_copy(update={"checkpoint": "0" * 64})

    for entry in ("msp", "knn"):
        for seed in (0, 1):
            change(verify.results, entry, seed, provenance=others)
        elsewhere(verify.results, entry)
    code, out, _ = verify()
    assert code == 0
    assert out.count("equal: of a network trained again") == 4


def test_networks_that_are_not_at_hand_are_said_and_trained_on_request(
    verify, measured, tmp_path, monkeypatch
):
    monkeypatch.setenv("OODBENCH_CACHE", str(tmp_path / "empty"))
    code, out, _ = verify()
    assert code == 0
    assert "not computed again: 4: its network is not at hand, or damaged" in out
    assert "with probability 0.0%" in out
    code, out, _ = verify("--from-scratch", 1, "--seed-of-draw", 3)
    assert code == 0
    assert "1 computed again, 1 of them with the training of their network" in out
    assert out.count("equal: to the bit") == 1
    assert not (tmp_path / "empty").exists() or not Store(tmp_path / "empty").usage()[0]
    assert not [*tmp_path.glob(".oodbench-verify-*")]


def test_what_stood_is_kept_and_is_gone_with_a_change(verify):
    change(verify.results, "knn", 1, numbers=numbers(selective_aurc=lambda x: x + 1e-6))
    before = {path: path.read_bytes() for path in verify.results.rglob("*.json")}
    assert verify("--write", "--by", "us")[0] == 1
    last = read_ledger(verify.results).last()
    found = {(file.row, record.seed): digest_of(file, record) in last
             for file in iterate(verify.results, "detection") for record in file.records}  # fmt: skip
    assert found == {("knn", 0): True, ("knn", 1): False, ("msp", 0): True, ("msp", 1): True}
    assert all(path.read_bytes() == content for path, content in before.items()), "no record was touched"
    one = read_ledger(verify.results).verifications[0]
    assert (one.by, one.cells, len(one.records), one.retrained) == ("us", 4, 3, [])
    change(verify.results, "msp", 0, numbers=numbers(selective_aurc=lambda x: x + 1e-6))
    file = read_records(record_path(verify.results, "small", "msp"))
    kept = [digest_of(file, record) in last for record in file.records]
    assert kept == [False, True]


def test_a_later_verification_takes_the_place_of_an_earlier_one(verify):
    assert verify("--write", "--by", "us")[0] == 0
    assert verify("--write", "--by", "them", "--seed-of-draw", 1, cells=1)[0] == 0
    found = read_ledger(verify.results).verifications
    assert [(one.by, len(one.records)) for one in found] == [("us", 3), ("them", 1)]


def test_the_answer_in_json(verify):
    change(verify.results, numbers=shifted)
    code, out, _ = verify("--json", "--seed-of-draw", 5)
    found = json.loads(out)
    assert code == 1
    assert (found["cells"], found["seed_of_draw"], found["stands"]) == (4, 5, False)
    wrong = [one for one in found["verdicts"] if one["verdict"] == "MISMATCH"]
    assert [one["cell"] for one in wrong] == ["small msp tiny scratch seed 0"]
    assert abs(wrong[0]["worst"]["claimed"] - wrong[0]["worst"]["recomputed"]) == pytest.approx(
        0.001, abs=1e-9
    )


MISTAKES = {
    ("--cells", "0"): (2, "--cells: expected a number from 1, or all, got '0'"),
    ("--cells", "many"): (2, "--cells: expected a number from 1, or all, got 'many'"),
    ("--write",): (2, "--write: expected --by NAME"),
    ("--published", "nowhere"): (2, "no record of what is selected is published there"),
    ("--entry", "mps"): (2, "no entry 'mps'"),
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes_are_named(verify, words):
    code, _, err = verify(*words)
    assert (code, MISTAKES[words][1] in err) == (MISTAKES[words][0], True), err


@pytest.mark.parametrize(
    "text", ["", "[]", '{"schema_version": 1, "verifications": [{"by": "x"}]}', "[" * 50_000]
)
def test_a_damaged_ledger_is_named_and_kept(verify, text):
    (verify.results / LEDGER).write_text(text)
    code, _, err = verify("--write", "--by", "us", cells=1)
    assert code == 1
    assert f"{LEDGER}: " in err
    assert (verify.results / LEDGER).read_text() == text


@pytest.mark.parametrize(
    ("cells", "count", "altered"), [(4, 1, 1), (10, 3, 2), (7, 7, 1), (9, 4, 6), (5, 0, 1)]
)
def test_the_chance_is_that_of_all_draws_counted(cells, count, altered):
    from itertools import combinations

    hits = sum(min(draw, default=cells) < altered for draw in combinations(range(cells), count))
    assert chance(cells, count, altered) == pytest.approx(hits / comb(cells, count))


def test_every_cell_is_drawn_as_often_as_another():
    counts = [0] * 8
    for seed in range(4000):
        for cell in drawn(range(8), 3, seed):
            counts[cell] += 1
    assert min(counts) > 1500 - 5 * 31  # 4000 draws, each with probability 3/8: standard deviation 31
    assert max(counts) < 1500 + 5 * 31
