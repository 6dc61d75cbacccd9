"""What the leaderboard asks for is worked out once, without torch, and is what is planned and recorded."""

from __future__ import annotations

import subprocess
import sys

import pytest
from places import ROOT

from benchmark.census import Census, Given, Place, Selection
from benchmark.plan.make import make_plan
from benchmark.plan.methods import declared
from benchmark.records.record import DETECTION
from benchmark.spec.load import load_spec
from methods.declared import Declared, read
from methods.registry import FAMILIES, family

SPEC = load_spec(ROOT / "leaderboard.yaml")
METHODS = [(name, method) for name in FAMILIES for method in family(name)]
DIGITS = Selection(tracks=("digits",), full=True)


@pytest.fixture(scope="module")
def census():
    return Census(SPEC)


@pytest.fixture(scope="module")
def plan():
    return make_plan(SPEC, DIGITS)


def test_a_census_needs_no_torch():
    code = (
        "import sys; from pathlib import Path; from benchmark.census import Census\n"
        "from benchmark.spec.load import load_spec\n"
        "census = Census(load_spec(Path('leaderboard.yaml')))\n"
        "of = [(census.training(p), census.settings(p), census.made_of(p)) for p in census.everywhere()]\n"
        "print(len(of) > 5000, [m for m in ('torch', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "True []"


@pytest.mark.parametrize(("of", "name"), METHODS)
def test_what_is_read_of_a_file_is_what_its_class_says(of, name):
    found, expected = read(of, name), declared(of, name)
    assert found is not None
    assert found == expected
    kinds = {key: type(value) for key, value in found.hyperparameters.items()}
    assert kinds == {key: type(value) for key, value in expected.hyperparameters.items()}


def test_what_is_no_method_or_cannot_be_followed_is_not_guessed(tmp_path, monkeypatch):
    monkeypatch.setattr("methods.detectors.__path__", [str(tmp_path)])
    head = "from methods.base import Detector\nSIZE = 2\nMADE = make()\n\n@register('{}')\n@dataclass\n"
    for name, field in {"declared_plain": "k: int = -3 * SIZE", "declared_odd": "k: int = MADE"}.items():
        text = f"{head.format(name)}class One(Detector):\n    {field}\n    state: int = fitted()\n"
        (tmp_path / f"{name}.py").write_text(text)
    assert read("detectors", "declared_plain") == Declared({"k": -6})
    assert read("detectors", "declared_odd") is None
    assert read("detectors", "declared_nowhere") is None


def test_every_place_is_planned_with_the_settings_of_the_census(census, plan):
    """The planner resolves by classes, the census here by files."""
    cells = {c.place: c for c in plan.cells}
    studied = {s.place: s for s in plan.studies}
    there = [  # but for what uses a method that is not written yet
        study
        for study in (DETECTION, *SPEC.tracks["digits"].studies.chosen(full=True))
        if f"study {study} of track digits" not in plan.broken
    ]
    asked = [place for place in census.everywhere() if place.track == "digits" and place.study in there]
    assert len(asked) == len(set(asked)) == sum(census.count("digits", study) for study in there)
    assert set(asked) == cells.keys() | studied.keys()
    for place, cell in cells.items():
        scoring = census.scoring(place.row)
        said = cell.settings
        assert (said["hyperparameters"], said["hp_mode"]) == (scoring.points[0], scoring.mode)
        assert (said["networks"], cell.objective) == (scoring.members, census.objective(place))
    for place, planned in {**cells, **studied}.items():
        assert census.not_asked(place) is None
        assert planned.training == census.training(place)
        assert planned.made_of == census.made_of(place)
    for place, study in studied.items():
        assert study.settings == census.settings(place)


def test_an_ordinary_run_has_fewer_places_in_the_same_order(census):
    some = Selection(inits=("fractaldb",), seeds=(3, 1))
    for study in (DETECTION, "label_noise", "adversarial"):
        whole = [*census.places("digits", study)]
        ordinary = [*census.places("digits", study, Selection())]
        assert ordinary == [place for place in whole if place in set(ordinary)]
        assert len(ordinary) < len(whole)
        chosen = [*census.places("digits", study, some)]
        assert {(place.init, place.seed) for place in chosen} == {("fractaldb", 1), ("fractaldb", 3)}
    assert {place.seed for place in census.places("digits", "imbalance", Selection())} == {0, 1, 2, 3}


def test_an_ensemble_has_a_place_for_each_group_of_seeds(census):
    assert {p.seed for p in census.places("digits", DETECTION) if p.row == "ensemble"} == {0, 3}
    assert census.seeds("digits", DETECTION, "ensemble", 3) == (3, 4, 5)
    place = Place("digits", DETECTION, "ensemble", "test_resnet", "scratch", 1)
    assert census.not_asked(place) == "seed 1 of entry 'ensemble' is not on track 'digits'"


def test_conditions_say_what_networks_are_trained_on(census):
    of = {"track": "digits", "backbone": "test_resnet", "init": "scratch", "seed": 0}
    noisy = census.given(Place(**of, study="label_noise", row="glc_5", condition="uniform@0.4"))
    noise = {"method": "uniform", "hyperparameters": {}, "strength": 0.4}
    assert noisy == Given(noise=noise, trusted=0.05)
    plain = Place(**of, study="label_noise", row="none", condition="uniform@0")
    assert census.given(plain) == Given()
    assert census.given(plain._replace(condition="uniform@0.6")).watched
    tail = Place(**of, study="imbalance", row="smote", condition="power")
    way = census.training(tail)
    assert way.training_set["profile"] == {
        "method": "power",
        "hyperparameters": {"gamma": 1.0, "ratio": 0.05},
    }
    assert (way.sampler, way.recipe["epochs"]) == ({"name": "smote", "neighbours": None}, 18)


def test_networks_that_others_build_on_are_asked_for_too(census):
    place = ("test_resnet", "scratch", 0)
    ways = census.ways("digits", "cross_entropy", *place)
    assert {way.training_set is None for way in ways} == {True, False}
    (own, *_) = census.ways("digits", "energy_finetune", *place)
    assert own.starts_from in ways
    assert [way for way in census.ways("digits", "glc", *place) if way.first_phase not in ways] == []
    assert census.ways("digits", "pgd_at", "test_efficientnet", "scratch", 0) == []
