"""Which records of studies count, what they come to, and the boards and gains made of them."""

from __future__ import annotations

from typing import Any

import pytest
import synthetic_records as synthetic
import synthetic_studies as made

from benchmark.census import Census
from benchmark.errors import DataError
from benchmark.records.record import Cell
from benchmark.spec.leaderboard import ObjectiveUse, Spec
from benchmark.studies.adversarial.settings import Adversarial
from reports.boards.coverage import coverage, unmeasured_groups
from reports.boards.gains import measures, relative_gains
from reports.boards.summary import all_gains, studied_gains
from reports.boards.tables import board_table
from reports.select import select
from reports.studies.adversarial.numbers import adversarial_numbers
from reports.studies.corruptions.numbers import relative_corruption
from reports.studies.label_noise.numbers import noise_numbers, parse_noise
from reports.studies.select import CountedStudies, Studied, select_studies

SPEC = made.make_spec()


def noisy(error: float, curve: list[float] | None = None, condition: str = "uniform@0.5", **changes: Any):
    series = {} if curve is None else {"test_error": curve}
    return made.make_record(condition=condition, numbers={"test.error": error}, series=series, **changes)


def only(found: CountedStudies, study: str) -> Studied:
    (item,) = found.measured[study].values()
    return item


def chosen(study: str, row: str, *records: Any, spec: Spec = SPEC) -> CountedStudies:
    return select_studies(Census(spec), [made.make_file(study, row, records)])


# Which records count


def test_all_of_a_full_run_counts_in_the_order_of_the_leaderboard():
    found = select_studies(Census(SPEC), list(reversed(made.make_studies(seeds=[1, 0]))))
    assert found.notes == ()
    assert {study: len(cells) for study, cells in found.measured.items()} == {
        "adversarial": 12,
        "corruptions": 6,
        "label_noise": 8,
        "imbalance": 8,
    }
    networks = [(c.entry, c.init, c.seed) for c in found.measured["adversarial"]]
    assert networks[:4] == [("cross_entropy", i, s) for i in ("scratch", "fractaldb") for s in (0, 1)]
    assert [entry for entry, *_ in networks[4:]] == ["pgd_at"] * 6 + ["pgd_at_fsr"] * 2
    # 2 rows × 2 inits × 2 noises × 5 strengths × 8 seeds, of the full counted
    assert found.planned["toy", "label_noise"] == 320
    assert found.planned["toy", "adversarial"] == 6 * 8


@pytest.mark.parametrize(
    ("row", "changes", "why"),
    [
        ("glc_50", {}, "row 'glc_50' is not in study 'label_noise' on track 'toy'"),
        ("none", {"backbone": "big"}, "backbone 'big' of row 'none' is not in study"),
        ("none", {"init": "adversarial"}, "init 'adversarial' of row 'none' is not"),
        ("none", {"seed": 8}, "seed 8 of row 'none' is not in study"),
        ("none", {"condition": "uniform@0.3"}, "condition 'uniform@0.3' of row 'none' is not in"),
        ("none", {"condition": "pair@0.5"}, "condition 'pair@0.5' of row 'none' is not in"),
        ("none", {"condition": ""}, "condition '' of row 'none' is not in"),
        ("none", {"objective": "glc"}, "trained otherwise"),
        ("none", {"training": {"recipe": made.RECIPE | {"lr": 0.2}}}, "trained otherwise"),
        ("none", {"training": {"training_set": made.training_set("flip@0.5")}}, "otherwise"),
        ("none", {"training": {"training_set": made.training_set("uniform@1")}}, "now: noise strength"),
        ("none", {"training": {"training_set": None}}, "now: noise"),
        ("none", {"training": {"training_set": {"trusted": 0.1}}}, "trained otherwise"),
    ],
)
def test_what_the_leaderboard_does_not_list_is_left_out_and_said(row, changes, why):
    others = {name: change for name, change in changes.items() if name != "backbone"}
    record = made.make_record(**{"condition": "uniform@0.5", "numbers": {"test.error": 0.3}, **others})
    record = record.model_copy(update={k: v for k, v in changes.items() if k == "backbone"})
    found = chosen("label_noise", row, record)
    assert not found.measured.get("label_noise")
    (note,) = found.notes
    assert note.startswith("1 study record left out: ")
    assert why in note
    assert chosen("label_noise", "none", noisy(0.3)).notes == ()


@pytest.mark.parametrize(
    ("training", "counts"),
    [
        ({"sampler": {"name": "oversample", "weights": "inverse"}}, True),  # as by default
        ({"sampler": {"name": "oversample", "weights": "cb"}}, False),
        ({"sampler": {"name": "oversample"}, "training_set": None}, False),
        (
            {
                "sampler": {"name": "oversample"},
                "training_set": {"profile": {"method": "step", "hyperparameters": {}}},
            },
            False,
        ),
        ({"sampler": {"name": "smote"}}, False),
        ({"sampler": None}, False),
        (
            {
                "sampler": {"name": "oversample"},
                "training_set": {"profile": {"method": "exp", "hyperparameters": {"mu": 0.01}}},
            },
            False,
        ),
        (
            {
                "sampler": {"name": "oversample"},
                "training_set": {"profile": {"method": "exp", "hyperparameters": {"mu": 0.1}}},
            },
            True,
        ),
    ],
)
def test_samplers_and_long_tails_must_be_those_of_the_leaderboard(training, counts):
    record = made.make_record(
        condition="exp",
        numbers={"total.error": 0.2},
        training=training,
    )
    assert bool(chosen("imbalance", "oversample", record).measured.get("imbalance")) is counts


@pytest.mark.parametrize(
    ("study", "changes", "differ"),
    [
        ("adversarial", {"images_per_class": 6}, "images_per_class"),
        ("adversarial", {"steps": [1, 20]}, "steps"),
        ("adversarial", {"detector_attack": {"epsilon": 0.5}}, "detector_attack"),
        ("adversarial", {"attacks": {"pgd": {"method": "pgd", "hyperparameters": {}}}}, "attacks"),
        ("adversarial", {"transfer": "pgd_at"}, "transfer"),
        ("corruptions", {"kinds": ["fog"], "scale": "imagenet_c"}, "kinds, scale"),
        ("imbalance", {"detectors": ["energy"]}, "detectors"),
        ("adversarial", {"groups": {"near": ["other"], "far": []}}, "OOD sets"),
        ("corruptions", {"groups": {"near": []}}, "OOD sets"),
        ("imbalance", {"groups": {}}, "OOD sets"),
    ],
)
def test_records_must_be_measured_as_the_leaderboard_has_it(study, changes, differ):
    file = next(f for f in made.make_studies([0]) if f.study == study)
    record = file.records[0]
    assert chosen(study, file.row, record).notes == ()
    settings = {**record.settings, **changes}
    found = chosen(study, file.row, record.model_copy(update={"settings": settings}))
    assert f"was measured with other {differ.split(', ')[0]}" in found.notes[0]
    assert all(name in found.notes[0] for name in differ.split(", "))
    assert not found.measured
    assert (
        "was measured with other"
        in chosen(study, file.row, record.model_copy(update={"settings": {"x": 1}})).notes[0]
    )


@pytest.mark.parametrize(
    ("hyperparameters", "counts"),
    [
        ({"steps": 30}, True),
        ({"steps": 30, "random_start": True}, True),  # as by default
        ({"steps": 30, "random_start": False}, False),
        ({"steps": 50}, False),
        ({}, False),
    ],
)
def test_attacks_must_have_the_hyperparameters_of_the_leaderboard(hyperparameters, counts):
    studies = made.STUDIES | {"adversarial": dict(made.STUDIES["adversarial"])}
    studies["adversarial"]["attacks"] = made.STUDIES["adversarial"]["attacks"] | {
        "pgd": {"method": "pgd", "hyperparameters": {"steps": 30}}
    }
    record = next(f for f in made.make_studies([0]) if f.study == "adversarial").records[0]
    attacks = record.settings["attacks"] | {"pgd": {"method": "pgd", "hyperparameters": hyperparameters}}
    found = chosen(
        "adversarial",
        "cross_entropy",
        record.model_copy(update={"settings": record.settings | {"attacks": attacks}}),
        spec=made.make_spec(studies),
    )
    notes = [] if counts else ["with other attacks than"]
    assert [part in note for part, note in zip(notes, found.notes, strict=True)] == [True] * len(notes)


def test_the_corruption_error_is_relative_to_the_plain_row_from_scratch_whatever_they_are_called():
    studies = made.STUDIES | {
        "corruptions": made.STUDIES["corruptions"] | {"networks": {"short": ["nothing", "fractaldb"]}}
    }
    spec = made.make_spec({"corruptions": studies["corruptions"]}, boards={})
    spec = spec.model_copy(
        update={
            "inits": spec.inits | {"nothing": spec.inits["scratch"]},
            "objectives": spec.objectives | {"short": ObjectiveUse(objective="cross_entropy", epochs=3)},
        }
    )
    recipe = {**spec.tracks["toy"].training.model_dump(), "epochs": 3, "tune": "all"}
    (file,) = [f for f in made.make_studies([0]) if f.study == "corruptions" and f.row == "cross_entropy"]
    records = [
        r.model_copy(
            update={
                "init": {"scratch": "nothing"}.get(r.init, r.init),
                "training": r.training.model_copy(update={"recipe": recipe}),
            }
        )
        for r in file.records
    ]
    found = select_studies(Census(spec), [file.model_copy(update={"row": "short", "records": records})])
    assert found.notes == ()
    relative = {
        cell.init: item.numbers["mce_rel_scratch"] for cell, item in found.measured["corruptions"].items()
    }
    assert relative["nothing"] == pytest.approx(1.0)
    assert relative["fractaldb"] < 1


def test_two_records_of_one_condition_are_an_error():
    with pytest.raises(ValueError, match=r"tiny_cnn .*uniform@0.5: two records of one cell"):
        chosen("label_noise", "none", noisy(0.3), noisy(0.4))


def test_failed_records_are_listed_and_counted():
    failed = made.make_record(condition="exp", status="failed", reason="no class is left")
    file = made.make_file("imbalance", "none", [failed])
    counted = select(SPEC, [file])
    (group,) = unmeasured_groups(counted)
    assert (group.entry, group.track, group.reason) == ("none", "toy, imbalance exp", "no class is left")
    (row,) = [c for c in coverage(SPEC, counted) if c.track == "toy, imbalance"]
    assert (row.planned, row.measured, row.failed, row.missing) == (64, 0, 1, 63)


# What they come to


def test_areas_means_and_longer_training_by_hand():
    curve = [0.6, 0.3, 0.2, 0.25, 0.4]
    records = {
        "uniform@0.0": noisy(0.1),
        "uniform@0.5": noisy(0.4, curve),
        "uniform@1.0": noisy(0.8),
        "flip@0": noisy(0.1),
        "flip@1": noisy(0.9),
    }
    numbers, absent = noise_numbers(records, ["uniform"], [0.0, 0.5, 1.0])
    # trapezoids: (0.1 + 0.4)/2 · 0.5 + (0.4 + 0.8)/2 · 0.5
    assert numbers["uniform.area"] == pytest.approx(0.425)
    assert numbers["uniform.mean"] == pytest.approx(1.3 / 3)
    assert numbers["mean.area"] == pytest.approx(0.425)
    assert numbers["uniform@0.5.error"] == 0.4
    assert numbers["flip@1.error"] == 0.9
    assert numbers["uniform@0.5.overtraining"] == pytest.approx(0.2)
    assert numbers["uniform@0.5.late"] == pytest.approx(0.4 - 0.3)  # ⌈5/3⌉ = 2: the second epoch
    assert absent == {}
    numbers, absent = noise_numbers(records, ["uniform", "flip"], [0.0, 0.5, 1.0])
    assert "mean.area" not in numbers
    assert numbers["uniform.area"] == pytest.approx(0.425)
    assert absent["flip.area"] == absent["mean.area"] == "without flip@0.5"


def test_a_way_at_some_strengths_alone_has_no_area_and_lacks_nothing():
    numbers, absent = noise_numbers({"u@0.5": noisy(0.4, [0.6, 0.3, 0.4])}, [], [0.0, 0.5, 1.0], ["u@0.5"])
    assert numbers["u@0.5.overtraining"] == pytest.approx(0.1)
    assert not [name for name in numbers | absent if name.endswith(("area", "mean")) or "@1" in name]


def test_a_curve_that_nobody_watched_is_no_gap_and_a_condition_without_record_is():
    records = {"uniform@0.0": noisy(0.1), "uniform@0.5": noisy(0.4)}
    listed = ["uniform@0", "uniform@0.5", "uniform@1"]
    numbers, absent = noise_numbers(records, ["uniform"], [0.0, 0.5, 1.0], listed)
    for name in ("overtraining", "late"):
        assert f"uniform@0.5.{name}" not in numbers | absent
        assert absent[f"uniform@1.{name}"] == "without uniform@1"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [("uniform@0.4", ("uniform", 0.4)), ("exp", None), ("a@b", None), ("", None), ("flip@1", ("flip", 1.0))],
)
def test_conditions_of_label_noise(condition, expected):
    assert parse_noise(condition) == expected


def test_the_grid_is_that_of_a_full_run_once_most_networks_have_that():
    every = {0.0: 0.1, 0.5: 0.4, 1.0: 0.8}
    more = {0.25: 0.2, 0.75: 0.5}

    def curve(noise: str, errors: dict[float, float], seed: int) -> list[Any]:
        return [noisy(e, condition=f"{noise}@{p:g}", seed=seed) for p, e in errors.items()]

    ordinary = [r for seed in (0, 1) for r in curve("uniform", every, seed)]
    partial = [*ordinary, *curve("uniform", more, 0), *curve("flip", every | more, 0)]
    for records in (ordinary, [*ordinary, *curve("flip", {0.25: 0.2}, 0)], partial):
        found = chosen("label_noise", "none", *records)
        assert found.over["toy", "label_noise"].conditions == ("uniform@0", "uniform@0.5", "uniform@1")
        for item in found.measured["label_noise"].values():
            assert item.number("mean.area", "test") == item.numbers["uniform.area"] == pytest.approx(0.425)
            assert "flip.area" not in item.numbers
    whole = [*partial, *curve("uniform", more, 1), *curve("flip", every | more, 1)]
    found = chosen("label_noise", "none", *whole)
    assert len(found.over["toy", "label_noise"].conditions) == 10
    for item in found.measured["label_noise"].values():  # ((0.1 + 0.8) / 2 + 0.2 + 0.4 + 0.5) / 4
        assert item.numbers["flip.area"] == item.numbers["mean.area"] == pytest.approx(0.3875)
    item = only(chosen("label_noise", "none", *curve("uniform", {0.0: 0.1, 1.0: 0.8}, 0)), "label_noise")
    with pytest.raises(DataError, match=r"board: 'mean.area' was not measured .*without uniform@0.5"):
        item.number("mean.area", "board")
    with pytest.raises(DataError, match=r"did you mean 'mean\.area'"):
        item.number("mean.aera", "board")


def test_imbalance_is_averaged_over_profiles():
    records = [
        made.make_record(
            condition=p,
            numbers={"total.error": e, "minority.error": 2 * e},
        )
        for p, e in (("exp", 0.2), ("step", 0.3))
    ]
    item = only(chosen("imbalance", "none", *records), "imbalance")
    assert item.numbers["step.total.error"] == 0.3
    assert item.numbers["mean.total.error"] == pytest.approx(0.25)
    assert item.numbers["mean.minority.error"] == pytest.approx(0.5)
    item = only(chosen("imbalance", "none", records[0]), "imbalance")  # `step` is of a full run only
    assert item.numbers["mean.total.error"] == 0.2


def test_corruption_error_relative_to_scratch_by_hand():
    own, base = {"fog.error": 0.2, "snow.error": 0.6}, {"fog.error": 0.4, "snow.error": 0.4}
    numbers, absent = relative_corruption(own, [base], ["fog", "snow"])
    assert (numbers["mce_rel_scratch"], absent) == (pytest.approx((0.5 + 1.5) / 2), {})
    assert relative_corruption(own, [], ["fog"])[0] == {}
    errorless = base | {"fog.error": 0.0}
    numbers, _ = relative_corruption(own, [base, errorless], ["fog", "snow"])  # fog 0.2 on average
    assert numbers["mce_rel_scratch"] == pytest.approx((1.0 + 1.5) / 2)
    _, absent = relative_corruption(own, [errorless], ["fog", "snow"])
    assert absent["mce_rel_scratch"].endswith("no error under fog")


def test_networks_are_compared_with_the_mean_of_scratch():
    cells = select_studies(Census(SPEC), made.make_studies([0, 1])).measured["corruptions"]
    base = [cells[Cell("toy", made.BACKBONE, "scratch", seed, "cross_entropy")].numbers for seed in (0, 1)]
    other = cells[Cell("toy", made.BACKBONE, "scratch", 1, "pgd_at")].numbers
    assert sum(numbers["mce_rel_scratch"] for numbers in base) / 2 == pytest.approx(1.0)
    ratios = [2 * other[f"{k}.error"] / sum(numbers[f"{k}.error"] for numbers in base) for k in made.KINDS]
    assert other["mce_rel_scratch"] == pytest.approx(sum(ratios) / 3)


def test_what_claims_ask_of_attacks_by_hand():
    study = SPEC.tracks["toy"].studies.chosen(full=False)["adversarial"]
    assert isinstance(study, Adversarial)
    accuracies = {"clean": 0.9, "fgsm": 0.6, "pgd": 0.5, "apgd_ce": 0.44, "square": 0.55}
    record = made.make_record(
        numbers={f"{k}.accuracy": v for k, v in accuracies.items()}
        | {
            "white_box.accuracy": 0.44,
            "black_box.accuracy": 0.55,
            "worst.accuracy": 0.42,
            "fsr.negative.accuracy": 0.2,
            "fsr.recalibrated.accuracy": 0.35,
        },
        series={"steps": [1, 2, 4, 8], "loss_by_steps": [1.0, 1.4, 1.3, 1.5]},
    )
    numbers, absent = adversarial_numbers(record, study)
    assert numbers["fsr.gain"] == pytest.approx(0.15)
    assert numbers["half.excess"] == pytest.approx(0.42 - 0.25)
    assert numbers["black_box.excess"] == pytest.approx(0.55 - 0.44)
    assert numbers["loss.least_rise"] == pytest.approx(-0.1)
    assert absent == {}


# Boards


def test_a_board_of_a_study_is_like_any_other():
    table = board_table("adversarial", SPEC, select(SPEC, made.make_studies()))
    assert [row.labels for row in table.rows[:2]] == [("pgd_at", "adversarial"), ("pgd_at", "fractaldb")]
    assert table.rows[0].place.position == 1
    assert table.rows[0].values[-1].best
    assert table.rows[-1].labels == ("cross_entropy", "scratch")
    worst = [
        f.numbers["worst.accuracy"]
        for c, f in _cells("adversarial").items()
        if c[2:5:2] == ("scratch", "pgd_at")
    ]
    (row,) = [row for row in table.rows if row.labels == ("pgd_at", "scratch")]
    assert row.values[-1].interval.mean == pytest.approx(sum(worst) / 8)
    assert row.seeds == tuple(range(8))


def _cells(study: str):
    return select_studies(Census(SPEC), made.make_studies()).measured[study]


def test_a_cell_without_a_number_of_the_board_is_left_out_and_said():
    def keep(study, row, record):
        return (study, row, record.init, record.seed, record.condition) != (
            "label_noise", "none", "scratch", 3, "flip@0.25",
        )  # fmt: skip

    table = board_table("label_noise", SPEC, select(SPEC, made.make_studies(keep=keep)))
    (row,) = [row for row in table.rows if row.labels == ("none", "scratch")]
    assert row.seeds == (0, 1, 2, 4, 5, 6, 7)
    assert "none · tiny_cnn · scratch is left out in seed 3: no mean.area (without flip@0.25)." in table.notes


def test_a_column_that_no_record_could_have_is_an_error():
    board = made.BOARDS["imbalance"]
    column = {"metric": "mean.totl.error", "title": "Total", "better": "lower"}
    spec = made.make_spec(boards={"imbalance": board | {"columns": [column], "rank_by": "mean.totl.error"}})
    with pytest.raises(DataError, match=r"mean\.totl\.error"):
        board_table("imbalance", spec, select(spec, made.make_studies([0, 1])))


def test_a_board_may_show_some_rows_only():
    boards = {"imbalance": made.BOARDS["imbalance"] | {"inits": ["scratch"]}}
    spec = made.make_spec(boards=boards)
    table = board_table("imbalance", spec, select(spec, made.make_studies()))
    assert {row.labels for row in table.rows} == {("none", "scratch"), ("oversample", "scratch")}


# What pre-training gives


def test_gains_are_of_plain_networks_and_paired_by_seed():
    def keep(study, row, record):
        return study != "imbalance" or record.init != "scratch" or record.seed > 1

    counted = select(SPEC, [*synthetic.make_results(SPEC), *made.make_studies(keep=keep)])
    fractal, adversarial = studied_gains(all_gains(SPEC, counted), counted)
    assert (fractal.init, adversarial.init) == ("fractaldb", "adversarial")
    shown = {row.metric.title: row for row in fractal.rows}
    assert list(shown) == [
        "Accuracy",
        "Adversarial accuracy (pgd)",
        "Corruption error",
        "Label noise: area under the error curve",
        "Class imbalance: total error",
        "Near AUROC",
        "Far AUROC",
        "RMS calibration error",
    ]
    subjects = [row.subject for row in fractal.rows]
    both = ["cross_entropy", "pgd_at"]  # under attack: without a defence and with one
    assert subjects == ["msp", *both, "cross_entropy", "none", "none", "msp", "msp", "msp"]
    assert [row.gain.n for row in fractal.rows] == [8, 8, 8, 8, 8, 6, 8, 8, 8]
    assert [row.subject for row in adversarial.rows] == ["pgd_at"]
    cells = counted.studies.measured["imbalance"]
    by_hand = [
        cells[Cell("toy", made.BACKBONE, "scratch", s, "none")].numbers["mean.total.error"]
        - cells[Cell("toy", made.BACKBONE, "fractaldb", s, "none")].numbers["mean.total.error"]
        for s in range(2, 8)
    ]
    assert shown["Class imbalance: total error"].gain.mean == pytest.approx(sum(by_hand) / 6)
    assert shown["Class imbalance: total error"].gain.mean > 0  # lower errors are gains


def test_relative_gains_by_hand():
    of = {m.name: m for m in measures(SPEC, "toy")}
    names = ("accuracy", "label_noise", "imbalance", "near", "far", "calibration")
    arms = {
        "scratch": dict(zip(names, (0.9, 0.5, 0.4, 0.7, 0.9, 0.1), strict=True)),
        "fractaldb": dict(zip(names, (0.92, 0.4, 0.3, 0.8, 0.96, 0.05), strict=True)),
    }

    class Numbers:
        def __init__(self, numbers):
            self.numbers = numbers

    detection, studied = {}, {"label_noise": {}, "imbalance": {}}
    for init, values in arms.items():
        at = Cell("toy", made.BACKBONE, init, 0, "")
        own = {of[name].column.metric: value for name, value in values.items() if of[name].study is None}
        detection[at._replace(entry="msp")] = Numbers(own)
        for name in studied:
            cell = at._replace(entry="none")
            studied[name][cell] = Studied(name, cell, {}, {of[name].column.metric: values[name]})
    (found,) = relative_gains(SPEC, detection, studied).values()
    assert found.numbers == pytest.approx(
        {
            "label_noise": 0.2,
            "imbalance": 0.25,
            "detection": 0.88 / 0.8 - 1,
            "calibration": 0.5,
            "accuracy": 0.2,
            "excess": (0.2 + 0.25 + 0.1 + 0.5) / 4 - 0.2,
        }
    )
    del studied["imbalance"][Cell("toy", made.BACKBONE, "scratch", 0, "none")]
    assert relative_gains(SPEC, detection, studied) == {}


def test_without_studies_there_is_nothing():
    spec = synthetic.make_spec(["msp"])
    counted = select(spec, synthetic.make_results(spec, seeds=[0]))
    assert studied_gains(all_gains(spec, counted), counted) == []
    assert counted.studies == CountedStudies({}, {}, {}, {}, ())
    assert [c.track for c in coverage(spec, counted)] == ["toy"]
