"""Claims and the trainings of their arms: cost, what is not matched, convergence."""

from collections.abc import Mapping, Sequence

import pytest
import synthetic_records as synthetic
from claim_examples import BASE, arms, register, results, shown_test, spec, verdict

from benchmark.records.families import family_of
from benchmark.records.record import TRAININGS, Cell, Cost, RecordFile, TrainedWith
from benchmark.studies.detection.records import measurement_of
from reports.claims.decide import decide_claims
from reports.select import Counted, Measured, select

AUROCS = ("near.auroc", "far.auroc")
RECIPE = {"epochs": 18, "lr": 0.005, "batch_size": 40, "tune": "all"}


PLAIN = TrainedWith(objective="cross_entropy", recipe=RECIPE)


TUNED = TrainedWith(
    objective="energy_finetune",
    outliers={"strokes": None, "blends": 0.5},
    recipe=RECIPE | {"epochs": 9, "lr": 0.001},
    starts_from=PLAIN,
)


def trained(
    a: TrainedWith | None,
    b: TrainedWith | None,
    same_networks: bool = False,
    devices: Mapping[str, str | None] | None = None,
) -> list[str]:
    """Factors of energy, trained like `a`, against msp, trained like `b`."""
    devices = devices or {}
    cost = dict.fromkeys(("extract_seconds", "score_seconds", "measure_seconds", "peak_memory_mb"), 1.0)
    files = results(arms(0.02))
    if not same_networks:  # of one objective they would have to be the same
        files = [
            file.model_copy(
                update={"records": [synthetic.set_up(r, objective=f"way_{mark}") for r in file.records]}
            )
            for file, mark in zip(files, "ba", strict=True)
        ]
    for file, training, seconds, mark in zip(files, (b, a), (4.0, 9.0), "ab", strict=True):
        for i, record in enumerate(file.records):
            checkpoint = ("c" if same_networks else mark) * 64
            changed = {
                "cost": Cost.model_validate({**cost, "train_seconds": seconds}),
                "training": training,
                "provenance": record.provenance.model_copy(
                    update={"checkpoint": checkpoint, "trained_in": f"env {mark}"}
                ),
            }
            file.records[i] = record.model_copy(update=changed)
    where = spec()
    shown = shown_test(register(), where, Counted(cells_of(files), {}, (), devices=devices))
    return list(shown.factors)


def cells_of(files: Sequence[RecordFile]) -> dict[Cell, Measured]:
    """All records, whether or not a leaderboard asks for them, with their AUROCs."""
    return {
        Cell("toy", record.backbone, record.init, record.seed, file.row): Measured(
            file, record, measurement_of(record), {path: record.numbers[path] for path in AUROCS}
        )
        for file in files
        for record in file.records
    }


def test_arms_of_different_networks_tell_their_cost():
    factors = trained(PLAIN.model_copy(update={"sampler": {"name": "oversample"}}), PLAIN)
    training = "arm a 18 epochs, 9.0 s a network; arm b 18 epochs, 4.0 s a network"
    matched = "as many epochs, but not the same sampler: matched as far as the wall times are"
    assert f"Training on toy: {training}; {matched}" in factors
    assert "Hyper-parameters: a published; b published" in factors


def test_seconds_of_several_devices_are_not_compared():
    other = PLAIN.model_copy(update={"sampler": {"name": "oversample"}})
    same = {"env a": "cuda GPU", "env b": "cuda GPU"}
    assert any("9.0 s a network" in told for told in trained(other, PLAIN, devices=same))
    several = trained(other, PLAIN, devices={"env a": "cuda GPU", "env b": None})
    assert not any("s a network" in told for told in several)
    assert any("18 epochs, wall times of several devices, which are not compared" in told for told in several)


def test_arms_of_the_same_networks_tell_it_once():
    factors = trained(PLAIN, PLAIN, same_networks=True)
    assert "Both arms score the same networks" in factors
    assert "Training on toy: 18 epochs, 4.0 s a network" not in factors  # that of arm a
    assert "Training on toy: 18 epochs, 9.0 s a network" in factors


def test_all_stages_of_a_fine_tuned_network_count():
    """The reported arms of energy fine-tuning had 18 + 9 epochs against 18."""
    factors = trained(TUNED, PLAIN)
    a = "arm a 27 epochs (18 of cross_entropy, then 9 of energy_finetune) at learning rate 0.005, then 0.001"
    b = "arm b 18 epochs at learning rate 0.005"
    assert f"Training on toy: {a}, 9.0 s a network; {b}, 4.0 s a network; not compute matched" in factors
    told = "Outliers in training on toy, arm a: strokes, blends (50 % in a mix with ID images)"
    assert told in factors


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"objective": "mixup"}, "as many epochs, but not the same objective: matched"),
        ({"recipe": RECIPE | {"lr": 0.1}}, "as many epochs, but not the same lr: matched"),
        ({"outliers": {"strokes": None}}, "as many epochs, but not the same outliers: matched"),
        ({"hyperparameters": {"x": 1}}, "as many epochs, but not the same hyper-parameters: matched"),
        ({"recipe": RECIPE | {"epochs": 60}}, "not compute matched"),
        ({"recipe": None, "starts_from": PLAIN}, "as many epochs, but not the same"),
    ],
)
def test_what_is_not_matched_is_named(changes, expected):
    (training,) = [t for t in trained(PLAIN.model_copy(update=changes), PLAIN) if t.startswith("Training")]
    assert f"; {expected}" in training


def test_what_is_not_recorded_is_not_made_up():
    (training,) = [text for text in trained(None, PLAIN) if text.startswith("Training")]
    assert "arm a epochs and outliers not recorded" in training
    assert "arm b 18 epochs" in training
    assert training.endswith("whether they are compute matched is not recorded")
    published = trained(TrainedWith(objective="cross_entropy"), PLAIN)
    assert any("arm a published weights" in text for text in published)


@pytest.mark.parametrize("other", [PLAIN.model_copy(update={"recipe": RECIPE | {"lr": 0.1}}), None])
def test_an_arm_that_was_not_trained_alike_has_no_verdict(other):
    files = results(arms(0.02))
    for file, odd in zip(files, (PLAIN, other), strict=True):  # energy's last seed is the odd one
        for i, record in enumerate(file.records):
            training = odd if i == len(file.records) - 1 else PLAIN
            file.records[i] = record.model_copy(update={"training": training})
    where = spec()
    found = select(where, [])
    found = Counted(cells_of(files), {}, found.notes)
    (claim,) = decide_claims(register(), where, found)
    (outcome,) = claim.findings[0].outcomes
    assert (outcome.reading, outcome.answer.verdict) == ("undecided", "exploratory")
    assert outcome.detail == "exploratory: arm a not trained alike in all seeds"
    assert outcome.answer.family_size == 0
    shown = shown_test(register(), where, found)
    assert any(text.startswith("The networks of arm a on toy · cnn · scratch") for text in shown.factors)
    assert verdict(arms(0.02)).overall == "supported"  # nothing recorded is not a difference


def curves(
    init: str, *accuracies: Sequence[float | None], training: TrainedWith = PLAIN, condition: str = ""
) -> RecordFile:
    """Validation accuracies of networks of cross_entropy, one a seed."""
    common = {"backbone": "cnn", "init": init, "training": training, "condition": condition}
    file = RecordFile.model_validate(
        {
            "track": "toy",
            "study": TRAININGS,
            "row": "cross_entropy",
            "environments": {},
            "records": [
                common
                | {"seed": seed, "key": f"{init}-{seed}"}
                | {"series": {"loss": [1.0] * len(curve), "val_accuracy": list(curve)}}
                for seed, curve in enumerate(accuracies)
            ],
        }
    )
    for record in file.records:
        family_of(TRAININGS).check(record)
    return file


def convergence(*files: RecordFile, training: TrainedWith | None = PLAIN):
    claims = register({"metric": "epochs", "a": "msp", "b": "msp", "versus_init": "scratch"}, inits=["hub"])
    where = spec(("msp",), inits=("scratch", "hub"))
    measured = {
        Cell("toy", "cnn", init, record.seed, "msp"): Measured(
            file, record.model_copy(update={"training": training}), measurement_of(record), {}
        )
        for init in ("scratch", "hub")
        for file in results({"msp": [BASE] * 8}, init=init)
        for record in file.records
    }
    (found,) = decide_claims(claims, where, Counted(measured, {}, (), trainings=files))
    return found.findings[0]


def test_epochs_are_counted_until_nearly_the_final_accuracy_of_scratch():
    slow = [0.2, 0.5, 0.7, 0.76, 0.8]  # 95 % of .8 are .76
    found = convergence(
        curves("scratch", *[slow] * 8),
        curves("hub", *[[0.5, 0.77, 0.7, 0.9, 0.9]] * 6, [0.1, 0.2, 0.3, 0.4, 0.5], [0.759, 0.9, 1, 1, 1]),
    )
    (outcome,) = found.outcomes
    assert outcome.b == (4.0,) * 8
    assert outcome.a == (2.0,) * 6 + (5.0, 2.0)  # the seventh never gets there
    assert outcome.gains == (2.0,) * 6 + (-1.0, 2.0)
    assert outcome.reading == "supported"


@pytest.mark.parametrize(
    "files",
    [
        [],
        [curves("hub", *[[0.5, 0.9]] * 8)],
        [curves("scratch", *[[0.5, None]] * 8), curves("hub", *[[0.5, 0.9]] * 8)],
        [curves("scratch", *[[0.5, 0.9]] * 8, training=TUNED), curves("hub", *[[0.5, 0.9]] * 8)],
        [curves("scratch", *[[0.5, 0.9]] * 8, condition="exp"), curves("hub", *[[0.5, 0.9]] * 8)],
    ],
)
def test_curves_that_are_not_those_of_the_records_do_not_count(files):
    (gap,) = convergence(*files).missing
    assert "no validation curves" in gap.reason
    assert gap.commands == ("oodbench run --track toy",)
