import random

import numpy as np
import pytest
import synthetic_records as synthetic
from scipy import stats

from benchmark.errors import DataError
from benchmark.records.record import RecordFile
from benchmark.studies.detection.records import Candidate, measurement_of
from reports.boards.coverage import coverage, unmeasured_groups
from reports.boards.places import Place
from reports.boards.tables import Row, Table, board_table, board_tables
from reports.select import select

AUROC = {"metric": "near.auroc", "title": "Near AUROC", "better": "higher"}
FPR = {"metric": "near.fpr95", "title": "Near FPR@95", "better": "lower"}


def build(values: dict[str, dict[str, list[float]]], **changes) -> Table:
    """A board of entries whose near AUROC and FPR95 are `values[entry][backbone][seed]`; NaN is a failure."""
    backbones = list(next(iter(values.values())))
    board = synthetic.board(**{"rows": ["entry"], "columns": [AUROC, FPR], "inits": ["scratch"], **changes})
    spec = synthetic.make_spec(list(values), backbones=backbones, boards={"b": board})
    files = [
        synthetic.make_file(
            entry,
            [
                synthetic.make_record(
                    backbone, "scratch", seed, None if np.isnan(value) else measurement(value)
                )
                for backbone, series in by_backbone.items()
                for seed, value in enumerate(series)
            ],
        )
        for entry, by_backbone in values.items()
    ]
    return board_table("b", spec, select(spec, files))


def measurement(value: float):
    plain = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
    return synthetic.altered(plain, {"near": {"auroc": value, "fpr95": value}})


def row(table: Table, *labels: str) -> Row:
    return next(row for row in table.rows if row.labels == labels)


NAN = float("nan")


def test_rows_are_averaged_within_the_seed_before_the_interval():
    cnn, vit = [0.90, 0.92, 0.94], [0.70, 0.74, 0.66]
    interval = row(build({"msp": {"cnn": cnn, "vit": vit}}), "msp").values[0].interval
    by_seed = [0.80, 0.83, 0.80]  # on paper
    low, high = stats.t.interval(0.95, 2, loc=np.mean(by_seed), scale=stats.sem(by_seed))
    assert interval.n == 3
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.81, low, high))


def test_levels_that_are_rows_are_kept_apart():
    table = build({"msp": {"cnn": [0.9, 0.92], "vit": [0.7, 0.72]}}, rows=["entry", "backbone"])
    means = {row.labels: row.values[0].interval.mean for row in table.rows}
    assert means == pytest.approx({("msp", "cnn"): 0.91, ("msp", "vit"): 0.71})


@pytest.mark.parametrize(
    ("rank_by", "best"),
    [("near.auroc", ("energy", "knn")), ("near.fpr95", ("msp",))],
    ids=["higher", "lower"],
)
def test_rows_that_do_not_differ_lead_together_and_their_sets_hold_each_others_positions(rank_by, best):
    values = {
        "msp": {"cnn": [0.50, 0.51, 0.52, 0.50]},
        "energy": {"cnn": [0.90, 0.93, 0.91, 0.94]},
        "knn": {"cnn": [0.93, 0.90, 0.94, 0.92]},
    }
    table = build(values, rank_by=rank_by)
    column = [column.metric for column in table.columns].index(rank_by)
    means = [row.values[column].interval.mean for row in table.rows]
    assert means == sorted(means, reverse=rank_by == "near.auroc")
    assert [row.place.position for row in table.rows] == [1, 2, 3]  # by the mean
    assert {row.labels[0] for row in table.rows if row.place.leads} == set(best)
    sets = {row.labels[0]: (row.place.low, row.place.high) for row in table.rows}
    assert {sets[entry] for entry in best} == {(1, len(best))}
    assert {sets[entry] for entry in sets if entry not in best} == {(1 + len(best), 3)}
    assert {row.labels[0] for row in table.rows if row.values[column].best} == set(best)


def test_rows_of_equal_means_share_a_position():
    values = {"energy": [0.90, 0.93, 0.91], "knn": [0.93, 0.90, 0.91], "msp": [0.90, 0.92, 0.91]}
    table = build({entry: {"cnn": series} for entry, series in values.items()})
    assert {row.labels[0]: row.place.position for row in table.rows} == {"energy": 1, "knn": 1, "msp": 3}


def test_nothing_is_emphasised_where_nothing_differs():
    table = build({"energy": {"cnn": [0.90, 0.93, 0.91]}, "knn": {"cnn": [0.93, 0.90, 0.92]}})
    assert [row.place for row in table.rows] == [Place(1, 1, 2, leads=True), Place(2, 1, 2, leads=True)]
    assert not any(value.best for row in table.rows for value in row.values)


def test_a_missing_seed_is_said_and_sets_of_ranks_use_the_shared_ones():
    # over seeds 0 to 2 `energy` is far better in each; seed 3 would have hidden that
    values = {"msp": {"cnn": [0.50, 0.51, 0.52, NAN]}, "energy": {"cnn": [0.90, 0.91, 0.92, 0.0]}}
    table = build(values)
    assert row(table, "msp").seeds == (0, 1, 2)
    assert row(table, "msp").note == "without seed 3"
    assert row(table, "energy").values[0].interval.n == 4
    assert [(r.labels[0], r.place) for r in table.rows] == [
        ("energy", Place(1, 1, 1, leads=True)),
        ("msp", Place(2, 2, 2, leads=False)),
    ]
    assert table.notes == (
        "Intervals of positions and the marks use the seeds that all rows share: 0, 1, 2; means and "
        "positions all seeds that a row has.",
    )


def test_the_first_row_leads_though_another_is_best_on_the_shared_seeds():
    """By hand: msp lacks seed 3, where knn has 1. Without it energy is best, and knn behind in each seed."""
    values = {
        "msp": [0.50, 0.51, 0.52, NAN],
        "energy": [0.90, 0.91, 0.92, 0.2],  # mean .7325
        "knn": [0.80, 0.81, 0.82, 1.0],  # mean .8575
    }
    table = build({entry: {"cnn": series} for entry, series in values.items()})
    assert [(r.labels[0], r.place.position, r.place.leads) for r in table.rows] == [
        ("knn", 1, True),
        ("energy", 2, True),
        ("msp", 3, False),
    ]


def test_a_seed_counts_only_where_every_averaged_part_was_measured():
    table = build({"msp": {"cnn": [0.9, 0.9, 0.9], "vit": [0.7, NAN, 0.7]}})
    assert row(table, "msp").seeds == (0, 2)
    assert row(table, "msp").values[0].interval.mean == pytest.approx(0.8)


def test_a_row_that_averages_over_less_is_shown_last_without_a_position():
    values = {
        "gradnorm": {"cnn": [0.99, 0.99], "vit": [NAN, NAN]},
        "msp": {"cnn": [0.6, 0.7], "vit": [0.5, 0.6]},
    }
    table = build(values)
    assert [(row.labels[0], row.place) for row in table.rows] == [
        ("msp", Place(1, 1, 1, leads=True)),
        ("gradnorm", None),
    ]
    assert table.rows[1].note == "without vit, hence without a position"


def test_a_row_without_any_complete_seed_is_noted():
    values = {"odin": {"cnn": [0.9, NAN], "vit": [NAN, 0.9]}, "msp": {"cnn": [0.6, 0.7], "vit": [0.5, 0.6]}}
    table = build(values)
    assert [row.labels for row in table.rows] == [("msp",)]
    assert "odin is left out: no seed was measured on all of cnn, vit." in table.notes


def test_one_seed_gives_no_interval_and_no_position():
    table = build({"msp": {"cnn": [0.6]}, "energy": {"cnn": [0.9]}})
    assert [row.labels[0] for row in table.rows] == ["energy", "msp"]
    assert all(row.place is None and np.isnan(row.values[0].interval.low) for row in table.rows)
    assert table.notes == ("Not ranked: that needs two or more seeds which the rows share.",)


def test_board_filters_choose_the_rows():
    spec = synthetic.make_spec(boards={"b": synthetic.board(entries=["knn"], inits=["scratch"])})
    table = board_table("b", spec, select(spec, synthetic.make_results(spec, seeds=[0, 1])))
    assert [row.labels for row in table.rows] == [("knn", "scratch")]


def test_a_board_without_records_has_no_rows():
    spec = synthetic.make_spec()
    assert board_table("detection", spec, select(spec, [])).rows == ()


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("detection.glyphs.auroc", lambda m: m.detection["glyphs"].auroc),
        ("robustness.contrast.5.accuracy", lambda m: m.robustness["contrast"][5].accuracy),
        ("classification.temperature", lambda m: m.classification.temperature),
    ],
)
def test_every_number_of_a_measurement_has_a_path(metric, value):
    spec = synthetic.make_spec(["msp"])
    (file,) = synthetic.make_results(spec, seeds=[0])
    found = next(iter(select(spec, [file]).measured.values()))
    assert found.number(metric, "here") == value(found.measurement)


def test_robust_accuracy_is_the_mean_over_shifts_and_severities_from_1():
    spec = synthetic.make_spec(["msp"])
    found = next(iter(select(spec, synthetic.make_results(spec, seeds=[0])).measured.values()))
    levels = [s.accuracy for shifted in found.measurement.robustness.values() for s in shifted[1:]]
    assert len(levels) == 15
    assert found.numbers["robustness.accuracy"] == pytest.approx(np.mean(levels))


def test_what_scoring_took_is_told_by_test_image_where_it_is_recorded():
    spec = synthetic.make_spec(["msp"], inits=["scratch"], backbones=["cnn"])
    plain = measurement(0.9)
    records = [
        synthetic.make_record(
            "cnn", "scratch", seed, plain, **({"cost": {"score_seconds": 3.0}} if seed else {})
        )
        for seed in (0, 1)
    ]
    without, told = select(spec, [synthetic.make_file("msp", records)]).measured.values()
    images = plain.classification.n + sum(found.n_out for found in plain.detection.values())
    assert told.number("cost.ms", "here") == pytest.approx(3000 / images)
    with pytest.raises(DataError, match="what it took is not recorded"):
        without.number("cost.ms", "here")


@pytest.mark.parametrize(
    "metric", ["near.aurok", "near", "curves.fpr", "score_low", "classification.temperature_at_bound"]
)
def test_an_unknown_metric_names_board_column_and_choices(metric):
    columns = [{"metric": metric, "title": "Mystery", "better": "higher"}]
    spec = synthetic.make_spec(boards={"b": synthetic.board(columns=columns, rank_by=metric)})
    with pytest.raises(
        DataError,
        match=r"board 'b', column 'Mystery': .* was not measured .*there are: classification\.accuracy",
    ):
        board_table("b", spec, select(spec, synthetic.make_results(spec, seeds=[0])))


def test_reasons_are_told_once_with_their_count():
    spec = synthetic.make_spec()
    results = synthetic.make_results(
        spec, lambda entry, backbone, *_: (entry, backbone) != ("knn", "tiny_vit")
    )
    groups = unmeasured_groups(select(spec, results))
    (group,) = groups
    assert (group.entry, group.status, group.reason, group.count) == (
        "knn",
        "failed",
        "scores are not finite",
        16,
    )
    assert (group.backbones, group.inits) == (("tiny_vit",), synthetic.INITS)
    assert group.seeds == tuple(range(8))


def test_failed_and_not_applicable_are_counted_apart():
    spec = synthetic.make_spec(["msp"])
    records = [
        synthetic.make_record("tiny_cnn", "scratch", 0, measurement(0.9)),
        synthetic.make_record("tiny_cnn", "scratch", 1, None),
        synthetic.make_record(
            "tiny_vit", "scratch", 0, None, status="not_applicable", reason="no linear head"
        ),
    ]
    counted = select(spec, [synthetic.make_file("msp", records)])
    (counts,) = coverage(spec, counted)
    assert (counts.planned, counts.measured, counts.failed, counts.not_applicable) == (32, 1, 1, 1)
    assert counts.missing == 29
    assert {group.reason for group in unmeasured_groups(counted)} == {
        "scores are not finite",
        "no linear head",
    }


def other_sets(file: RecordFile) -> RecordFile:
    (record,) = file.records
    found = measurement_of(record)
    detection = dict(found.detection)
    detection["another"] = detection.pop("glyphs")
    changed = synthetic.measured(record, found.model_copy(update={"detection": detection}))
    far = ["another" if name == "glyphs" else name for name in synthetic.GROUPS["far"]]
    changed = synthetic.set_up(changed, groups={**synthetic.GROUPS, "far": far})
    assert measurement_of(changed)
    return file.model_copy(update={"records": [changed]})


def of_another_detector(file: RecordFile) -> RecordFile:
    return file.model_copy(update={"records": [synthetic.set_up(r, detector="vim") for r in file.records]})


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda file: file.model_copy(update={"track": "moon"}), "track 'moon' is not in leaderboard.yaml"),
        (lambda file: file.model_copy(update={"row": "vim"}), "entry 'vim' is not on track 'toy'"),
        (
            of_another_detector,
            "entry 'msp' on track 'toy' was measured with other detector than",
        ),
        (other_sets, "entry 'msp' on track 'toy' was measured with other OOD sets than"),
    ],
    ids=["track", "entry", "detector", "sets"],
)
def test_what_does_not_belong_is_left_out_with_a_note(change, note):
    spec = synthetic.make_spec(["msp"])
    file = synthetic.make_file("msp", [synthetic.make_record("tiny_cnn", "scratch", 0, measurement(0.9))])
    counted = select(spec, [change(file)])
    assert not counted.measured
    assert [text.startswith(f"1 record left out: {note}") for text in counted.notes] == [True]


@pytest.mark.parametrize(
    ("entry", "record", "counts"),
    [
        ({}, {}, True),
        ({}, {"hyperparameters": {"gamma": 0.1, "top": 100}}, True),  # as published
        ({}, {"hyperparameters": {"gamma": 0.1, "top": 50}}, False),  # the default was another
        ({}, {"hyperparameters": {"top": 9}, "hp_mode": "declared"}, False),  # no longer in leaderboard.yaml
        ({}, {"hyperparameters": {"top": 100, "p": 2}}, False),  # the method has none of that name
        ({"top": 9}, {"hyperparameters": {"top": 9, "gamma": 0.1}, "hp_mode": "declared"}, True),
        ({"top": 9.0}, {"hyperparameters": {"top": 9}, "hp_mode": "declared"}, True),
        ({"top": 9}, {"hyperparameters": {"top": 9, "gamma": 0.5}, "hp_mode": "declared"}, False),
        ({"top": 10}, {"hyperparameters": {"top": 9, "gamma": 0.1}, "hp_mode": "declared"}, False),
        ({"top": 100}, {"hyperparameters": {"top": 100}}, True),
        ({"top": 9}, {"hyperparameters": {}, "hp_mode": "declared"}, False),
    ],
)
def test_records_count_with_the_hyperparameters_of_their_entry(entry, record, counts):
    found, notes = selected_of("gen", entry, record)
    told = [
        "1 record left out: entry 'gen' on track 'toy' was measured with other hyper-parameters than "
        "leaderboard.yaml has now"
    ]
    assert (found, notes) == ((1, []) if counts else (0, told))


def selected_of(detector, hyperparameters, record):
    """Whether a record of an entry with these hyper-parameters counts, and what is said of it."""
    spec = synthetic.make_spec([detector])
    given = spec.entries[detector].model_copy(update={"hyperparameters": hyperparameters})
    spec = spec.model_copy(update={"entries": {detector: given}})
    made = synthetic.make_record("tiny_cnn", "scratch", 0, measurement(0.9), **record)
    counted = select(spec, [synthetic.make_file(detector, [made])])
    return len(counted.measured), list(counted.notes)


@pytest.mark.parametrize(
    ("entry", "record", "counts"),
    [
        ({}, {"hyperparameters": {"epsilon": 0.01}, "hp_mode": "id_val"}, True),  # chosen by then
        ({}, {"hyperparameters": {"epsilon": 0.01, "part": "g"}, "hp_mode": "id_val"}, False),
        ({}, {"hyperparameters": {"epsilon": 0.01}, "hp_mode": "declared"}, False),
        ({"epsilon": 0.0}, {"hyperparameters": {"epsilon": 0.01}, "hp_mode": "id_val"}, False),
        ({"epsilon": 0.0}, {"hyperparameters": {"epsilon": 0.0}, "hp_mode": "oracle"}, False),
    ],
)
def test_a_step_that_validation_images_choose_is_not_compared(entry, record, counts):
    assert selected_of("godin", entry, record)[0] == counts


@pytest.mark.parametrize(
    ("grid", "given", "counts"),
    [
        ({"top": [1, 5]}, {"gamma": 0.5}, True),
        ({"top": [1, 5]}, {"gamma": 0.2}, False),
        ({"top": [1, 5]}, {}, False),  # its default is 0.1
        ({"top": [5, 1]}, {"gamma": 0.5}, False),  # of equals the first is taken
        ({"top": [5]}, {"gamma": 0.5}, False),  # those that chose 5 are no fair part
        ({"top": [1, 5, 9]}, {"gamma": 0.5}, False),
        ({"gamma": [0.5, 1.0]}, {}, False),
    ],
)
def test_tuned_records_count_with_the_grid_of_their_entry(grid, given, counts):
    spec = synthetic.make_spec(["gen"])
    entry = spec.entries["gen"].model_copy(update={"tune": grid, "hyperparameters": given})
    spec = spec.model_copy(update={"entries": {"gen": entry}})
    tuned = {"hp_mode": "proxy_ood", "hyperparameters": {"top": 5, "gamma": 0.5}, "tuning": TRIED}
    made = synthetic.make_record("tiny_cnn", "scratch", 0, measurement(0.9), **tuned)
    assert len(select(spec, [synthetic.make_file("gen", [made])]).measured) == counts


def test_records_of_different_images_are_told_of():
    spec = synthetic.make_spec(["msp"])

    def records(*versions):
        for seed, version in enumerate(versions):
            record = synthetic.make_record("tiny_cnn", "scratch", seed, measurement(0.9))
            seen = record.provenance.model_copy(update={"data": {"id": "same", "glyphs": version}})
            yield record.model_copy(update={"provenance": seen})

    def notes(*versions):
        return select(spec, [synthetic.make_file("msp", list(records(*versions)))]).notes

    assert not notes("a", "a", "a")
    (note,) = notes("a", "b", "a", "c", "a")
    assert "track 'toy'" in note
    assert "3 versions of the images of 'glyphs' (records: 3, 1, 1)" in note


def test_two_records_of_a_cell_are_refused():
    spec = synthetic.make_spec(["msp"])
    file = synthetic.make_file("msp", [synthetic.make_record("tiny_cnn", "scratch", 0, measurement(0.9))])
    with pytest.raises(DataError, match="two records of the cell toy tiny_cnn scratch seed 0 msp"):
        select(spec, [file, file])


def test_the_order_of_the_records_does_not_matter():
    spec = synthetic.make_spec()
    results = synthetic.make_results(spec, seeds=[0, 1, 2])
    shuffled = [
        file.model_copy(update={"records": random.Random(1).sample(file.records, len(file.records))})
        for file in reversed(results)
    ]
    tables = [board_table("detection", spec, select(spec, files)) for files in (results, shuffled)]
    assert tables[0] == tables[1]


TWO = {"hyperparameters": {"members": 2}, "hp_mode": "declared"}
TRIED = [Candidate(hyperparameters={"top": top, "gamma": 0.5}, auroc=0.9).model_dump() for top in (1, 5)]


def tuned_board(**tuning):
    """Entries `msp`, published, and `knn`, tuned; `tuning` changes the records of `knn`."""
    tried = [Candidate(hyperparameters={"k": k}, auroc=0.9).model_dump() for k in (1, 5)]
    board = synthetic.board(rows=["entry"], columns=[AUROC, FPR], inits=["scratch"], backbones=["cnn"])
    spec = synthetic.make_spec(["msp", "knn"], backbones=["cnn"], boards={"b": board})
    entries = {**spec.entries, "knn": spec.entries["knn"].model_copy(update={"tune": {"k": [1, 5]}})}
    spec = spec.model_copy(update={"entries": entries})

    def records(value, **changes):
        made = [synthetic.make_record("cnn", "scratch", s, measurement(value + s / 100)) for s in range(4)]
        return [synthetic.set_up(record, **changes) for record in made]

    files = [
        synthetic.make_file("msp", records(0.7)),
        synthetic.make_file("knn", records(0.9, **{"hp_mode": "proxy_ood", "tuning": tried, **tuning})),
    ]
    return spec, select(spec, files)


def test_tuned_entries_have_a_ranking_of_their_own():
    spec, counted = tuned_board()
    published, tuned = board_tables("b", spec, counted)
    assert [r.labels for r in published.rows] == [("msp",)]
    assert [r.labels for r in tuned.rows] == [("knn",)]
    assert (published.tuned, tuned.tuned) == (False, True)
    first = Place(1, 1, 1, leads=True)
    assert [t.rows[0].place for t in (published, tuned)] == [first, first]  # .9 does not push .7 down
    assert tuned.title == f"{published.title}: tuned"


def test_a_board_without_tuned_entries_is_one_table():
    spec = synthetic.make_spec(boards={"b": synthetic.board()})
    assert [table.tuned for table in board_tables("b", spec, select(spec, []))] == [False]


def test_a_record_of_another_protocol_does_not_count():
    _, counted = tuned_board(hp_mode="published")
    assert {cell.entry for cell in counted.measured} == {"msp"}
    assert "measured with other protocol than" in counted.notes[0]


def test_ensembles_are_shown_without_a_position_among_single_networks():
    spec = synthetic.make_spec(
        ["msp", "ensemble"],
        backbones=["cnn"],
        boards={"b": synthetic.board(rows=["entry"], columns=[AUROC], inits=["scratch"])},
    )
    spec.entries["ensemble"].hyperparameters["members"] = 2
    values = [0.70, 0.71, 0.69, 0.70]
    singles = [synthetic.make_record("cnn", "scratch", s, measurement(v)) for s, v in enumerate(values)]
    pairs = [synthetic.make_record("cnn", "scratch", s, measurement(0.8), networks=2, **TWO) for s in (0, 2)]
    files = [synthetic.make_file("msp", singles), synthetic.make_file("ensemble", pairs)]
    counted = select(spec, files)
    table = board_table("b", spec, counted)
    ensemble = row(table, "ensemble")
    assert ensemble.place is None
    assert ensemble.note == "ensembles of 2 networks, not paired with single ones, hence without a position"
    assert row(table, "msp").place == Place(1, 1, 1, leads=True)
    assert not [note for note in table.notes if "use the seeds" in note]  # all four of them
    (counts,) = coverage(spec, counted)
    assert counts.planned == 2 * (8 + 4)  # two inits; eight single networks, four pairs
