"""Boards of everything that was measured: their columns, their rows and where these stand."""

import numpy as np
import pytest
import synthetic_records as synthetic
from board_worlds import PLAIN, files_of, spec_of

from benchmark.records.record import RecordFile
from benchmark.spec.leaderboard import Spec
from benchmark.studies.detection.measurement import Measurement
from reports.boards.explore import RANKED_BY, explore
from reports.boards.places import Place
from reports.costs import COSTS
from reports.select import select

NEAR = {"knn": 0.9, "energy": 0.8, "msp": 0.7, "react": 0.95}
NOISE = np.array([0.0, 0.01, -0.01, 0.003])


def auroc(of):
    entry, backbone, init, seed = of
    near = NEAR[entry] - 0.05 * (backbone == "vit") - 0.15 * (init == "fractaldb")
    return {"near": near + NOISE[seed] * (1 if entry == "msp" else -1), "far": 0.9}


def explored(spec: Spec, files: list[RecordFile] | None = None):
    return explore(spec, select(spec, files_of(spec, auroc) if files is None else files), "toy")


def titles(one) -> list[str]:
    return [measure.column.metric for measure in one.measures]


def test_the_first_column_ranks_and_all_that_every_record_has_is_there():
    (one,) = explored(spec_of(["msp", "knn"]))
    found = titles(one)
    assert found[0] == RANKED_BY
    assert len(found) == len(set(found))
    sets = [f"detection.{name}" for name in ("digits_6_to_9", "glyphs", "uniform_noise")]
    detected = [f"{path}.{what}" for path in ("near", "far", *sets) for what in ("auroc", "fpr95", "aupr_in")]
    for path in (*detected, "classification.accuracy", "selective.aurc", "robustness.accuracy"):
        assert path in found
    assert not set(COSTS) & set(found)  # no record has any
    assert not [path for path in found if path.startswith("unseen")]  # no weights have seen a set
    for line in one.lines:
        assert len(line.row.values) == len(found)
        assert all(value.interval is not None for value in line.row.values)


def test_a_column_that_only_newer_records_have_is_there_with_dashes_in_the_others():
    shifted = [level.auroc_near for levels in PLAIN.robustness.values() for level in levels[1:]]
    auroc_near = (400 * PLAIN.near.auroc + 100 * sum(shifted)) / 1900
    rest = {"aupr_in": 0.5, "aupr_out": 0.5, "fpr95": 0.5}
    whole = {"n_in": 1900, "near": {"auroc": auroc_near, **rest}, "far": {"auroc": 0.7, **rest}}
    newer = Measurement.model_validate({**PLAIN.model_dump(), "full_spectrum": whole})
    spec = spec_of(["msp", "knn"])
    old = files_of(spec, auroc)[0]
    new = synthetic.make_file("knn", [synthetic.make_record("cnn", "scratch", s, newer) for s in range(3)])
    for files, there in (([old, new], True), ([old], False)):
        (one,) = explored(spec, files)
        assert ("full_spectrum.far.auroc" in titles(one)) == there
    (one,) = explored(spec, [old, new])
    at = titles(one).index("full_spectrum.far.auroc")
    shown = {line.entry: line.row.values[at].interval for line in one.lines}
    assert shown["msp"] is None
    assert shown["knn"].mean == pytest.approx(0.7)


def test_rows_stand_among_all_and_within_their_init():
    (one,) = explored(spec_of(["msp", "energy", "knn"], ("scratch", "fractaldb")))
    places = {(line.entry, line.init): (line.place.position, line.within.position) for line in one.lines}
    assert places == {
        ("knn", "scratch"): (1, 1),
        ("energy", "scratch"): (2, 2),
        ("knn", "fractaldb"): (3, 1),
        ("msp", "scratch"): (4, 3),
        ("energy", "fractaldb"): (5, 2),
        ("msp", "fractaldb"): (6, 3),
    }
    assert list(places) == sorted(places, key=places.get)  # in the order of their places
    for line in one.lines:
        for place, rows in ((line.place, 6), (line.within, 3)):
            assert 1 <= place.low <= place.position <= place.high <= rows
    assert [line.init for line in one.lines if line.within.leads][:2] == ["scratch", "fractaldb"]
    assert one.inits == ("scratch", "fractaldb")


def test_tuned_entries_stand_apart_and_last():
    spec = spec_of(["react", "msp", "knn"], react={"tune": {"percentile": [80, 90]}})
    files = files_of(spec, auroc)
    tried = [{"hyperparameters": {"percentile": p}, "auroc": 0.9} for p in (80, 90)]
    chosen = {"hp_mode": "proxy_ood", "tuning": tried, "hyperparameters": {"percentile": 80}}
    files[0] = files[0].model_copy(
        update={"records": [synthetic.set_up(record, **chosen) for record in files[0].records]}
    )
    (one,) = explored(spec, files)
    assert [(line.entry, line.tuned) for line in one.lines] == [
        ("knn", False),
        ("msp", False),
        ("react", True),
    ]
    first = Place(1, 1, 1, leads=True)
    assert [(line.place, line.within) for line in one.lines if line.entry != "msp"] == [(first, first)] * 2


def test_several_backbones_are_averaged_and_shown_each():
    spec = spec_of(["msp", "knn"], backbones=("cnn", "vit", "mlp"))
    files = files_of(spec, auroc, keep=lambda of: of[1] != "mlp")  # of which there is no record
    boards = explored(spec, files)
    assert [one.backbone for one in boards] == [None, "cnn", "vit"]
    means = [one.lines[0].row.values[0].interval.mean for one in boards]
    assert means[0] == pytest.approx((means[1] + means[2]) / 2)
    assert [one.backbone for one in explored(spec_of(["msp"]))] == ["cnn"]


def test_a_row_without_a_place_stands_last_and_says_why():
    spec = spec_of(["react", "msp"], backbones=("cnn", "vit"))
    mean, *_ = explored(spec, files_of(spec, auroc, keep=lambda of: of[:2] != ("react", "vit")))
    assert [(line.entry, line.place is None) for line in mean.lines] == [("msp", False), ("react", True)]
    assert mean.lines[1].row.note == "without vit, hence without a position"


def test_a_row_says_what_its_first_weights_had_seen():
    made = spec_of(["msp"], ("scratch", "letters")).model_dump()
    recipe = synthetic.TRAINED.model_dump()
    made["inits"]["letters"] = {"source": "dataset", "images": {"dataset": "glyphs"}, "training": recipe}
    spec = Spec.model_validate(made)
    (one,) = explored(spec)
    assert {line.init: line.row.note for line in one.lines} == {"scratch": "", "letters": "saw glyphs"}
    assert [note for note in one.notes if note.startswith("Saw: ")]
    assert "unseen.far.auroc" in titles(one)
    assert "unseen.near.auroc" not in titles(one)  # of near sets none was seen


def test_a_row_on_other_networks_says_so():
    spec = spec_of(["msp", "energy", "knn"])
    files = files_of(spec, auroc)
    for i, record in enumerate(files[2].records):
        elsewhere = record.provenance.model_copy(update={"checkpoint": "d" * 64})
        files[2].records[i] = record.model_copy(update={"provenance": elsewhere})
    (one,) = explored(spec, files)
    notes = {line.entry: line.row.note for line in one.lines}
    assert notes == {"msp": "", "energy": "", "knn": "on other networks, not paired"}
    assert any("compared with it unpaired: knn · scratch" in note for note in one.notes)


def test_nothing_measured_is_no_board():
    assert explored(spec_of(["msp"]), []) == []
