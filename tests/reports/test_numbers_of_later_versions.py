"""Boards of numbers that only newer records have: older ones show a dash and have no position."""

import numpy as np
import pytest
import synthetic_records as synthetic
from page import Page

from benchmark.errors import DataError
from benchmark.studies.detection.measurement import Measurement
from reports.boards.places import Place
from reports.boards.sections import board_section
from reports.boards.tables import board_table, ranking_numbers
from reports.select import select
from reports.site.build import build_site

NEAR = {"metric": "full_spectrum.near.auroc", "title": "Full near", "better": "higher"}
FPR = {"metric": "full_spectrum.near.fpr95", "title": "Full FPR", "better": "lower"}
PLAIN = {"metric": "near.auroc", "title": "Plain near", "better": "higher"}
BOARD = {
    "rows": ["entry"],
    "columns": [NEAR, FPR, PLAIN],
    "rank_by": NEAR["metric"],
    "inits": ["scratch"],
}
SEEDS = range(4)


def made(near, seed, *, spectrum):
    """A measurement of 400 clean images and 100 in each of 15 shifted sets; `spectrum`: with all together."""
    plain = synthetic.make_measurement(np.random.default_rng(seed), near, 2.0, 0.05)
    if not spectrum:
        return plain
    shifted = [level.auroc_near for levels in plain.robustness.values() for level in levels[1:]]
    auroc = (400 * plain.near.auroc + 100 * sum(shifted)) / 1900
    rest = {"aupr_in": 0.5, "aupr_out": 0.5, "fpr95": 1 - auroc}
    whole = {"n_in": 1900, "near": {"auroc": auroc, **rest}, "far": {"auroc": 0.7, **rest}}
    return Measurement.model_validate({**plain.model_dump(), "full_spectrum": whole})


def built(spectrum, backbones=("cnn",), **changes):
    """A leaderboard and its records; by entry whether that of a seed is a new one."""
    distances = {"msp": 0.5, "energy": 1.0, "knn": 2.0}
    board = synthetic.board(**{**BOARD, **changes})
    spec = synthetic.make_spec([*spectrum], backbones=list(backbones), boards={"b": board})
    files = [
        synthetic.make_file(
            entry,
            [
                synthetic.make_record(
                    backbone, "scratch", seed, made(distances[entry] + seed / 50, seed, spectrum=of(seed))
                )
                for backbone in backbones
                for seed in SEEDS
            ],
        )
        for entry, of in spectrum.items()
    ]
    return spec, files, select(spec, files)


def always(seed):
    return True


def never(seed):
    return False


def positions(table):
    return [(row.labels[0], row.place and row.place.position) for row in table.rows]


def row(table, entry):
    return next(row for row in table.rows if row.labels == (entry,))


NOTE = "the record is from before this was measured."


def test_where_all_records_have_them_all_rows_have_a_position():
    spec, _, counted = built({"msp": always, "energy": always, "knn": always})
    table = board_table("b", spec, counted)
    assert [row.labels[0] for row in table.rows] == ["knn", "energy", "msp"]
    assert [row.place for row in table.rows] == [Place(n, n, n, leads=n == 1) for n in (1, 2, 3)]
    assert row(table, "knn").values[1].best
    assert not table.notes


def test_a_row_of_older_records_has_no_value_and_no_position_and_stands_last():
    spec, _, counted = built({"knn": never, "msp": always, "energy": always})
    table = board_table("b", spec, counted)
    assert positions(table) == [("energy", 1), ("msp", 2), ("knn", None)]
    old = row(table, "knn").values
    assert [value.interval is None for value in old] == [True, True, False]  # what it has is shown
    assert old[2].interval.mean > row(table, "energy").values[2].interval.mean
    assert table.notes == (f"– in 1 of 3 rows: {NOTE}",)


def test_the_others_stand_as_if_the_older_row_were_not_there():
    spec, _, counted = built({"knn": never, "msp": always, "energy": always})
    with_old = board_table("b", spec, counted)
    spec, _, counted = built({"msp": always, "energy": always})
    without = board_table("b", spec, counted)
    for entry in ("msp", "energy"):
        one, other = row(with_old, entry), row(without, entry)
        assert (one.place, one.seeds, one.note) == (other.place, other.seeds, other.note)
        assert one.values == other.values
    # in the column that the older row has, its mean is the best, but it has no position
    best = {entry: row(with_old, entry).values[2].best for entry in ("knn", "msp", "energy")}
    assert best == {"knn": False, "msp": False, "energy": True}


def test_where_no_record_has_them_nothing_has_a_position():
    spec, _, counted = built({"msp": never, "energy": never})
    table = board_table("b", spec, counted)
    assert positions(table) == [("msp", None), ("energy", None)]
    assert table.notes == ("Not ranked: no row has Full near.", f"– in 2 of 2 rows: {NOTE}")


def test_a_row_that_has_them_in_some_seeds_has_no_value_rather_than_one_over_fewer():
    spec, _, counted = built({"msp": always, "energy": lambda seed: seed < 3})
    table = board_table("b", spec, counted)
    mixed = row(table, "energy")
    assert (mixed.place, mixed.seeds) == (None, (0, 1, 2, 3))
    assert [value.interval is None for value in mixed.values] == [True, True, False]
    assert table.notes == (f"– in 1 of 2 rows: {NOTE}",)


def test_a_column_that_places_no_row_may_be_absent_from_rows_with_a_position():
    spec, _, counted = built({"msp": always, "energy": always, "knn": never}, rank_by="near.auroc")
    table = board_table("b", spec, counted)
    assert positions(table) == [("knn", 1), ("energy", 2), ("msp", 3)]
    best = {r.labels[0]: [value.best for value in r.values] for r in table.rows}
    assert best == {"knn": [False, False, True], "energy": [True, True, False], "msp": [False] * 3}


def test_averaging_over_a_backbone_without_them_gives_none():
    spec, files, _ = built({"msp": always, "energy": always}, backbones=("cnn", "vit"))
    (msp, energy) = files
    kept = [
        record
        if record.backbone == "cnn"
        else synthetic.measured(record, made(1.0, record.seed, spectrum=False))
        for record in energy.records
    ]
    counted = select(spec, [msp, energy.model_copy(update={"records": kept})])
    table = board_table("b", spec, counted)
    assert row(table, "energy").values[0].interval is None
    assert row(table, "msp").values[0].interval is not None


def test_only_seeds_that_have_them_are_compared_with_published_ones():
    spec, _, counted = built({"msp": never, "energy": lambda seed: seed < 3})
    found = ranking_numbers("b", spec, counted)
    assert {labels: sorted(by_seed) for labels, by_seed in found.items()} == {
        ("msp",): [],
        ("energy",): [0, 1, 2],
    }


def test_a_misspelt_number_is_an_error_all_the_same():
    wrong = {"metric": "full_spectrum.near.aurok", "title": "Mystery", "better": "higher"}
    spec, _, counted = built({"msp": always}, columns=[wrong], rank_by=wrong["metric"])
    with pytest.raises(DataError, match=r"column 'Mystery': .* did you mean 'full_spectrum\.near\.auroc'"):
        board_table("b", spec, counted)


def test_a_single_number_that_is_asked_for_says_why_it_is_absent():
    _, _, counted = built({"msp": never})
    found = next(iter(counted.measured.values()))
    with pytest.raises(DataError, match="the record is from before this was measured"):
        found.number(NEAR["metric"], "here")


def test_the_page_shows_a_dash(tmp_path, undrawn):
    spec, files, counted = built({"msp": never, "energy": always})
    section = board_section("x", board_table("b", spec, counted), spec)
    (table, *_) = section.body
    assert [line.cells[2] is None for line in table.rows] == [False, True]
    build_site(spec, files, tmp_path / "site", generated=synthetic.NOW)
    text = (tmp_path / "site" / "leaderboard.md").read_text()
    assert "| msp | – | – | – | " in text
    page = Page((tmp_path / "site" / "boards" / "toy" / "b.html").read_text())
    assert f"– in 1 of 2 rows: {NOTE}" in page.text
    assert "msp – – –" in " ".join(page.text.split())
