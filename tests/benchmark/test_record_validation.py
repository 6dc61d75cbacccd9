"""Records that say what cannot be are refused when they are read: file, cell, key, and what was seen."""

import json

import pytest
from invented_records import MEANS, failed, file, measurement, record

from benchmark.errors import DataError
from benchmark.records.files import read_records
from benchmark.records.numbers import LIMIT
from benchmark.records.record import PLANE, TRAININGS, Record, RecordFile
from benchmark.records.results import write_records
from benchmark.records.text import name_of, record_path
from benchmark.studies.detection.measurement import Measurement
from benchmark.studies.detection.records import measurement_of

HUGE = 1.7e308
CURVES = {
    "tpr_near_by_fpr": "tpr_near",
    "tpr_far_by_fpr": "tpr_far",
    "histogram_id": "histogram_id",
    "histogram_near": "histogram_near",
    "histogram_far": "histogram_far",
}


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
    said = refusal(path, read_records, "records", 1, "series", name, to=values)
    assert said.startswith("b scratch 1: ")
    assert name in said or CURVES[name] in said


@pytest.mark.parametrize("name", CURVES)
@pytest.mark.parametrize("value", [HUGE, -HUGE, -0.1, 1.1])
def test_r6_shares_that_are_none_are_refused(path, name, value):
    said = refusal(path, read_records, "records", 1, "series", name, to=[value, value])
    assert said.startswith((f"b scratch 1: series.{name}", f"b scratch 1: curves.{CURVES[name]}"))


def at_number(content, name, record=0):
    """Where a number of a record stands in its file."""
    (columns,) = content["columns"].values()
    paths = [path for path in columns["paths"] if path not in columns["same"]]
    return "records", record, "numbers", paths.index(name)


@pytest.mark.parametrize(("name", "value"), [("score_low", -HUGE), ("score_high", HUGE), ("score_low", 2.0)])
def test_r6_scores_that_span_no_axis_are_refused(path, name, value):
    place = at_number(json.loads(path.read_text()), name)
    said = refusal(path, read_records, *place, to=value)
    assert said.startswith("b scratch 0: ")
    assert "score" in said


def test_r6_a_curve_that_descends_is_refused(path):
    said = refusal(path, read_records, "records", 0, "series", "tpr_far_by_fpr", to=[1.0, 0.5])
    assert said.startswith("b scratch 0: curves: tpr_far: expected ascending values")


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
    line["series"]["classification.reliability.accuracy"] = []
    (way,), (columns,) = content["training"].values(), content["columns"].values()
    paths = [path for path in columns["paths"] if path not in columns["same"]]
    numbers = columns["same"] | dict(zip(paths, line["numbers"], strict=True))
    numbers = {path: float(numbers[path]) for path in columns["paths"]}
    name = name_of({**line, "training": way, "numbers": numbers})
    content["networks"] = {name: line}
    at_networks.write_text(json.dumps(content))
    of = json.loads(path.read_text())
    of["records"] = [{**of["records"][0], "network": name}]
    path.write_text(json.dumps(of))
    told = r"knn\.json: b scratch 0: series\.classification\.reliability\.accuracy"
    with pytest.raises(DataError, match=told):
        read_records(path)


TRAINED = {
    "backbone": "b",
    "init": "i",
    "seed": 0,
    "key": "k",
    "training": {"objective": "cross_entropy"},
    "series": {"loss": [2.0, 1.0], "val_accuracy": [0.5, 0.6], "val_nll": [1.0, 0.9]},
}


def of_rows(study, *records, environments=None):
    return RecordFile(track="t", study=study, row="x", environments=environments or {}, records=list(records))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loss", []),
        ("loss", [1.0]),
        ("loss", [1.0, None]),
        ("loss", [HUGE, HUGE]),
        ("val_accuracy", [0.5]),
        ("val_nll", []),
        ("val_nll", [HUGE, 1.0]),
        ("notes.beta", [1.0]),
    ],
)
def test_r6_training_series_are_whole(tmp_path, name, values):
    path = tmp_path / "cross_entropy.json"
    write_records(path, of_rows(TRAININGS, TRAINED))
    assert read_records(path).records[0].series["loss"] == [2.0, 1.0]
    said = refusal(path, read_records, "records", 0, "series", name, to=values)
    assert said.startswith("b i 0: ")
    assert name in said or "series.loss" in said or "val_" in said


def test_what_a_training_did_not_measure_in_an_epoch_is_no_number(tmp_path):
    path = tmp_path / "cross_entropy.json"
    noted = {**TRAINED, "series": {**TRAINED["series"], "notes.beta": [None, 0.5]}}
    write_records(path, of_rows(TRAININGS, noted))
    assert read_records(path).records[0].series["notes.beta"] == [None, 0.5]
    odd = of_rows("adversarial", {**ATTACKED, "series": {"beta": [None]}}, environments={"here": PLACE})
    with pytest.raises(ValueError, match=r"series\.beta\.0: expected a number, got none"):
        write_records(path, odd)


ATTACKED = {
    "backbone": "b",
    "init": "i",
    "seed": 0,
    "key": "k",
    "training": {"objective": "pgd_at"},
    "numbers": {"clean.accuracy": 0.5},
    "series": {"epsilon": [0.0, 0.1], "accuracy_by_epsilon": [0.5, 0.4]},
    "provenance": {"checkpoint": "c", "measured_in": "here"},
}
PLACE = dict.fromkeys(("oodbench", "python", "platform", "processor"), "1") | {"cores": 1, "libraries": {}}


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("series", "epsilon"), [], "series.epsilon"),
        (("series", "epsilon"), [0.1], "series.accuracy_by_epsilon: expected one value for each epsilon, 1"),
        (("series", "accuracy_by_epsilon"), [0.5, HUGE], "series.accuracy_by_epsilon"),
        (("numbers", 0), HUGE, "numbers.clean.accuracy"),
        (("checkpoint",), None, "expected the checkpoint"),
        (("key",), None, "key: Field required"),
    ],
)
def test_r6_series_of_studies_are_whole(tmp_path, place, value, told):
    path = tmp_path / "pgd_at.json"
    write_records(path, of_rows("adversarial", ATTACKED, environments={"here": PLACE}))
    (there,) = read_records(path).records
    assert there == Record.model_validate(ATTACKED)
    said = refusal(path, read_records, "records", 0, *place, to=value)
    assert said.startswith("b i 0: ")
    assert told in said


ARM = {
    "backbone": "mlp",
    "init": "scratch",
    "seed": 0,
    "key": "k",
    "numbers": {"accuracy": 0.5, "id_confident": 0.5}
    | {f"regions.{r}.{name}": 1.0 for r in ("band", "mid", "far") for name in ("auroc", "confident", "n")},
    "series": {"map.near": [0.5] * 101**2, "map.far": [0.5] * 101**2},
}


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        (("series", "map.near"), [0.5], "series.map.near: expected 101 × 101 probabilities, got 1"),
        (("series", "map.near"), [2000] * 101**2, "series.map.near: expected 101 × 101 probabilities"),
        (("numbers", 2), 1.5, "numbers.regions.band.auroc: expected a share from 0 to 1, got 1.5"),
        (("numbers",), None, "numbers: expected accuracy, id_confident, regions.band.auroc, "),
    ],
)
def test_r6_maps_are_whole(tmp_path, place, value, told):
    path = tmp_path / "near.json"
    write_records(path, of_rows(PLANE, ARM))
    assert read_records(path).records == [Record.model_validate(ARM)]
    assert refusal(path, read_records, "records", 0, *place, to=value).startswith(f"mlp scratch 0: {told}")


def test_what_is_as_large_as_a_number_may_be_is_read(path):
    content = json.loads(path.read_text())
    for name, value in (("score_low", -LIMIT), ("score_high", LIMIT)):
        *above, at_last = at_number(content, name)
        at(content, *above)[at_last] = value
    path.write_text(json.dumps(content))
    (first, _) = read_records(path).records
    assert measurement_of(first).curves.score_edges == [-LIMIT, 0.0, LIMIT]


# R22: what no measurement can come to.


@pytest.mark.parametrize("value", [5.0, -0.1, 1.0000001])
@pytest.mark.parametrize("column", MEANS)
def test_r22_a_share_outside_0_to_1_is_refused(path, value, column):
    place = at_number(json.loads(path.read_text()), f"detection.noise.{column}")
    said = refusal(path, read_records, *place, to=value)
    assert said.startswith(f"b scratch 0: detection.noise.{column}: ")
    assert said.endswith(f"expected a share from 0 to 1, got {value}; expected records of schema 3")


@pytest.mark.parametrize(("name", "size"), [("n_in", -7), ("n_out", 0), ("n_in", 2.5)])
def test_r22_numbers_of_images_that_cannot_be_are_refused(path, name, size):
    content = json.loads(path.read_text())
    (columns,) = content["columns"].values()
    columns["same"][f"detection.noise.{name}"] = size
    content["columns"] = {name_of(columns): columns}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"knn\.json: b scratch 0: detection\.noise\.{name}"):
        read_records(path)


@pytest.mark.parametrize("groups", [{"near": ["digits"], "middle": ["noise"]}, {"near": ["digits"]}, {}])
def test_r22_groups_that_cannot_be_are_refused(path, groups):
    content = json.loads(path.read_text())
    (settings,) = content["settings"].values()
    settings["groups"] = groups
    content["settings"] = {name_of(settings): settings}
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
    place = at_number(json.loads(path.read_text()), f"{group}.auroc")
    said = refusal(path, read_records, *place, to=0.51)
    told = f"{group}.auroc: expected 0.5, the mean of its OOD sets, got 0.51"
    assert said == f"b scratch 0: {told}; expected records of schema 3"


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


def test_r22_a_measurement_without_provenance_is_no_record(tmp_path):
    with pytest.raises(ValueError, match="provenance: expected what made the measurement, got none"):
        write_records(tmp_path / "x.json", file(record(0, provenance=None)))
    with pytest.raises(ValueError, match="status failed: expected numbers if measured, got some"):
        Record.model_validate({**failed(0).model_dump(), "numbers": record(0).numbers})


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
