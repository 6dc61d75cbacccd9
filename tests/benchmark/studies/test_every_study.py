"""OOD detection is the first study and has no privileges; the experiment in two dimensions stands alone."""

import pytest
from plane_files import plane_files
from small_studies import LEADERBOARD, planned, written

from benchmark.census import Census, Selection
from benchmark.errors import SpecError
from benchmark.plan.make import make_plan
from benchmark.records.families import family_of
from benchmark.records.record import BOUNDARY, DETECTION, PLANE, TRAININGS
from benchmark.spec.load import load_spec
from benchmark.studies.registry import settings_of, study_folders, study_names
from benchmark.studies.settings import AnyStudy
from benchmark.studies.study import study_of
from reports.select import select

ALONE = "boundary: {seeds: [2, 5], steps: 10}\n"


@pytest.fixture
def spec(tmp_path):
    return load_spec(written(tmp_path, LEADERBOARD + ALONE))


def test_a_census_has_every_study_and_detection_first(spec):
    census = Census(spec)
    assert census.tracks == ["small", BOUNDARY]
    assert next(iter(census.studies("small"))) == DETECTION
    assert {*census.studies("small")} - {DETECTION} <= {*study_names()}
    assert [*census.studies(BOUNDARY)] == [PLANE]
    found = [study for name in census.tracks for study in census.studies(name).values()]
    assert all(isinstance(study, AnyStudy) for study in found)
    assert [study for study in found if not study.trains] == [spec.boundary]


def test_every_folder_plans_and_those_that_a_track_lists_have_settings():
    assert {*study_folders()} == {*study_names(), DETECTION, PLANE}
    for name in study_folders():
        assert callable(study_of(name).plan)
    for name in study_names():
        assert issubclass(settings_of(name), AnyStudy)


def test_a_full_plan_has_the_places_of_the_census_study_by_study(spec):
    plan, census = make_plan(spec, Selection(full=True)), Census(spec)
    assert [one.place for one in plan.measured] == [*census.everywhere()]
    alone = [one for one in plan.measured if one.place.track == BOUNDARY]
    assert [one.place.seed for one in alone if one.drawn] == [2, 2, 2]
    assert {(one.training, one.made_of, one.objective) for one in alone} == {(None, None, "")}
    assert all(one.settings == {"steps": 10} for one in alone)
    assert {one.place.track for one in plan.trainings} == {"small"}


def test_what_belongs_to_a_whole_run_is_covered_by_no_part_of_it(spec):
    places = [*Census(spec).everywhere()]
    for selection in (Selection(), Selection(full=True, tracks=("small",)), Selection(entries=("msp",))):
        assert not any(selection.covers(place) for place in places if place.study == PLANE)
    assert all(Selection(full=True).covers(place) for place in places)
    named = Selection(studies=("corruptions",))
    assert {place.study for place in places if named.covers(place)} == {"corruptions"}


def test_a_study_without_records_of_its_own_has_those_of_any():
    plain = family_of("corruptions")
    assert family_of("nowhere") == plain
    assert {family_of(name) == plain for name in (DETECTION, PLANE, TRAININGS)} == {False}


def test_an_entry_whose_objective_needs_labels_known_to_be_right_is_refused(tmp_path):
    text = LEADERBOARD.replace("entries:\n", "entries:\n  sure: {detector: msp, objective: glc}\n", 1)
    text = text.replace("entries: [msp", "entries: [sure, msp")
    assert "[sure, msp" in text
    with pytest.raises(SpecError, match=r"entries.sure.*'glc' needs labels that are known to be right"):
        planned(tmp_path, text, entries=("sure",))


@pytest.mark.parametrize("members", ["three", "2.5", "null", "0", "-1"])
def test_a_wrong_number_of_members_is_told_with_file_line_and_key(tmp_path, members):
    text = with_many(members)
    with pytest.raises(SpecError, match=r"yaml:\d+: entries.many.hyperparameters: ensemble.*members"):
        planned(tmp_path, text, entries=("many",))


def test_an_ensemble_of_more_networks_than_seeds_has_no_place(tmp_path):
    plan = planned(tmp_path, with_many(3), entries=("many", "msp"))
    assert {cell.place.row for cell in plan.cells} == {"msp"}  # of two seeds


def with_many(members):
    many = f"  many: {{detector: ensemble, hyperparameters: {{members: {members}}}}}\n"
    return LEADERBOARD.replace("entries:\n", f"entries:\n{many}", 1).replace("[msp", "[many, msp", 1)


def test_arms_are_shown_where_no_init_is_called_scratch(tmp_path):
    text = (LEADERBOARD + ALONE).replace("scratch", "fresh").replace("source: fresh", "source: scratch")
    regions = {name: {"auroc": 0.5, "confident": 0.1, "n": 9} for name in ("band", "mid", "far")}
    arm = {"steps": 10, "accuracy": 0.9, "id_confident": 0.8, "regions": regions, "density": None, "maps": {}}
    files = plane_files([{**arm, "arm": name, "seed": 2} for name in ("cross_entropy", "near")])
    counted = select(load_spec(written(tmp_path, text)), files)
    assert {cell.entry for cell in counted.of_study(PLANE)} == {"cross_entropy", "near"}
