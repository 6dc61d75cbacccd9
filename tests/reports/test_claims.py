"""Claims decided from synthetic records in which the truth is known, and the page that shows them."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import synthetic_records as synthetic
from markdown_it import MarkdownIt
from page import Page

from benchmark.boundary import BoundaryFile
from benchmark.errors import DataError, SpecError
from benchmark.results import Cell, Cost, RecordFile, TrainedWith
from benchmark.spec import Full, load_spec
from benchmark.trainings import TrainingFile
from reports.claims import decide_claims
from reports.claims_page import claims_page, rule
from reports.register import Register, Setting, load_register
from reports.selection import Measured, Selection, select
from reports.site import build_site

SCRIPT = "<script>alert(1)</script>"
TABLE = "a|b `c` **d** [e](http://evil.example) <b>f</b>"
NOISE = np.array([-0.4, 0.3, -0.1, 0.2, 0.4, -0.3, 0.1, -0.2]) / 100  # mean 0 over eight seeds
BASE = 0.8


def register(*trials: dict[str, Any], inits: Sequence[str] = ("scratch",), **claim: Any) -> Register:
    """One claim C-A1 on one backbone of the toy track."""
    defaults = {"metric": "auroc", "a": "energy", "b": "msp", "settings": ["toy"]}
    return Register.model_validate(
        {
            "version": 1,
            "metrics": {
                "auroc": {"metric": "both.auroc", "title": "AUROC", "better": "higher", "delta": 0.5},
                "worst": {"metric": "worst.auroc", "title": "Worst AUROC", "better": "higher", "delta": 0.5},
                "fpr95": {"metric": "both.fpr95", "title": "FPR", "better": "lower", "delta": 2.0},
                "gone": {"metric": "near.gone", "title": "Gone", "better": "higher", "delta": 0.5},
                "epochs": {
                    "metric": "curve.epochs",
                    "title": "Epochs",
                    "better": "lower",
                    "percent": False,
                    "delta": 0.0,
                },
            },
            "settings": {"toy": {"track": "toy", "backbones": ["cnn"], "inits": list(inits)}},
            "claims": [
                {
                    "id": "C-A1",
                    "statement": "Energy is better.",
                    "source": "Somebody 2020",
                    "trials": [
                        {"id": f"t{i}", **defaults, **trial} for i, trial in enumerate(trials or [{}])
                    ],
                    **claim,
                }
            ],
        }
    )


def results(
    values: Mapping[str, Sequence[float]], init: str = "scratch", fpr: bool = False, **changes: Any
) -> list[RecordFile]:
    """AUROC of both groups (or FPR@95) by entry and seed, on one backbone."""
    plain = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
    name = "fpr95" if fpr else "auroc"
    files = []
    for entry, numbers in values.items():
        records = []
        for seed, number in enumerate(numbers):
            sets = {k: d.model_copy(update={name: number}) for k, d in plain.detection.items()}
            means = {
                group: getattr(plain, group).model_copy(update={name: number}) for group in ("near", "far")
            }
            measurement = plain.model_copy(update={"detection": sets, **means})
            records.append(synthetic.make_record("cnn", init, seed, measurement, **changes))
        files.append(synthetic.make_file(entry, records))
    return files


def spec(entries=("msp", "energy"), inits=("scratch",)):
    return synthetic.make_spec(entries, inits=inits, backbones=["cnn"], boards={})


def verdict(values, claims=None, where=None, **rest):
    where = where or spec(tuple(values))
    (found,) = decide_claims(claims or register(), where, select(where, results(values, **rest)))
    return found


def arms(gain: float, seeds: int = 8) -> dict[str, np.ndarray]:
    """Energy above msp by `gain`, give or take the noise."""
    msp = BASE + 3 * NOISE[::-1][:seeds]
    return {"msp": msp, "energy": msp + gain + NOISE[:seeds]}


@pytest.mark.parametrize(
    ("gain", "reading", "detail"),
    [
        (0.02, "supported", "exact test"),
        (-0.02, "refuted", "contradicted, exact test"),
        (0.0, "undecided", "negligible, 90 % interval"),
        (0.004, "undecided", "inconclusive, exact test"),
    ],
)
def test_what_is_true_of_the_records_is_found(gain, reading, detail):
    found = verdict(arms(gain))
    (outcome,) = found.findings[0].outcomes
    assert (outcome.reading, outcome.detail, found.overall) == (reading, detail, reading)
    assert outcome.answer.gain.mean == pytest.approx(gain)
    assert outcome.gains == pytest.approx(list(gain + NOISE))
    assert (outcome.mean_a, outcome.mean_b) == pytest.approx((BASE + gain, BASE))
    assert outcome.seeds == tuple(range(8))
    assert found.findings[0].sign_p is None  # a single setting


def test_a_lower_metric_that_falls_is_a_gain():
    values = arms(-0.05)
    (outcome,) = verdict(values, register({"metric": "fpr95"}), fpr=True).findings[0].outcomes
    assert outcome.answer.gain.mean == pytest.approx(0.05)
    assert (outcome.reading, outcome.mean_a) == ("supported", pytest.approx(BASE - 0.05))


def test_delta_is_in_points():
    """0.5 points are .005 of a share: 0.6 points clear it, 0.4 do not."""
    few = np.array([1, -1] * 4) / 1e5
    for points, reading in ((0.6, "supported"), (0.4, "undecided")):
        values = {"msp": np.full(8, BASE), "energy": BASE + points / 100 + few}
        assert verdict(values).overall == reading


def test_five_seeds_are_exploratory_whatever_they_say():
    found = verdict(arms(0.1, seeds=5))
    (outcome,) = found.findings[0].outcomes
    assert (outcome.reading, outcome.detail) == ("undecided", "exploratory: fewer than 6 seeds")
    assert outcome.answer.gain.p_sign_flip == 1 / 32
    assert found.overall == "undecided"


def test_only_shared_seeds_are_paired():
    values = arms(0.02)
    where = spec()
    files = results({"msp": values["msp"][:7], "energy": values["energy"]})
    (found,) = decide_claims(register(), where, select(where, files))
    assert found.findings[0].outcomes[0].seeds == tuple(range(7))


@pytest.mark.parametrize(
    ("threshold", "reading"), [(50.0, "supported"), (79.6, "undecided"), (90.0, "refuted")]
)
def test_one_sample_claims_of_the_worst_set(threshold, reading):
    claims = register({"metric": "worst", "a": "msp", "b": None, "threshold": threshold})
    where = spec(("msp",))
    (file,) = results({"msp": BASE + NOISE})
    records = []
    for record in file.records:
        sets = dict(record.measurement.detection)
        for name, add in (("glyphs", 0.1), ("uniform_noise", 0.15)):
            sets[name] = sets[name].model_copy(update={"auroc": sets[name].auroc + add})
        measurement = record.measurement.model_copy(update={"detection": sets})
        records.append(record.model_copy(update={"measurement": measurement}))
    files = [file.model_copy(update={"records": records})]
    (found,) = decide_claims(claims, where, select(where, files))
    (outcome,) = found.findings[0].outcomes
    assert (outcome.mean_a, outcome.mean_b) == pytest.approx((BASE, threshold / 100))
    assert outcome.reading == reading


def test_the_init_as_the_factor():
    where = spec(("msp",), inits=("scratch", "fractaldb"))
    trial = {"a": "msp", "b": "msp", "versus_init": "scratch"}
    plain, better = (
        results({"msp": BASE + NOISE}),
        results({"msp": BASE + 0.03 + 2 * NOISE}, init="fractaldb"),
    )
    merged = [plain[0].model_copy(update={"records": [*plain[0].records, *better[0].records]})]
    (found,) = decide_claims(register(trial, inits=["fractaldb"]), where, select(where, merged))
    (outcome,) = found.findings[0].outcomes
    assert (outcome.setting, outcome.reading) == (Setting("toy", "cnn", "fractaldb"), "supported")
    assert outcome.answer.gain.mean == pytest.approx(0.03)


def test_interactions_are_differences_of_differences():
    values = {"a": BASE + 0.09 + NOISE, "b": BASE + NOISE[::-1], "c": np.full(8, 0.6), "d": np.full(8, 0.55)}
    trial = {"a": "a", "b": "b", "minus": {"a": "c", "b": "d"}}
    (outcome,) = verdict(values, register(trial)).findings[0].outcomes
    assert outcome.gains == pytest.approx(list(0.09 + NOISE - NOISE[::-1] - 0.05))


def test_recovered_shares_leave_out_seeds_without_anything_to_recover():
    plain = np.full(8, BASE)
    explicit = plain + np.array([0.1] * 7 + [0.009])  # the last gains less than a point
    joint = plain + 0.08
    trial = {"a": "joint", "b": "plain", "relative_to": "explicit", "threshold": 50.0, "delta": 0.0}
    found = verdict({"plain": plain, "explicit": explicit, "joint": joint}, register(trial))
    (outcome,) = found.findings[0].outcomes
    assert (outcome.seeds, outcome.left_out) == (tuple(range(7)), (7,))
    assert outcome.a == pytest.approx([0.8] * 7)
    assert outcome.reading == "supported"
    nothing = verdict({"plain": plain, "explicit": plain, "joint": joint}, register(trial))
    assert nothing.overall == "not run"
    assert "nothing to recover" in nothing.findings[0].missing[0].reason


def test_what_is_missing_is_said_with_the_command_that_runs_it():
    where = spec(("msp", "energy", "slow"))
    track = where.tracks["toy"].model_copy(
        update={"entries": ["msp", "energy"], "full": Full(entries=["slow"])}
    )
    where = where.model_copy(update={"tracks": {"toy": track}})
    trials = [
        {"a": "energy"},
        {"a": "slow"},
        {"a": "absent"},
        {"a": "msp", "b": "msp", "versus_init": "hub"},
    ]
    (found,) = decide_claims(register(*trials), where, select(where, results({"msp": BASE + NOISE})))
    assert (found.overall, found.counts["not run"]) == ("not run", 4)
    gaps = [finding.missing[0] for finding in found.findings]
    assert gaps[0].reason == "no record of energy"
    assert [gap.commands for gap in gaps] == [
        ("oodbench run --track toy --entry energy",),
        ("oodbench run --full",),
        ("oodbench run --track toy --entry absent",),
        ("oodbench run --track toy --entry msp --init hub",),
    ]
    assert "absent is not on track toy in leaderboard.yaml" in gaps[2].reason
    assert "init hub is not on track toy in leaderboard.yaml" in gaps[3].reason
    assert gaps[0].settings == (Setting("toy", "cnn", "scratch"),)


def test_every_missing_arm_is_named():
    found = verdict({"other": BASE + NOISE}, register({"a": "x", "b": "y"}))
    (gap,) = found.findings[0].missing
    assert "x is not on track" in gap.reason
    assert "y is not on track" in gap.reason
    assert len(gap.commands) == 2


def test_an_arm_that_failed_gives_its_reason():
    where = spec()
    files = results({"msp": BASE + NOISE})
    files.append(synthetic.make_file("energy", [synthetic.make_record("cnn", "scratch", 0, None)]))
    (found,) = decide_claims(register(), where, select(where, files))
    (gap,) = found.findings[0].missing
    assert (gap.reason, gap.commands) == ("energy failed: scores are not finite", ())


def test_an_unknown_track_is_no_error():
    where = spec()
    claims = register()
    moon = claims.settings["toy"].model_copy(update={"track": "moon"})
    claims = claims.model_copy(update={"settings": {"toy": moon}})
    (found,) = decide_claims(claims, where, select(where, []))
    assert found.findings[0].missing[0].reason == "track moon is not in leaderboard.yaml"


def test_an_unknown_metric_is_an_error():
    with pytest.raises(DataError, match=r"C-A1 t0.*near.gone"):
        verdict(arms(0.02), register({"metric": "gone"}))


def test_ensembles_pair_with_nothing():
    found = verdict(arms(0.02), networks=3)
    assert found.overall == "not run"


def test_secondary_and_capped_tests_have_no_verdict_and_count_in_no_family():
    trials = [{}, {"role": "secondary"}, {"role": "capped"}]
    found = verdict(arms(0.02), register(*trials))
    primary, secondary, capped = (finding.outcomes[0] for finding in found.findings)
    assert (primary.answer.family_size, primary.answer.p_holm) == (1, 1 / 256)
    assert (secondary.reading, secondary.detail) == ("no verdict", "secondary, unadjusted")
    assert (capped.reading, capped.detail) == ("undecided", "exploratory: capped")
    assert found.counts == {"supported": 1, "undecided": 1, "not run": 0}
    assert found.overall == "undecided"


def test_the_family_is_the_letter_over_claims_and_settings():
    claims = register(inits=["scratch", "fractaldb"])
    one = claims.claims[0]
    others = [one.model_copy(update={"id": "C-A2"}), one.model_copy(update={"id": "C-B1"})]
    claims = claims.model_copy(update={"claims": [one, *others]})
    where = spec(inits=("scratch", "fractaldb"))
    plain, other = results(arms(0.02)), results(arms(0.02), init="fractaldb")
    merged = [
        a.model_copy(update={"records": [*a.records, *b.records]}) for a, b in zip(plain, other, strict=True)
    ]
    found = decide_claims(claims, where, select(where, merged))
    sizes = [o.answer.family_size for v in found for f in v.findings for o in f.outcomes]
    assert sizes == [4, 4, 4, 4, 2, 2]
    assert found[0].findings[0].outcomes[0].answer.p_holm == pytest.approx(4 / 256)
    assert found[0].findings[0].sign_p == 0.5  # two settings of the same sign
    assert found[0].counts["supported"] == 2


def test_settings_that_disagree_leave_a_claim_undecided():
    claims = register(inits=["scratch", "fractaldb"])
    where = spec(inits=("scratch", "fractaldb"))
    plain, other = results(arms(0.02)), results(arms(-0.02), init="fractaldb")
    merged = [
        a.model_copy(update={"records": [*a.records, *b.records]}) for a, b in zip(plain, other, strict=True)
    ]
    (found,) = decide_claims(claims, where, select(where, merged))
    assert (found.counts["supported"], found.counts["refuted"]) == (1, 1)
    assert found.overall == "undecided"


@pytest.mark.parametrize(("gain", "reading"), [(0.02, "supported"), (-0.02, "refuted")])
def test_half_a_claim_that_was_not_run_leaves_it_undecided(gain, reading):
    found = verdict(arms(gain), register({}, {"a": "absent"}))
    assert found.counts == {reading: 1, "not run": 1}
    assert found.overall == "undecided"
    assert verdict(arms(gain), register({}, {"a": "absent", "role": "secondary"})).overall == reading


def test_a_repeated_outcome_is_not_counted_twice():
    claims = register()
    again = claims.claims[0].model_copy(update={"id": "C-A9"})
    repeat = {"repeats": [{"claim": "C-A1", "trial": "t0", "init": "scratch"}]}
    again = type(again).model_validate(
        again.model_dump() | repeat | {"trials": [again.trials[0].model_dump()]}
    )
    both = decide_claims(
        claims.model_copy(update={"claims": [claims.claims[0], again]}),
        spec(),
        select(spec(), results(arms(0.02))),
    )
    assert both[1].findings[0].repeated == "C-A1"
    assert both[1].findings[0].outcomes == both[0].findings[0].outcomes
    assert both[0].findings[0].outcomes[0].answer.family_size == 2  # of C-A1 and of C-A9's own


# The page


def page_of(path: Path, values, claims, **rest) -> tuple[Page, str]:
    where = spec(tuple(values))
    build_site(where, results(values, **rest), path, generated=synthetic.NOW, register=claims)
    markdown = (path / "claims.md").read_text()
    return Page((path / "claims.html").read_text()), markdown


def test_the_page_has_the_verdict_with_its_numbers(tmp_path):
    published = [{"figure": "AUROC 1.23 → 4.56", "tag": "V"}]
    page, markdown = page_of(tmp_path, arms(0.02), register(published=published))
    rendered = Page(MarkdownIt("commonmark").enable("table").render(markdown)).text
    half = 100 * 2.364624 * NOISE.std(ddof=1) / 8**0.5  # t(.975, 7)
    for text in (page.text, rendered):
        assert "supported" in text
        assert "Energy is better." in text
        assert "AUROC 1.23 → 4.56 (read in the authors' release [V])" in text
        assert "AUROC: energy is higher than msp, by 0.50 points or more." in text
        assert f"+{2 - half:.2f}" in text
        assert f"+{2 + half:.2f}" in text
        assert "0.004" in text  # 1/256
        assert "Both arms score the same networks" in text
        assert "nan" not in text.split()
    for number in 2 + 100 * NOISE:
        assert f"+{number:.2f}" in markdown
    seeds = [a for tag, a in page.elements if tag == "circle"]
    assert len(seeds) == 8
    assert all(0 <= float(dot["cx"]) <= 220 for dot in seeds)


def test_dots_lie_on_the_scale():
    where = spec()
    data = claims_page(register(), where, select(where, results(arms(0.02))))
    (shown,) = data["shown"]["C-A1"]
    ((outcome, dots),) = shown.rows
    per_unit = (dots.mean - shown.scale.zero) / outcome.answer.gain.mean
    assert dots.seeds == pytest.approx([shown.scale.zero + per_unit * g for g in outcome.gains], abs=0.2)
    assert shown.scale.band[1] - shown.scale.zero == pytest.approx(per_unit * 0.005, abs=0.2)
    assert "0" in {text for _, text in shown.scale.ticks}
    assert len(shown.scale.ticks) >= 2
    assert "Gains of the seeds: 1.60, 2.30" in dots.alt


def test_one_seed_has_no_interval_on_the_page(tmp_path):
    page, markdown = page_of(tmp_path, arms(0.02, seeds=1), register())
    assert "exploratory" in page.text
    assert not re.search(r"\bnan\b", page.text + markdown)


RECIPE = {"epochs": 18, "lr": 0.005, "batch_size": 40, "tune": "all"}
PLAIN = TrainedWith(objective="cross_entropy", recipe=RECIPE)
TUNED = TrainedWith(
    objective="energy_finetune",
    outliers={"strokes": None, "blends": 0.5},
    recipe=RECIPE | {"epochs": 9, "lr": 0.001},
    starts_from=PLAIN,
)


def trained(a: TrainedWith | None, b: TrainedWith | None, same_networks: bool = False) -> list[str]:
    """Factors of energy, trained like `a`, against msp, trained like `b`."""
    cost = dict.fromkeys(("extract_seconds", "score_seconds", "measure_seconds", "peak_memory_mb"), 1.0)
    files = results(arms(0.02))
    for file, training, seconds, mark in zip(files, (b, a), (4.0, 9.0), "ab", strict=True):
        for i, record in enumerate(file.records):
            checkpoint = ("c" if same_networks else mark) * 64
            changed = {
                "cost": Cost.model_validate({**cost, "train_seconds": seconds}),
                "training": training,
                "provenance": record.provenance.model_copy(update={"checkpoint": checkpoint}),
            }
            file.records[i] = record.model_copy(update=changed)
    where = spec()
    found = Selection(
        {
            Cell("toy", r.backbone, r.init, r.seed, f.entry): Measured(f, r, r.measurement, auroc_of(r))
            for f in files
            for r in f.records
        },
        {},
        (),
    )
    (shown,) = claims_page(register(), where, found)["shown"]["C-A1"]
    return list(shown.factors)


def auroc_of(record) -> dict[str, float]:
    return {f"{group}.auroc": getattr(record.measurement, group).auroc for group in ("near", "far")}


def test_arms_of_different_networks_tell_their_cost():
    factors = trained(PLAIN, PLAIN)
    training = "arm a 18 epochs, 9.0 s a network; arm b 18 epochs, 4.0 s a network"
    assert f"Training on toy: {training}; the same recipe, compute matched" in factors
    assert "Hyper-parameters: a published; b published" in factors


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
    measured = {
        Cell("toy", r.backbone, r.init, r.seed, f.entry): Measured(f, r, r.measurement, auroc_of(r))
        for f in files
        for r in f.records
    }
    found = Selection(measured, {}, found.notes)
    (claim,) = decide_claims(register(), where, found)
    (outcome,) = claim.findings[0].outcomes
    assert (outcome.reading, outcome.answer.verdict) == ("undecided", "exploratory")
    assert outcome.detail == "exploratory: arm a not trained alike in all seeds"
    assert outcome.answer.family_size == 0
    (shown,) = claims_page(register(), where, found)["shown"]["C-A1"]
    assert any(text.startswith("The networks of arm a on toy · cnn · scratch") for text in shown.factors)
    assert verdict(arms(0.02)).overall == "supported"  # nothing recorded is not a difference


# Validation curves, and two dimensions


def curves(init: str, *accuracies: Sequence[float | None], training: TrainedWith = PLAIN) -> TrainingFile:
    """Validation accuracies of networks of cross_entropy, one a seed."""
    common = {"backbone": "cnn", "init": init, "training": training, "seconds": 1.0}
    return TrainingFile.model_validate(
        {
            "track": "toy",
            "objective": "cross_entropy",
            "records": [
                common
                | {"seed": seed, "key": f"{init}-{seed}", "val_accuracy": list(curve)}
                | {"loss": [1.0] * len(curve), "val_nll": [None] * len(curve)}
                for seed, curve in enumerate(accuracies)
            ],
        }
    )


def convergence(*files: TrainingFile, training: TrainedWith | None = PLAIN):
    claims = register({"metric": "epochs", "a": "msp", "b": "msp", "versus_init": "scratch"}, inits=["hub"])
    where = spec(("msp",), inits=("scratch", "hub"))
    measured = {
        Cell("toy", "cnn", init, record.seed, "msp"): Measured(
            file, record.model_copy(update={"training": training}), record.measurement, {}
        )
        for init in ("scratch", "hub")
        for file in results({"msp": [BASE] * 8}, init=init)
        for record in file.records
    }
    (found,) = decide_claims(claims, where, Selection(measured, {}, ()), files)
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
    ],
)
def test_curves_that_are_not_those_of_the_records_do_not_count(files):
    (gap,) = convergence(*files).missing
    assert "no validation curves" in gap.reason
    assert gap.commands == ("oodbench run --track toy",)


def boundary(seeds: int = 8) -> BoundaryFile:
    """Near outliers win on band and mid, far ones on far; energy follows the density better."""
    auroc = {"near": (0.99, 0.98, 0.96), "far": (0.9, 0.9, 0.99), "cross_entropy": (0.3, 0.2, 0.1)}
    confident = {"near": (0.0, 0.0, 0.2), "far": (0.6, 0.3, 0.0), "cross_entropy": (0.9, 0.9, 0.9)}
    found = []
    for seed in range(seeds):
        for arm in auroc:
            regions = {
                name: {"auroc": a + NOISE[seed] / 10, "confident": abs(c - abs(NOISE[seed])), "n": 9}
                for name, a, c in zip(("band", "mid", "far"), auroc[arm], confident[arm], strict=True)
            }
            density = {"energy": 0.8 + NOISE[seed], "msp": 0.3} if arm == "cross_entropy" else None
            one = {"arm": arm, "seed": seed, "steps": 6000, "accuracy": 0.975, "id_confident": 0.9}
            found.append(one | {"regions": regions, "density": density})
    return BoundaryFile.model_validate({"results": found, "maps": []})


def in_two_dimensions(*ids: str) -> Register:
    """Those claims of the own register, only with their tests in two dimensions."""
    own = load_register()
    claims = [
        claim.model_copy(update={"trials": [t for t in claim.trials if t.settings == ["plane"]]})
        for claim in own.claims
        if claim.id in ids
    ]
    return own.model_copy(update={"claims": claims, "untested": []})


def test_two_dimensions_decide_the_claims_that_are_about_them():
    claims = in_two_dimensions("C-A6", "C-A13", "C-B6")
    found = decide_claims(claims, spec(), select(spec(), []), boundary=boundary())
    assert {v.claim.id: v.overall for v in found} == dict.fromkeys(("C-A6", "C-A13", "C-B6"), "supported")
    gains = {f.trial.id: f.outcomes[0].answer.gain.mean for v in found for f in v.findings}
    assert gains == pytest.approx(
        {
            "band_auroc": 0.09,
            "band_confident": 0.6 - 0.0025 - 0.0025,  # the noise's mean size is a quarter of a point
            "mid_auroc": 0.08,
            "mid_confident": 0.3 - 0.0025 - 0.0025,
            "confident": 0.2 - 0.0025 - 0.05,
            "far_at_least_as_good": 0.03,
            "spearman": 0.5,
        }
    )
    turned = [
        r.model_copy(update={"arm": {"near": "far", "far": "near"}.get(r.arm, r.arm)})
        for r in boundary().results
    ]
    other = BoundaryFile(results=turned, maps=[])
    found = decide_claims(claims, spec(), select(spec(), []), boundary=other)
    assert {v.claim.id: v.overall for v in found} == {
        "C-A6": "refuted",
        "C-A13": "refuted",
        "C-B6": "supported",
    }


def test_two_dimensions_are_not_run_without_their_file():
    claims = in_two_dimensions("C-A6", "C-A13", "C-B6")
    for v in decide_claims(claims, spec(), select(spec(), [])):
        assert v.overall == "not run"
        for finding in v.findings:
            (gap,) = finding.missing
            assert gap.commands == ("oodbench run --full",)
            assert [str(s) for s in gap.settings] == ["two dimensions · mlp_2_500_500 · he_normal"]


def test_two_dimensions_are_on_the_page(tmp_path):
    where = spec()
    claims = in_two_dimensions("C-A6", "C-B6")
    files = results(arms(0.02))
    build_site(where, files, tmp_path, generated=synthetic.NOW, register=claims, boundary=boundary())
    for text in (Page((tmp_path / "claims.html").read_text()).text, (tmp_path / "claims.md").read_text()):
        plain = text.replace("\\", "")
        assert "two dimensions · mlp_2_500_500 · he_normal" in plain
        assert "AUROC of the region band: near_outliers is higher than far_outliers, by 1.00 points" in plain
        assert "6000 steps for each classifier" in plain
        assert "near_outliers: ID test accuracy 97.50" in plain


@pytest.mark.parametrize(
    ("a", "metric", "expected"),
    [("msp", "auroc", "no arm 'msp' in two dimensions"), ("near_outliers", "auroc", "has no 'both.auroc'")],
)
def test_arms_and_metrics_in_two_dimensions_are_checked(tmp_path, a, metric, expected):
    path = tmp_path / "claims.yaml"
    changed = GOOD.replace("track: toy", "track: boundary").replace("a: energy", f"a: {a}")
    path.write_text(changed.replace("b: msp", "b: far_outliers"))
    with pytest.raises(SpecError, match=re.escape(expected)):
        load_register(path)


def test_pretraining_is_said_to_be_conditional_on_its_checkpoint():
    where = spec(inits=("scratch", "fractaldb"))
    data = claims_page(
        register(inits=["fractaldb"]), where, select(where, results(arms(0.02), init="fractaldb"))
    )
    (shown,) = data["shown"]["C-A1"]
    assert any("conditional on one checkpoint" in factor for factor in shown.factors)


def test_hostile_text_stays_text(tmp_path):
    claims = register(
        {"about": SCRIPT},
        statement=f"{SCRIPT} {TABLE}",
        source=TABLE,
        about=SCRIPT,
        published=[{"figure": TABLE, "tag": "R"}],
    )
    claims = claims.model_copy(
        update={"metrics": {k: m.model_copy(update={"title": TABLE}) for k, m in claims.metrics.items()}}
    )
    page, markdown = page_of(tmp_path, arms(0.02), claims)
    rendered = Page(MarkdownIt("commonmark").enable("table").render(markdown))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "b"}
    assert not {tag for tag, _ in rendered.elements} & {"script", "img", "b"}
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    for text in (page.text, rendered.text):
        assert SCRIPT in text
        assert TABLE in text
    links = [attributes["href"] for tag, attributes in rendered.elements if tag == "a"]
    assert links == ["leaderboard.md"]
    tables = re.findall(
        r"<table>.*?</table>", MarkdownIt("commonmark").enable("table").render(markdown), re.S
    )
    assert len(tables) == 3
    for table in tables:
        rows = re.findall(r"<tr>.*?</tr>", table, re.S)
        assert len({len(re.findall(r"<t[hd]\b", row)) for row in rows}) == 1


def test_the_page_is_sound(tmp_path):
    page, _ = page_of(tmp_path, arms(0.02), register({}, {"role": "secondary"}, {"a": "absent"}))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        assert "style" not in attributes
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids
        link = attributes.get("href") or ""
        assert not re.match(r"[a-z]+:|//", link)
        if link.startswith("#"):
            assert link[1:] in ids
        elif link:
            assert (tmp_path / link).exists()
    tables = sum(tag == "table" for tag, _ in page.elements)
    assert tables == sum(tag == "caption" for tag, _ in page.elements) == 4


def test_the_pages_are_linked_and_rebuilt_with_the_claims(tmp_path):
    values, where = arms(0.02), spec()
    files = results(values)
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=register())
    assert 'href="claims.html"' in (tmp_path / "index.html").read_text()
    assert "(claims.md)" in (tmp_path / "leaderboard.md").read_text()
    other = register(statement="Something else.")
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=other)
    assert "Something else." in (tmp_path / "claims.html").read_text()
    (tmp_path / "claims.html").write_text("edited")
    assert build_site(where, files, tmp_path, generated=synthetic.NOW, register=other)


# The register


def test_the_own_register_is_sound():
    own = load_register()
    assert {claim.id for claim in own.claims} >= {"C-A6", "C-B1f", "C-B3", "C-C11", "C-D7", "C-F13", "C-F15"}
    without = [c.id for c in own.claims if all(trial.role == "secondary" for trial in c.trials)]
    assert without == ["C-E8"]  # the spec asks for no verdict
    for claim in own.claims:
        for trial in claim.trials:
            assert rule(trial, own.metric(trial))
    c11 = next(claim for claim in own.claims if claim.id == "C-C11")
    assert {(t.a, t.b) for t in c11.trials} >= {("max_logit", "msp"), ("energy", "entropy")}


def test_the_register_names_what_the_leaderboard_has():
    """A claim that names no entry would be `not run` for ever, and nobody would notice."""
    own, board = load_register(), load_spec(Path(__file__).parents[2] / "leaderboard.yaml")
    absent = set()
    for claim in own.claims:
        for trial in claim.trials:
            if own.metric(trial).study is not None:
                continue
            for place in (own.settings[name] for name in trial.settings if name != "plane"):
                track = board.tracks[place.track]
                entries = {trial.a, trial.b, trial.relative_to} - {None}
                absent |= {(place.track, entry) for entry in entries - set(track.all_entries)}
                absent |= {(place.track, name) for name in set(place.inits) - set(track.inits)}
                for entry in entries & set(track.all_entries):
                    absent |= {
                        (entry, name) for name in set(place.backbones) - set(track.backbones_of(entry))
                    }
    assert absent == {("digits", "hub"), ("cifar10", "hub")}
    assert board.boundary is not None


def test_deltas_are_those_of_the_spec():
    own = load_register()
    expected = {"auroc": 0.5, "far_auroc": 0.5, "fpr95": 2.0, "aupr_out_b": 1.0, "accuracy": 0.5, "rms": 0.5}
    expected |= {"band_auroc": 1.0, "mid_auroc": 1.0, "band_confident": 5.0, "mid_confident": 5.0}
    expected |= {"robust": 1.0, "robust_worst": 1.0, "robust_square": 1.0, "natural": 0.5, "noise_area": 0.5}
    expected |= {"tail_total": 0.5, "tail_minority": 0.5, "late_4": 0.5, "fsr_gain": 0.5}
    expected |= {"plane_far_auroc": 1.0, "plane_far_confidence": 0.0, "density": 0.05, "epochs": 0.0}
    assert {name: own.metrics[name].delta for name in expected} == expected
    margins = {
        (claim.id, trial.id): own.metric(trial).delta
        for claim in own.claims
        for trial in claim.trials
        if trial.delta is not None
    }
    assert margins == {
        ("C-A1", "every_set"): 5.0,
        ("C-A5", "accuracy"): 1.0,
        ("C-A10", "recovered"): 0.0,
        ("C-B4", "accuracy"): 1.0,
        ("C-D1", "auroc"): 5.0,
        ("C-D9", "auroc"): 1.0,
        ("C-D10", "domain_head"): 5.0,
        ("C-F5", "natural"): 1.0,
        ("C-F7", "not_worse"): 5.0,
    }


GOOD = """\
version: 1
metrics:
  auroc: {metric: both.auroc, title: AUROC, better: higher, delta: 0.5}
settings:
  toy: {track: toy, backbones: [cnn], inits: [scratch]}
claims:
  - id: C-A1
    statement: It is so.
    source: Somebody 2020
    published: [{figure: "12.3", tag: V}]
    trials:
      - {id: t, metric: auroc, a: energy, b: msp, settings: [toy]}
"""


def test_a_good_register_is_read(tmp_path):
    path = tmp_path / "claims.yaml"
    path.write_text(GOOD)
    assert load_register(path).claims[0].trials[0].b == "msp"


@pytest.mark.parametrize(
    ("old", "new", "line", "expected"),
    [
        ("tag: V", "tag: U", 10, "claims.0.published.0.tag: Input should be 'V', 'T', 'A' or 'R'; got 'U'"),
        ("b: msp, ", "", 12, "expected either `b` or `threshold`"),
        ("b: msp, ", "b: energy, ", 12, "the same entry 'energy'"),
        ("b: msp, ", "b: msp, threshold: 50.0, ", 12, "expected either `b` or `threshold`"),
        ("b: msp, ", "b: msp, relative_to: x, ", 12, "`relative_to` needs"),
        ("b: msp, ", "b: msp, colour: red, ", 12, "claims.0.trials.0.colour"),
        ("b: msp, ", "b: msp, kind: better, ", 12, "claims.0.trials.0.kind"),
        ("b: msp, ", "b: msp, versus_init: scratch, ", 12, "init 'scratch' in both arms"),
        ("metric: auroc, a", "metric: auruc, a", 12, "unknown metric 'auruc'"),
        ("settings: [toy]", "settings: [moon]", 12, "unknown settings 'moon'"),
        ("delta: 0.5", "delta: -0.5", 3, "metrics.auroc.delta"),
        ("    statement: It is so.\n", "", 7, "claims.0.statement: Field required"),
        ("id: C-A1", "id: C-X1", 7, "claims.0.id"),
        ("version: 1\n", "version: 1\nversion: 1\n", 2, "duplicate key 'version'"),
        ("claims:", "claims: [", 7, "not valid YAML"),
        ("inits: [scratch]", "inits: []", 5, "settings.toy.inits"),
    ],
)
def test_a_bad_register_names_file_line_and_key(tmp_path, old, new, line, expected):
    assert GOOD.count(old) == 1
    path = tmp_path / "claims.yaml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(SpecError) as caught:
        load_register(path)
    assert expected in str(caught.value)
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        (
            "  - {id: C-A1, statement: x, source: y,\n"
            "     trials: [{id: t, metric: auroc, a: a, b: b, settings: [toy]}]}\n",
            "C-A1 is listed 2 times",
        ),
        ("untested:\n  - {ids: [C-A1], reason: none}\n", "C-A1 is listed 2 times"),
        ("      - {id: t, metric: auroc, a: x, b: msp, settings: [toy]}\n", "has two trials 't'"),
        ("    repeats: [{claim: C-F1, trial: t, init: scratch}]\n", "unknown test C-F1 't'"),
    ],
)
def test_names_are_taken_once_and_defined(tmp_path, extra, expected):
    path = tmp_path / "claims.yaml"
    path.write_text(GOOD + extra)
    with pytest.raises(SpecError, match=re.escape(expected)):
        load_register(path)


@pytest.mark.parametrize("content", [b"- a list", b"", b"\xff\xfe\x00", b"\x00"])
def test_what_is_no_register_is_refused(tmp_path, content):
    path = tmp_path / "claims.yaml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=re.escape(str(path))):
        load_register(path)
    with pytest.raises(SpecError, match="cannot be read"):
        load_register(tmp_path / "absent.yaml")
