"""Boards say what first weights had seen of a track; inits are compared without it."""

import numpy as np
import pytest
import synthetic_records as synthetic

from benchmark.spec.leaderboard import Spec
from reports.boards.pretraining import DETECTION, compare_inits
from reports.boards.tables import board_table
from reports.claims.factors import _source
from reports.select import select

GLYPHS, NOISE = {"scratch": 0.9, "letters": 0.9}, {"scratch": 0.6, "letters": 0.8}  # AUROC by init


def built(**changes):
    """Two inits, one of them pre-trained on glyphs, which are one of two far OOD sets."""
    board = synthetic.board(**changes)
    made = synthetic.make_spec(["msp"], ["scratch", "letters"], ["cnn"], {"b": board}).model_dump()
    recipe = synthetic.TRAINED.model_dump()
    made["inits"]["letters"] = {"source": "dataset", "images": {"dataset": "glyphs"}, "training": recipe}
    made["tracks"]["toy"]["overlaps"] = {"glyphs": "the letter O, which is a zero"}
    records = []
    for init in GLYPHS:
        for seed in range(4):
            plain = synthetic.make_measurement(np.random.default_rng(seed), 1.0, 2.0, 0.05)
            far = {"glyphs": {"auroc": GLYPHS[init]}, "uniform_noise": {"auroc": NOISE[init] + seed / 1000}}
            records.append(synthetic.make_record("cnn", init, seed, synthetic.altered(plain, far)))
    spec = Spec.model_validate(made)
    return spec, select(spec, [synthetic.make_file("msp", records)])


def test_a_row_says_which_sets_and_classes_its_weights_had_seen():
    table = board_table("b", *built())
    notes = {row.labels: row.note for row in table.rows}
    assert notes == {("msp", "letters"): "saw glyphs, ID classes", ("msp", "scratch"): ""}
    assert table.notes[-1] == (
        "Saw: the first weights were trained on images of that OOD set, or of classes of the ID set; ID "
        "classes: the letter O, which is a zero."
    )


@pytest.mark.parametrize("metric", ["near.auroc", "detection.uniform_noise.auroc", "unseen.far.auroc"])
def test_a_board_without_numbers_of_such_a_set_says_nothing_of_it(metric):
    column = {"metric": metric, "title": "AUROC", "better": "higher"}
    table = board_table("b", *built(columns=[column], rank_by=metric))
    assert {row.note for row in table.rows} == {"", "saw ID classes"}


def test_inits_are_compared_over_the_sets_that_no_weights_had_seen():
    (comparison,) = compare_inits(*built())
    gains = {contrast.metric.title: contrast.gain.mean for contrast in comparison.detection}
    assert [column.title for column in DETECTION] == ["Near AUROC", "Far AUROC"]
    assert gains["Far AUROC"] == pytest.approx(NOISE["letters"] - NOISE["scratch"])


def test_claims_say_what_published_weights_were_trained_on():
    made = synthetic.make_spec(["msp"], ["scratch", "imagenet"], ["cnn"]).model_dump()
    made["inits"]["imagenet"] = {"source": "hub"}
    assert _source("imagenet", Spec.model_validate(made)).startswith(
        "Init imagenet: published weights, trained on what is not said; conditional"
    )
    made["backbones"]["cnn"]["weights"] = {"imagenet": {"tag": "in1k", "trained_on": ["imagenet1k"]}}
    assert "published weights, trained on imagenet1k;" in _source("imagenet", Spec.model_validate(made))
