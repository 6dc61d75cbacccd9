"""Records that say what cannot be are refused when they are read: file, cell, key, and what was seen."""

import json

import pytest
from benchmark.records.schema import Measurement
from benchmark.records.studies import StudyFile, read_study, write_study
from invented_records import failed, file, measurement, record

from benchmark.errors import DataError
from benchmark.records.numbers import LIMIT
from benchmark.records.results import read_records, record_path, write_records
from benchmark.records.text import name_of
from benchmark.records.trainings import TrainingFile, read_training, write_training
from benchmark.studies.boundary import read_boundary

HUGE = 1.7e308
CURVES = ("tpr_near", "tpr_far", "histogram_id", "histogram_near", "histogram_far")


def at(content, *place):
    for part in place:
        content = content[part]
    return content


def refusal(path, read, *place, to):
    """What reading says once a value of the file was changed."""
    content = json.loads(path.read_text())
    holder = at(content, *place[:-1])
    if to is None:
        del holder[place[-1]]
    else:
        holder[place[-1]] = to
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        read(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.fixture
def path(tmp_path):
    path = record_path(tmp_path, "t", "knn")
    write_records(path, file(record(0), record(1)))
    return path


# R6: curves, histograms, bins and series.


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.5, 0.5, 1.0]])
def test_r6_series_that_are_empty_or_of_unequal_lengths_are_refused(path, name, values):
    said = refusal(path, read_records, "records", 1, "curves", name, to=values)
    assert said.startswith("b scratch 1: measurement.curves")
    assert name in said


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("value", [HUGE, -HUGE, -0.1, 1.1])
def test_r6_shares_that_are_none_are_refused(path, name, value):
    said = refusal(path, read_records, "records", 1, "curves", name, to=[value, value])
    assert said.startswith(f"b scratch 1: measurement.curves.{name}")


@pytest.mark.parametrize("scores", [[-HUGE, HUGE], [1.0, -1.0], [1.0], []])
def test_r6_scores_that_span_no_axis_are_refused(path, scores):
    said = refusal(path, read_records, "records", 0, "curves", "scores", to=scores)
    assert said.startswith("b scratch 0: ")
    assert "score" in said


def test_r6_a_curve_that_descends_is_refused(path):
    said = refusal(path, read_records, "records", 0, "curves", "tpr_far", to=[1.0, 0.5])
    assert said.startswith("b scratch 0: measurement.curves: tpr_far: expected ascending values")


@pytest.mark.parametrize("name", ["lower", "upper", "count", "confidence", "accuracy"])
@pytest.mark.parametrize("values", [[], [1, 1]])
def test_r6_bins_that_are_empty_or_unequal_are_refused(name, values):
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["classification"]["reliability"][name] = values
    with pytest.raises(ValueError, match=r"classification\.reliability"):
        Measurement.model_validate(whole)


def test_r6_bins_of_a_file_that_are_empty_are_refused(path):
    at_networks = path.parent / "networks" / "cross_entropy.json"
    content = json.loads(at_networks.read_text())
    line = next(iter(content["networks"].values()))
    line["classification"]["reliability"]["accuracy"] = []
    way = next(iter(content["training"].values()))
    content["networks"] = {name_of({**line, "training": way}): line}
    at_networks.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"networks/cross_entropy\.json: b scratch 0: reliability\.accuracy"):
        read_records(path)


TRAINING = {"backbone": "b", "init": "i", "seed": 0, "key": "k", "training": {"objective": "cross_entropy"}}
TRAINED = TRAINING | {"loss": [2.0, 1.0], "val_accuracy": [0.5, 0.6], "val_nll": [1.0, 0.9], "seconds": 1.0}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loss", []),
        ("loss", [1.0]),
        ("loss", [HUGE, HUGE]),
        ("val_accuracy", [0.5]),
        ("val_nll", []),
        ("val_nll", [HUGE, 1.0]),
        ("notes", {"beta": [1.0]}),
    ],
)
def test_r6_training_series_are_whole(tmp_path, name, values):
    path = tmp_path / "cross_entropy.json"
    write_training(path, TrainingFile(track="t", objective="cross_entropy", records=[TRAINED]))
    assert read_training(path).records[0].loss == [2.0, 1.0]
    said = refusal(path, read_training, "records", 0, name, to=values)
    assert said.startswith("b i 0: ")
    assert name in said


ATTACKED = {
    "backbone": "b",
    "init": "i",
    "seed": 0,
    "key": "k",
    "training": {"objective": "pgd_at"},
    "numbers": {"clean.accuracy": 0.5},
    "series": {"epsilon": [0.0, 0.1], "accuracy_by_epsilon": [0.5, 0.4]},
    "checkpoint": "c",
    "made_in": "here",
}
PLACE = dict.fromkeys(("oodbench", "python", "platform", "processor"), "1") | {"cores": 1, "libraries": {}}


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("series", "epsilon"), [], "series.epsilon"),
        (("series", "epsilon"), [0.1], "series.accuracy_by_epsilon: expected one value for each epsilon, 1"),
        (("series", "accuracy_by_epsilon"), [0.5, HUGE], "series.accuracy_by_epsilon"),
        (("numbers", "clean.accuracy"), HUGE, "numbers.clean.accuracy"),
        (("checkpoint",), None, "expected the checkpoint"),
        (("key",), None, "key: Field required"),
    ],
)
def test_r6_series_of_studies_are_whole(tmp_path, place, value, told):
    path = tmp_path / "pgd_at.json"
    made = {"track": "t", "study": "adversarial", "row": "pgd_at", "environments": {"here": PLACE}}
    write_study(path, StudyFile(**made, records=[ATTACKED]))
    assert read_study(path).records[0].model_dump(exclude_defaults=True) == ATTACKED | {
        "training": read_study(path).records[0].training.model_dump(exclude_defaults=True)
    }
    said = refusal(path, read_study, "records", 0, *place, to=value)
    assert said.startswith("b i 0: ")
    assert told in said


@pytest.mark.parametrize("maps", [[{"arm": "near", "seed": 0, "near": [[2000]], "far": []}], [{}], 1])
def test_r6_maps_are_whole(tmp_path, maps):
    path = tmp_path / "boundary.json"
    path.write_text(json.dumps({"schema_version": 2, "results": [], "maps": maps}))
    with pytest.raises(DataError, match=r"boundary\.json: maps"):
        read_boundary(path)


def test_what_is_as_large_as_a_number_may_be_is_read(path):
    content = json.loads(path.read_text())
    content["records"][0]["curves"]["scores"] = [-LIMIT, LIMIT]
    path.write_text(json.dumps(content))
    assert read_records(path).records[0].measurement.curves.score_edges == [-LIMIT, 0.0, LIMIT]


# R22: what no measurement can come to.


@pytest.mark.parametrize("value", [5.0, -0.1, 1.0000001])
@pytest.mark.parametrize("column", range(7))
def test_r22_a_share_outside_0_to_1_is_refused(path, value, column):
    said = refusal(path, read_records, "records", 0, "detection", "noise", column, to=value)
    assert said.startswith("b scratch 0: measurement.detection.noise.")
    assert said.endswith(f"expected a share from 0 to 1, got {value}; expected records of schema 2")


@pytest.mark.parametrize("sizes", [["far", -7, 4], ["far", 9, 0], ["far", 9, 2.5], ["middle", 9, 4]])
def test_r22_numbers_of_images_and_groups_that_cannot_be_are_refused(path, sizes):
    content = json.loads(path.read_text())
    (source,) = content["made"].values()
    source["sets"]["noise"] = sizes
    content["made"] = {name_of(source): source}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"knn\.json: b scratch 0: "):
        read_records(path)


def test_r22_another_number_of_id_images_than_the_network_was_tested_on_is_refused():
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["detection"]["noise"]["n_in"] = 8
    with pytest.raises(ValueError, match=r"detection\.noise\.n_in: expected 9, .* got 8"):
        Measurement.model_validate(whole)


@pytest.mark.parametrize("group", ["near", "far"])
def test_r22_a_mean_that_is_not_that_of_its_sets_is_refused(path, group):
    said = refusal(path, read_records, "records", 0, "auroc", group, to=0.51)
    told = f"measurement: {group}.auroc: expected 0.5, the mean of its OOD sets, got 0.51"
    assert said == f"b scratch 0: {told}; expected records of schema 2"


@pytest.mark.parametrize("name", ["aupr_in", "fpr95", "detection_error"])
def test_r22_means_of_other_metrics_are_held_to_their_sets_as_well(name):
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["far"][name] = 0.51
    with pytest.raises(ValueError, match=rf"far\.{name}: expected 0\.5, the mean of its OOD sets, got 0\.51"):
        Measurement.model_validate(whole)


@pytest.mark.parametrize("name", ["made", "date", "network", "key"])
def test_r22_a_measured_record_says_what_made_it(path, name):
    content = json.loads(path.read_text())
    content["made"]["0"] = {}  # so that there is not only one
    del content["made"]["0"]
    content["records"][0].pop(name, None)
    if name == "made":
        content["made"] = {}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"knn\.json: b scratch 0: "):
        read_records(path)


def test_r22_a_measurement_without_provenance_is_no_record():
    with pytest.raises(ValueError, match="provenance: expected what made the measurement, got none"):
        record(0, provenance=None)
    with pytest.raises(ValueError, match="status failed: expected a measurement if measured, got one"):
        record(0).model_validate(
            {**failed(0).model_dump(), "measurement": record(0).measurement.model_dump()}
        )


# R8: values that contradict the others.


def test_r8_an_auroc_that_the_curve_rules_out_is_refused():
    """A ROC curve through (0, 0), (.5, .9) and (1, 1) encloses .45 to .95."""
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["curves"] |= {"fpr": [0.0, 0.5, 1.0], "tpr_near": [0.0, 0.9, 1.0], "tpr_far": [0.0, 0.5, 1.0]}
    assert Measurement.model_validate(whole)
    for value, holds in ((0.44, False), (0.46, True), (0.94, True), (1.0, False)):
        whole["near"]["auroc"] = whole["detection"]["digits"]["auroc"] = value
        if holds:
            assert Measurement.model_validate(whole).near.auroc == value
        else:
            with pytest.raises(ValueError, match=r"near\.auroc: expected 0\.44\d* to 0\.95\d* from the ROC"):
                Measurement.model_validate(whole)


def test_r8_an_accuracy_that_the_bins_rule_out_is_refused():
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["classification"]["accuracy"] = 1.0
    with pytest.raises(ValueError, match=r"reliability: its bins have an accuracy of 0\.5, expected 1\.0"):
        Measurement.model_validate(whole)


def test_r8_bins_that_do_not_hold_all_images_are_refused():
    whole = json.loads(measurement(0.5).model_dump_json())
    whole["classification"]["reliability_scaled"]["count"] = [8]
    with pytest.raises(ValueError, match="reliability_scaled: its bins hold 8 images, expected all 9"):
        Measurement.model_validate(whole)
