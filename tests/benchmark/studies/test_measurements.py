"""Studies from leaderboard.yaml to their records: all that was planned was measured."""

import math

from benchmark.records.studies import (
    read_studies,
)
from small_studies import of


def test_everything_that_was_planned_was_measured(made):
    folder, plan = made
    records = [record for file in read_studies(folder / "results") for record in file.records]
    assert len(records) == len(plan.studies) == 2 * (3 + 1 + 2 * 3 + 3)  # 2 seeds
    assert {record.key for record in records} == {planned.key for planned in plan.studies}
    assert {record.status for record in records} == {"measured"}
    assert not plan.cells  # only studies were asked for


def test_numbers_are_finite_and_shares(made):
    for file in read_studies(made[0] / "results"):
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
