"""A record counts only if its settings are those of its place; each leak that there was has a case here."""

from __future__ import annotations

import pytest
import synthetic_records as synthetic
import synthetic_studies as made

from benchmark.census import Census, Place, refusal
from benchmark.records.files import read_records, write_files
from benchmark.records.record import DETECTION, PLANE, TRAININGS, Provenance, Record, RecordFile
from benchmark.spec.leaderboard import ObjectiveUse
from benchmark.studies.detection.records import Scored
from benchmark.studies.plane.settings import Plane
from reports.select import select

SPEC = synthetic.make_spec(["msp"])
STUDIES = made.make_spec()
PLACE = Place("toy", DETECTION, "msp", "tiny_cnn", "scratch", 0)


def cell(spec=SPEC, *, detection=None, **changes):
    """Why a record of a cell is refused, and None if it counts."""
    file = synthetic.make_results(SPEC, seeds=[0])[0]
    settings = {name: changes.pop(name) for name in Scored.model_fields if name in changes}
    record = synthetic.set_up(file.records[0], **settings).model_copy(update=changes)
    for name, found in (detection or {}).items():
        numbers = {f"detection.{name}.{what}": value for what, value in found.items()}
        record = record.model_copy(update={"numbers": {**record.numbers, **numbers}})
    return refusal(Census(spec), file, record)


def on_track(**changes):
    track = SPEC.tracks["toy"].model_copy(update=changes)
    return SPEC.model_copy(update={"tracks": {"toy": track}})


def of_study(study, row, spec=STUDIES, training=None, **changes):
    """Why the first record of a row is refused."""
    file = next(f for f in made.make_studies([0]) if (f.study, f.row) == (study, row))
    record = file.records[-1].model_copy(update=changes)
    trained = record.training.model_copy(update=training or {})
    return refusal(Census(spec), file, record.model_copy(update={"training": trained}))


def test_records_of_today_count():
    assert cell() is None
    assert cell(made_of=Census(SPEC).made_of(PLACE)) is None
    for file in made.make_studies([0]):
        assert {refusal(Census(STUDIES), file, record) for record in file.records} == {None}


def test_a_record_that_does_not_say_how_its_networks_were_trained_is_refused():
    assert cell(training=None) == (
        "the networks of 'cross_entropy' on track 'toy' were trained otherwise than leaderboard.yaml has "
        "now: not recorded"
    )


@pytest.mark.parametrize("setting", ["kinds", "scale", "images_per_class"])
def test_shifts_of_other_constants_are_refused(setting):
    """The scale of shifts is in no measurement: a record says it beside."""
    now = Census(SPEC).made_of(PLACE)
    others = {"kinds": ["contrast"], "scale": "cifar_c", "images_per_class": 4}
    then = {**now, "shifts": {**now["shifts"], setting: others[setting]}}
    assert cell(made_of=then).endswith("was measured with other shifts than leaderboard.yaml has now")


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"image_size": 64}, "image_size"),
        ({"crop": 0.875}, "crop"),
        ({"split": SPEC.tracks["toy"].split.model_copy(update={"train_per_class": 50})}, "split"),
        ({"id": SPEC.tracks["toy"].id.model_copy(update={"classes": [0, 1]})}, "id"),
        ({"near": {"digits_6_to_9": SPEC.tracks["toy"].id.model_copy(update={"classes": [6]})}}, "sets"),
    ],
)
def test_images_of_another_track_are_refused(changes, differ):
    now = on_track(**changes)
    assert f" other {differ} than" in cell(now, made_of=Census(SPEC).made_of(PLACE))
    assert cell(now, made_of=Census(now).made_of(PLACE)) is None
    assert cell(now) is None  # an older record does not say


def _first(**changes):
    file = synthetic.make_results(SPEC, seeds=[0])[0]
    return file, file.records[0].model_copy(update=changes)


def test_other_architectures_and_first_weights_of_the_same_name_are_refused():
    stem = SPEC.backbones["tiny_cnn"].model_copy(update={"stem": "cifar"})
    changed = SPEC.model_copy(update={"backbones": {**SPEC.backbones, "tiny_cnn": stem}})
    assert " other backbone than" in cell(changed, made_of=Census(SPEC).made_of(PLACE))
    recipe = SPEC.tracks["toy"].training
    place = PLACE._replace(init="fractaldb")
    longer = on_track(pretraining=recipe.model_copy(update={"epochs": 9}))
    assert " other init than" in cell(longer, init="fractaldb", made_of=Census(SPEC).made_of(place))


def test_an_older_record_shows_how_many_images_its_sets_had():
    drawn = SPEC.tracks["toy"].far["glyphs"].model_copy(update={"n": 400})
    far = {**SPEC.tracks["toy"].far, "glyphs": drawn}
    assert cell(on_track(far=far)) is None
    assert " other images of glyphs than" in cell(on_track(far=far), detection={"glyphs": {"n_out": 200}})
    chosen = far | {"glyphs": drawn.model_copy(update={"classes": [0]})}  # of which there are fewer
    assert cell(on_track(far=chosen), detection={"glyphs": {"n_out": 200}}) is None


def test_hyperparameters_of_the_best_test_result_are_no_protocol_of_ours():
    assert " other protocol than" in cell(hp_mode="oracle")


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"networks": 3}, "other networks than"),
        ({"hyperparameters": {"temperature": 1.0}}, "other hyper-parameters than"),
    ],
)
def test_other_ways_to_score_are_refused(changes, differ):
    assert differ in cell(**changes)


@pytest.mark.parametrize(
    ("training", "differ"),
    [
        ({"training_set": made.training_set("flip@0.5")}, "noise strength"),
        ({"training_set": made.training_set("uniform@1")}, "noise"),
        ({"training_set": None}, "noise"),
        ({"hyperparameters": {"k": 1}}, "hyper-parameters"),
        ({"sampler": {"name": "oversample"}}, "sampler"),
        ({"outliers": {"strokes": None}}, "outliers"),
        ({"recipe": {**made.RECIPE, "epochs": 3, "augment": "flip_crop"}}, "augment, epochs"),
        ({"recipe": None}, "recipe"),
    ],
)
def test_networks_of_a_condition_must_be_trained_under_it(training, differ):
    found = of_study("label_noise", "none", training=training)  # flip@1
    told = "the networks of row 'none' in study 'label_noise' on track 'toy' were trained otherwise"
    assert found.startswith(told)
    assert differ in found


def test_what_a_network_builds_on_must_be_trained_so_too():
    file = next(f for f in made.make_studies([0]) if (f.study, f.row) == ("label_noise", "glc_5"))
    record = file.records[-1]
    first = record.training.first_phase.model_copy(update={"recipe": {**made.RECIPE, "lr": 0.3}})
    for before, told in ((first, "lr"), (None, "not recorded")):
        training = record.training.model_copy(update={"first_phase": before})
        changed = record.model_copy(update={"training": training})
        assert refusal(Census(STUDIES), file, changed).endswith(f"leaderboard.yaml has now: {told}")


def test_a_default_that_changed_in_the_code_makes_older_records_others():
    census = Census(STUDIES)
    file = next(f for f in made.make_studies([0]) if (f.study, f.row) == ("adversarial", "pgd_at"))
    now = dict(census.declared_objective("pgd_at").hyperparameters)
    others = (({**now, "attack_steps": 7}, False), ({**now, "old": 1}, False))
    for recorded, counts in ((now, True), ({}, True), *others):
        training = file.records[0].training.model_copy(update={"hyperparameters": recorded})
        found = refusal(census, file, file.records[0].model_copy(update={"training": training}))
        assert (found is None) == counts


def test_transfer_from_another_source_is_refused():
    assert of_study("adversarial", "pgd_at") is None
    file = next(f for f in made.make_studies([0]) if (f.study, f.row) == ("adversarial", "pgd_at"))
    settings = {**file.records[-1].settings, "transfer": "cross_entropy"}
    assert " other transfer than" in of_study("adversarial", "pgd_at", settings=settings)


def test_trainings_count_as_records_do():
    census = Census(STUDIES)
    way = census.trained(("toy", "test_resnet", "scratch"), "cross_entropy")

    def counts(seed=0, track="toy", way=way):
        place = {"backbone": made.BACKBONE, "init": "scratch", "seed": seed, "key": "k"}
        about = {"track": track, "study": TRAININGS, "row": "cross_entropy", "environments": {}}
        record = Record.model_validate({**place, "training": way})
        return refusal(census, RecordFile(**about, records=[record]), record) is None

    assert counts()
    assert not counts(way=way.model_copy(update={"recipe": {**way.recipe, "epochs": 9}}))
    assert not counts(seed=8)
    assert not counts(track="moon")
    assert not counts(way=None)


def test_arms_of_other_seeds_or_steps_are_left_out_and_said():
    numbers = {"accuracy": 1.0, "id_confident": 1.0}
    place = {
        "backbone": "mlp",
        "init": "scratch",
        "key": "k",
        "settings": {"steps": 6000},
        "numbers": numbers,
    }
    arms = RecordFile.model_validate(
        {
            "track": "boundary",
            "study": PLANE,
            "row": "near",
            "environments": {},
            "records": [{**place, "seed": seed} for seed in range(3)],
        }
    )
    asked = SPEC.model_copy(update={"boundary": Plane(seeds=[0, 1])})
    kept = select(asked, [arms])
    assert [cell.seed for cell in kept.of_study(PLANE)] == [0, 1]
    assert kept.notes == (
        "1 study record left out: seed 2 of row 'near' is not in study 'plane' on track 'boundary'",
    )
    short = SPEC.model_copy(update={"boundary": Plane(seeds=[0, 1], steps=50)})
    none = select(short, [arms])
    assert none.of_study(PLANE) == {}
    assert any(
        "'boundary' was measured with other steps than leaderboard.yaml" in note for note in none.notes
    )


def test_outliers_of_other_images_are_refused():
    outliers = {"leaves": {"dataset": "dead_leaves", "n": 200}}
    tree = SPEC.model_dump(mode="json")
    tree["tracks"]["toy"]["outliers"] = outliers
    tree["objectives"] = {"far": ObjectiveUse(objective="confidence_loss", outliers=["leaves"]).model_dump()}
    tree["entries"]["msp"]["objective"] = "far"
    before = type(SPEC).model_validate(tree)
    tree["tracks"]["toy"]["outliers"]["leaves"]["n"] = 100
    place = Place("toy", DETECTION, "msp", "tiny_cnn", "scratch", 0)
    then, now = (Census(spec) for spec in (before, type(SPEC).model_validate(tree)))
    assert then.training(place) == now.training(place)  # which names the sets only
    file, record = _first(training=now.training(place), made_of=then.made_of(place))
    record = synthetic.set_up(record, objective="far")
    assert refusal(then, file, record) is None
    assert " other sets than" in refusal(now, file, record)


def test_of_what_a_record_is_made_is_written_where_it_is_known(tmp_path):
    file = synthetic.make_results(SPEC, seeds=[0, 1])[0]
    known = file.records[0].model_copy(update={"made_of": Census(SPEC).made_of(PLACE)})
    file = file.model_copy(update={"records": [known, *file.records[1:2]]})
    path = tmp_path / "toy" / "msp.json"
    write_files({path: file})
    assert [record.made_of for record in read_records(path).records] == [known.made_of, None]
    study = made.make_studies([0])[0]
    measured = {"provenance": Provenance(checkpoint="c", measured_in="e1")}
    records = [record.model_copy(update=measured) for record in study.records[:2]]
    records[1] = records[1].model_copy(update={"made_of": {"backbone": {}}})
    study = study.model_copy(update={"environments": file.environments, "records": records})
    path = tmp_path / "toy" / "adversarial" / f"{study.row}.json"
    write_files({path: study})
    assert [record.made_of for record in read_records(path).records] == [None, {"backbone": {}}]
