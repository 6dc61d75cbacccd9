"""The full spectrum of a cell: kept, contradicted, absent from older records, and measured by a whole run."""

import json

import numpy as np
import pytest
from invented_records import file, measurement, record
from small_runs import Place, planned
from synthetic_records import measured

from benchmark.jobs.job import Kind
from benchmark.metrics import detection_metrics
from benchmark.records.files import read_records
from benchmark.records.record import DETECTION, Record
from benchmark.records.results import write_records
from benchmark.records.text import record_path
from benchmark.store.artifacts import Store
from benchmark.studies.detection.measurement import SPECTRUM, Measurement
from benchmark.studies.detection.records import (
    absent_of,
    measurement_of,
    numbers_of,
    of_measurement,
    of_network,
)


def shifted(near=0.4, far=0.45, n_in=15):
    """9 clean images with near and far AUROC .5, and two shifted sets of 3 with near AUROC .3 and .2.

    (9 · .5 + 3 · .3 + 3 · .2) / 15 = .4 of all 15; far is between 9 · .5 / 15 = .3 and that + 6 / 15 = .7.
    """
    whole = json.loads(measurement(0.5).model_dump_json())
    level = whole["robustness"]["contrast"][0]
    whole["robustness"]["contrast"] = [
        {**level, "severity": severity, "auroc_near": auroc} for severity, auroc in enumerate((0.5, 0.3, 0.2))
    ]
    rest = {"aupr_in": 0.7, "aupr_out": 0.6, "fpr95": 0.8}
    whole["full_spectrum"] = {"n_in": n_in, "near": {"auroc": near, **rest}, "far": {"auroc": far, **rest}}
    return whole


def test_a_record_keeps_them_by_path(tmp_path):
    path, whole = record_path(tmp_path, "t", "knn"), Measurement.model_validate(shifted())
    write_records(path, file(*(measured(record(seed), whole) for seed in (0, 1))))
    for found in read_records(path).records:
        assert measurement_of(found) == whole
        numbers = numbers_of(found)
        assert (numbers["full_spectrum.n_in"], numbers["full_spectrum.near.auroc"]) == (15, 0.4)
        assert numbers["full_spectrum.far.fpr95"] == 0.8
        assert set(SPECTRUM) <= set(numbers)
        assert not absent_of(numbers)


def test_they_are_of_the_detector_not_of_its_network():
    assert not any(map(of_network, SPECTRUM))


def test_a_record_without_them_is_as_valid(tmp_path):
    whole = {name: value for name, value in shifted().items() if name != "full_spectrum"}
    path, old = record_path(tmp_path, "t", "knn"), Measurement.model_validate(whole)
    write_records(path, file(measured(record(0), old)))
    (found,) = read_records(path).records
    assert measurement_of(found) == old
    assert not any("full_spectrum" in name for name in found.numbers)
    assert set(absent_of(found.numbers)) == set(SPECTRUM)


def test_nothing_is_absent_where_nothing_is_shifted():
    numbers = of_measurement(Measurement.model_validate(shifted()))["numbers"]
    kept = {n: v for n, v in numbers.items() if not n.startswith(("robustness.", "full_spectrum."))}
    assert absent_of(kept) == {}


@pytest.mark.parametrize("near", [0.4, 0.4 + 5e-10])
def test_near_auroc_is_that_of_the_parts_within_rounding(near):
    assert Measurement.model_validate(shifted(near)).full_spectrum.near.auroc == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"near": 0.4 + 1e-8}, r"full_spectrum\.near\.auroc: expected 0\.4, the mean of clean and shifted"),
        ({"near": 0.5}, r"full_spectrum\.near\.auroc: expected 0\.4, .* got 0\.5"),
        ({"far": 0.29}, r"full_spectrum\.far\.auroc: expected 0\.3000 to 0\.7000 .* got 0\.29"),
        ({"far": 0.71}, r"full_spectrum\.far\.auroc: expected 0\.3000 to 0\.7000 .* got 0\.71"),
        (
            {"n_in": 9},
            r"full_spectrum\.n_in: expected 9 ID test images and as many of each of 2 shifted sets",
        ),
        ({"n_in": 14}, r"full_spectrum\.n_in: .* got 14"),  # one more in one set than in the other
        ({"n_in": 29}, r"full_spectrum\.n_in: .* at most 9, got 29"),  # 10 of 9 images shifted
        ({"n_in": 3}, r"full_spectrum\.n_in: .* got 3"),
        ({"near": 1.5}, r"full_spectrum\.near\.auroc\n.*expected a share from 0 to 1"),
    ],
)
def test_what_cannot_be_is_refused(odd, told):
    with pytest.raises(ValueError, match=told):
        Measurement.model_validate(shifted(**odd))


@pytest.mark.parametrize("far", [0.3, 0.7])
def test_far_auroc_may_be_as_if_all_shifted_images_were_lost_or_told(far):
    assert Measurement.model_validate(shifted(far=far)).full_spectrum.far.auroc == far


def test_there_is_none_where_nothing_is_shifted():
    whole = shifted()
    whole["robustness"] = {}
    with pytest.raises(ValueError, match="full_spectrum: expected none, as no ID test image is shifted"):
        Measurement.model_validate(whole)


def test_a_part_of_them_is_no_measurement():
    whole = Measurement.model_validate(shifted())
    numbers = {**measured(record(0), whole).numbers}
    del numbers["full_spectrum.far.fpr95"]
    odd = Record.model_validate({**dict(measured(record(0), whole)), "numbers": numbers})
    with pytest.raises(ValueError, match=r"full_spectrum\.far\.fpr95"):
        measurement_of(odd)


def test_a_run_measures_them_from_the_scores_that_it_has(ran):
    place, plan = Place(ran.folder / "cache", ran.folder / "runs"), planned(ran.folder / "leaderboard.yaml")
    records, store = place.records(), Store(place.cache)
    cells = [planned for planned in plan.places if planned.place.study == DETECTION]
    assert cells
    for cell in cells:
        scores = {
            name: tensor.numpy()
            for name, tensor in store.open(cell.chain[Kind.SCORE]).tensors("scores").items()
        }
        parts = [name for name in scores if name.startswith("shift.") and name != "shift.rows"]
        assert len(parts) == 2 * 5  # two kinds, five severities
        everything = np.concatenate([scores["test"], *(scores[name] for name in parts)])
        found = next(r for r in records.values() if r.key == cell.key).numbers
        assert found["full_spectrum.n_in"] == len(everything)
        for group, name in (("near", "threes"), ("far", "noise")):
            plain = detection_metrics(everything, scores[name])
            for what in ("auroc", "aupr_in", "aupr_out", "fpr95"):
                said = found[f"full_spectrum.{group}.{what}"]
                assert said == pytest.approx(getattr(plain, what), abs=1e-9)
