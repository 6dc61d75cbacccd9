"""A network of a track, evaluated as anyone's classifier: the numbers are those of its records."""

import pytest
from small_leaderboard import SMALL

from benchmark.evaluation.evaluate import evaluate
from benchmark.jobs.inputs import image_parts, trained_network
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store
from methods.registry import detector

NAMES = {  # in a record, and in an outcome
    "auroc": "auroc", "fpr95": "fpr95", "aupr_in": "aupr_in", "aupr_out": "aupr_out",
}  # fmt: skip


class Pairs:
    """Images (N, 3, S, S), with labels if there are any, as a dataset has them."""

    def __init__(self, images, labels=None):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = self.images[i : i + 1][0]
        return image if self.labels is None else (image, int(self.labels[i]))


@pytest.fixture(scope="module")
def world(ran, tmp_path_factory):
    """A network of the small leaderboard, its images by part, and its records."""
    path = tmp_path_factory.mktemp("same") / "leaderboard.yaml"
    path.write_text(SMALL)
    plan = make_plan(load_spec(path), Selection(seeds=(0,)))
    store = Store(ran.folder / "cache")
    parts, labels, network = {}, {}, None
    for job in plan.jobs.values():
        if job.kind is Kind.EXTRACT and job.config.what == "base":
            inputs = job.opened(store.open)
            found, of = image_parts(job.config.set, inputs.images, job.config.split)
            parts, labels = parts | found, labels | of
            network = network or trained_network(job.config, inputs.network)
    records = {
        file.row: next(record for record in file.records if record.seed == 0)
        for file in read_all(ran.folder / "runs")
        if file.study == "detection"
    }
    return network, {name: Pairs(images, labels.get(name)) for name, images in parts.items()}, records


@pytest.fixture(scope="module")
def evaluated(world):
    network, parts, _ = world
    return evaluate(
        network,
        id_train=parts["train"],
        id_val=parts["val"],
        id_test=parts["test"],
        ood={"near": {"threes": parts["threes"]}, "far": {"noise": parts["noise"]}},
        detectors=["msp", "energy", "vim", "gram", "odin", detector("knn", k=2)],
    )


@pytest.mark.parametrize("entry", ["msp", "knn"])
def test_detection(world, evaluated, entry):
    numbers = world[2][entry].numbers
    [found] = [one for one in evaluated.outcome.detectors if one.name == entry]
    for name, one in found.sets.items():
        for metric, attribute in NAMES.items():
            assert getattr(one, attribute).value == pytest.approx(
                numbers[f"detection.{name}.{metric}"], abs=1e-9
            )
    assert found.aurc == pytest.approx(numbers["selective.aurc"], abs=1e-9)


def test_classification(world, evaluated):
    numbers = world[2]["msp"].numbers
    found = evaluated.outcome.classified
    assert found.accuracy.value == pytest.approx(numbers["classification.accuracy"], abs=1e-9)
    assert found.temperature == pytest.approx(numbers["classification.temperature"], rel=1e-6)
    for name in type(found.calibration).model_fields:
        for where in ("calibration", "calibration_scaled"):
            expected = numbers[f"classification.{where}.{name}"]
            assert getattr(getattr(found, where), name) == pytest.approx(expected, rel=1e-6)
