import pytest
import synthetic_records as synthetic

from benchmark.errors import DataError
from benchmark.studies.detection.records import measurement_of
from reports.boards.provenance import entry_settings, facts, ranges
from reports.select import select


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([4], "4"), ([1, 0], "0, 1"), ([0, 1, 2, 3], "0–3"), ([0, 1, 2, 5, 7, 8], "0–2, 5, 7, 8")],
)
def test_runs_of_numbers_are_shortened(numbers, text):
    assert ranges(numbers) == text


def two_environments():
    spec = synthetic.make_spec(["msp", "knn"])
    msp, knn = synthetic.make_results(spec, seeds=[0, 1])
    other = knn.environments["e1"].model_copy(
        update={
            "commit": None,
            "accelerator": "Invented GPU",
            "libraries": {"torch": "2.5.0", "scipy": "1.0"},
        }
    )
    return spec, [msp, knn.model_copy(update={"environments": {"e1": other}})]


def test_facts_list_every_value_that_occurs():
    spec, results = two_environments()
    found = {fact.title: fact.values for fact in facts(select(spec, results))}
    assert found == {
        "Measured records": ("16",),
        "Verified by recomputation": ("none",),
        "Seeds": ("0, 1",),
        "Measured on": ("2025-06-01 to 2025-06-02",),
        "oodbench": ("0.1.0",),
        "Git commit": ("0123abc", "outside a checkout"),
        "Python": ("3.11.9",),
        "Platform": ("Linux-6.1-x86_64",),
        "Processor": ("Invented CPU, 2 cores",),
        "Accelerator": ("none", "Invented GPU"),
        "Libraries": ("scipy 1.0", "timm 1.0.9", "torch 2.4.0, 2.5.0"),
    }


def test_records_without_provenance_say_so():
    spec = synthetic.make_spec(["msp"])
    measurement = measurement_of(synthetic.make_results(spec, seeds=[0])[0].records[0])
    record = synthetic.make_record("tiny_cnn", "scratch", 0, measurement, provenance=None)
    found = {f.title: f.values for f in facts(select(spec, [synthetic.make_file("msp", [record])]))}
    assert found["Measured on"] == found["Git commit"] == found["Libraries"] == ("not recorded",)


def test_an_environment_that_is_not_described_is_refused():
    spec = synthetic.make_spec(["msp"])
    (file,) = synthetic.make_results(spec, seeds=[0])
    with pytest.raises(DataError, match="environment 'e1' is not described"):
        facts(select(spec, [file.model_copy(update={"environments": {}})]))


def test_settings_list_every_value_of_a_hyperparameter():
    spec = synthetic.make_spec(["godin"])
    measurement = measurement_of(synthetic.make_results(spec, seeds=[0])[0].records[0])
    records = [
        synthetic.make_record(
            "tiny_cnn",
            "scratch",
            seed,
            measurement,
            hyperparameters={"epsilon": epsilon, "part": "h"},
            hp_mode="id_val",
        )
        for seed, epsilon in enumerate([0.1, 0.5, 0.1])
    ]
    (settings,) = entry_settings(select(spec, [synthetic.make_file("godin", records)]))
    assert settings.hyperparameters == (("epsilon", ("0.1", "0.5")), ("part", ('"h"',)))
    assert settings.hp_modes == ("id_val",)
