"""Detectors whose scores depend on the images that are scored together: shown, and compared with none."""

from dataclasses import replace

import pytest
import synthetic_records as synthetic
from board_worlds import files_of, spec_of

from benchmark.census.settings import Census
from benchmark.spec.leaderboard import Board
from reports.boards import overall as module
from reports.boards.overall import overall
from reports.boards.side_by_side import side_by_side
from reports.boards.tables import TOGETHER, board_table
from reports.claims.register import load_register
from reports.pages.compare import data_of, least_effect
from reports.select import select

ENTRIES = ("msp", "energy", "knn")
NEAR = {"knn": 0.9, "energy": 0.8, "msp": 0.7}
AUROC = {"metric": "near.auroc", "title": "Near AUROC", "better": "higher"}


@pytest.fixture
def world(monkeypatch):
    """Records in which knn, the best, is transductive."""
    plain = Census.declared

    def declared(self, family, name):
        found = plain(self, family, name)
        return replace(found, transductive=True) if (family, name) == ("detectors", "knn") else found

    monkeypatch.setattr(Census, "declared", declared)
    monkeypatch.setattr(module, "FEWEST", 2)
    board = synthetic.board(rows=["entry"], columns=[AUROC], inits=["scratch"])
    spec = spec_of(ENTRIES, ("scratch", "fractaldb"), ("cnn", "vit"))
    spec = spec.model_copy(update={"boards": {"b": Board.model_validate(board)}})
    files = [
        file.model_copy(
            update={"records": [synthetic.set_up(one, transductive=True) for one in file.records]}
        )
        if file.row == "knn"
        else file
        for file in files_of(spec, lambda of: {"near": NEAR[of[0]] + of[3] / 1000})
    ]
    return spec, select(spec, files)


def test_the_records_count(world):
    _, counted = world
    assert {cell.entry for cell, found in counted.measured.items() if found.transductive} == {"knn"}


def test_such_a_row_has_no_position_and_takes_none(world):
    table = board_table("b", *world)
    places = {row.labels[0]: row.place and row.place.position for row in table.rows}
    assert places == {"energy": 1, "msp": 2, "knn": None}
    knn = next(row for row in table.rows if row.labels == ("knn",))
    assert knn.note == f"{TOGETHER}, hence without a position"
    assert knn.values[0].interval.mean > 0.9
    assert not knn.values[0].best


def test_it_has_no_part_in_the_order_over_all_tracks(world):
    assert overall(*world).entries == ("energy", "msp")


def test_it_is_compared_with_none(world):
    spec, counted = world
    (first, *_) = side_by_side(spec, counted, "toy")
    data = data_of(spec, first, {}, least_effect(load_register()))
    names = [one["name"] for one in data["entries"]]
    assert {names[row["entry"]]: row.get("alone") for row in data["rows"]} == {
        "knn": TOGETHER,
        "energy": None,
        "msp": None,
    }
