"""What to take if one detector is needed: within a budget, and at any cost."""

import pytest
import synthetic_records as synthetic
from board_worlds import PLAIN, files_of, spec_of

from benchmark.spec.leaderboard import Spec
from reports.boards import recommend as module
from reports.boards.explore import explore
from reports.boards.recommend import BUDGET, FEWEST, picks
from reports.costs import FORWARDS
from reports.select import select

NEAR = {"msp": 0.7, "energy": 0.8, "knn": 0.9}
PASSES = {"msp": 1.01, "energy": 1.05, "knn": 3.0}


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", 3)


def auroc(of):
    return {"near": NEAR[of[0]] + of[3] / 1000, "far": 0.9}


def cost_in(passes):
    return lambda of: {"extract_seconds": 1.0, "score_seconds": passes[of[0]] - 1}


def found(spec=None, values=auroc, passes=PASSES, **how):
    spec = spec or spec_of([*NEAR])
    cost = {} if passes is None else {"cost": cost_in(passes)}
    counted = select(spec, files_of(spec, values, **cost, **how))
    return picks(spec, {"toy": explore(spec, counted, "toy")})


def test_the_best_within_the_budget_and_the_best_at_any_cost():
    (pick,) = found()
    assert (pick.track, pick.init, pick.metric) == ("toy", "scratch", "near.auroc")
    assert (pick.cheap.entry, pick.best.entry) == ("energy", "knn")
    assert pick.number(pick.cheap, FORWARDS).mean == pytest.approx(1.05)
    assert pick.number(pick.best, "near.auroc").mean == pytest.approx(0.901)
    assert pick.number(pick.best, "no.such") is None


def test_the_budget_is_respected():
    for passes, cheap in (
        ({**PASSES, "energy": BUDGET + 0.01}, "msp"),
        ({**PASSES, "knn": BUDGET - 0.01}, "knn"),
        (dict.fromkeys(NEAR, BUDGET + 0.01), None),
    ):
        (pick,) = found(passes=passes)
        assert (pick.cheap.entry if pick.cheap else None) == cheap
        assert pick.best.entry == "knn"


def test_where_no_cost_is_recorded_nothing_is_cheap():
    (pick,) = found(passes=None)
    assert pick.cheap is None
    assert pick.best.entry == "knn"
    assert pick.number(pick.best, FORWARDS) is None


def test_there_is_one_for_each_init_over_all_backbones():
    def values(of):
        return {"near": (1 - NEAR[of[0]] if of[2] == "fractaldb" else NEAR[of[0]]) + of[3] / 1000, "far": 0.9}

    several = found(spec_of([*NEAR], ("scratch", "fractaldb"), ("cnn", "vit")), values)
    assert [(pick.init, pick.cheap.entry, pick.best.entry) for pick in several] == [
        ("scratch", "energy", "knn"),
        ("fractaldb", "msp", "msp"),
    ]


def test_sets_that_no_weights_have_seen_decide_where_some_have_seen_some():
    """Of two near sets the weights of an init have seen glyphs, on which knn is best by far."""
    made = spec_of([*NEAR], ("scratch", "letters")).model_dump()
    recipe = synthetic.TRAINED.model_dump()
    made["inits"]["letters"] = {"source": "dataset", "images": {"dataset": "glyphs"}, "training": recipe}
    glyphs = made["tracks"]["toy"]["far"].pop("glyphs")
    made["tracks"]["toy"]["near"]["glyphs"] = glyphs
    spec = Spec.model_validate(made)
    near = PLAIN.detection["glyphs"].model_copy(update={"group": "near"})
    plain = PLAIN.model_copy(update={"detection": {**PLAIN.detection, "glyphs": near}})

    def values(of):
        unseen = {"msp": 0.8, "energy": 0.7, "knn": 0.6}[of[0]] + of[3] / 1000
        return {"digits_6_to_9": unseen, "glyphs": {"msp": 0.5, "energy": 0.6, "knn": 0.99}[of[0]]}

    several = found(spec, values, plain=plain)
    assert [(pick.init, pick.metric) for pick in several] == [
        ("scratch", "unseen.near.auroc"),
        ("letters", "unseen.near.auroc"),
    ]
    assert {(pick.cheap.entry, pick.best.entry) for pick in several} == {("msp", "msp")}


def test_only_plain_rows_with_a_place_are_taken():
    spec = spec_of([*NEAR, "react"], backbones=("cnn", "vit"), knn={"objective": "logit_norm"})

    def values(of):
        return {"near": {**NEAR, "react": 0.95}[of[0]] + of[3] / 1000, "far": 0.9}

    passes = dict.fromkeys((*NEAR, "react"), 1.0)
    (pick,) = found(spec, values, passes, keep=lambda of: of[:2] != ("react", "vit"))
    assert (pick.cheap.entry, pick.best.entry) == ("energy", "energy")


def test_there_is_no_choice_among_few_entries(monkeypatch):
    monkeypatch.setattr(module, "FEWEST", FEWEST)
    assert FEWEST > 3
    assert found() == []
