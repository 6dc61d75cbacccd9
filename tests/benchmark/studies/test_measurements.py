"""Studies from leaderboard.yaml to their records: all that was planned was measured."""

import math

from small_studies import ALL, of

from benchmark.jobs.job import Kind
from benchmark.records.record import TRAININGS
from benchmark.records.results import read_all


def test_everything_that_was_planned_was_measured(made):
    folder, plan = made
    records = [record for file in read_all(folder / "results", *ALL) for record in file.records]
    assert len(records) == len(plan.studies) == 2 * (3 + 1 + 2 * 3 + 3)  # 2 seeds
    assert {record.key for record in records} == {planned.key for planned in plan.studies}
    assert {record.status for record in records} == {"measured"}
    assert not plan.cells  # only studies were asked for


def test_every_network_has_a_record_of_its_training(made):
    folder, plan = made
    trained = {record.key for file in read_all(folder / "results", TRAININGS) for record in file.records}
    assert trained == {planned.key for planned in plan.trainings}
    assert trained >= {planned.chain[Kind.TRAIN] for planned in plan.studies}
    found = {(p.place.row, p.place.condition) for p in plan.trainings}
    assert ("cross_entropy", "") in found  # as the track trains it, and without noise
    assert ("cross_entropy", "label_noise none uniform@0.5") in found
    assert ("glc", "label_noise glc uniform@0") in found  # with trusted labels
    assert ("cross_entropy", "imbalance none exp") in found


def test_numbers_are_finite_and_shares(made):
    for file in read_all(made[0] / "results", *ALL):
        for record in file.records:
            assert record.numbers
            for path, value in record.numbers.items():
                assert math.isfinite(value), path
                assert path == "types" or 0 <= value <= 1, path
            for values in record.series.values():
                assert values
                assert all(map(math.isfinite, values))


def test_records_say_how_they_were_measured(made):
    settings = of(made, "adversarial", "robust")[0].settings
    assert (
        settings["attacks"]["pgd"]["hyperparameters"] | {"epsilon": 8 / 255, "steps": 2}
        == (settings["attacks"]["pgd"]["hyperparameters"])
    )
    assert settings["transfer"] == "cross_entropy"
    assert "transfer" not in of(made, "adversarial", "cross_entropy")[0].settings
    assert of(made, "corruptions", "cross_entropy")[0].settings == {
        "kinds": ["gaussian_noise", "pixelate"],
        "scale": "cifar_c",
        "images_per_class": 3,
        "detectors": ["msp"],
        "groups": {"near": ["nines"]},
    }
    assert of(made, "imbalance", "smote")[0].settings == {
        "detectors": ["msp"],
        "groups": {"near": ["nines"], "far": ["noise"]},
    }
