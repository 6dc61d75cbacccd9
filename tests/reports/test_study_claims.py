"""Claims decided from synthetic records of studies in which the truth is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import synthetic_records as synthetic
import synthetic_studies as made
from claim_examples import shown_test
from places import SHIPPED

from benchmark.records.record import RecordFile
from benchmark.spec.load import load_spec
from benchmark.studies.adversarial.settings import Adversarial
from benchmark.studies.label_noise.settings import LabelNoise
from reports.claims.decide import Verdict, decide_claims
from reports.claims.register import SUMMARY, Register, load_register
from reports.claims.shown import rule
from reports.select import select
from reports.site.build import build_site

SPEC = made.make_spec()
NOISE = np.array([-0.4, 0.3, -0.1, 0.2, 0.4, -0.3, 0.1, -0.2]) / 100  # mean 0 over eight seeds


def register(*trials: dict[str, Any], inits: Sequence[str] = ("scratch",)) -> Register:
    """One claim C-E1 on the toy track."""
    metrics = {
        "robust": ("adversarial.pgd.accuracy", "higher", True),
        "fsr": ("adversarial.fsr.gain", "higher", True),
        "area": ("label_noise.mean.area", "lower", True),
        "late": ("label_noise.uniform@0.5.late", "higher", True),
        "excess": ("summary.excess", "higher", True),
        "typo": ("adversarial.pdg.accuracy", "higher", True),
    }
    defaults = {"metric": "robust", "a": "pgd_at_fsr", "b": "pgd_at", "settings": ["toy"]}
    listed = [{"id": f"t{i}", **defaults, **trial} for i, trial in enumerate(trials or [{}])]
    return Register.model_validate(
        {
            "version": 1,
            "metrics": {
                name: {"metric": path, "title": name, "better": better, "percent": percent, "delta": 0.5}
                for name, (path, better, percent) in metrics.items()
            },
            "settings": {"toy": {"track": "toy", "backbones": [made.BACKBONE], "inits": list(inits)}},
            "claims": [{"id": "C-E1", "statement": "It helps.", "source": "Somebody", "trials": listed}],
        }
    )


def attacked(row: str, accuracies: Sequence[float], init: str = "scratch", **changes: Any) -> RecordFile:
    """Accuracy under every attack by seed."""
    names = ("clean", "fgsm", "pgd", "apgd_ce", "square")
    records = [
        made.make_record(init, seed, "", row, numbers={f"{n}.accuracy": value for n in names}, **changes)
        for seed, value in enumerate(accuracies)
    ]
    return made.make_file("adversarial", row, records)


def verdict(claims: Register, *files: RecordFile, spec=SPEC, results=()) -> Verdict:
    (found,) = decide_claims(claims, spec, select(spec, [*results, *files]))
    return found


@pytest.mark.parametrize(("gain", "reading"), [(0.02, "supported"), (-0.02, "refuted"), (0.0, "undecided")])
def test_rows_of_a_study_are_the_arms(gain, reading):
    files = attacked("pgd_at", 0.5 + NOISE), attacked("pgd_at_fsr", 0.5 + gain + 2 * NOISE)
    found = verdict(register(), *files)
    (outcome,) = found.findings[0].outcomes
    assert (outcome.reading, found.overall) == (reading, reading)
    assert outcome.gains == pytest.approx(list(gain + NOISE))
    assert outcome.seeds == tuple(range(8))


def test_the_init_may_be_the_factor_and_the_rows_may_differ():
    low, high = attacked("cross_entropy", NOISE + 0.1), attacked("pgd_at", 0.5 + 2 * NOISE, "adversarial")
    trial = {"a": "pgd_at", "b": "cross_entropy", "versus_init": "scratch"}
    claims = register(trial, inits=["adversarial"])
    (outcome,) = verdict(claims, low, high).findings[0].outcomes
    assert outcome.answer.gain.mean == pytest.approx(0.4)
    told = rule(claims.claims[0].trials[0], claims.metrics["robust"])
    assert told.endswith(
        "pgd_at on the pre-trained init is higher than cross_entropy on scratch, by 0.50 points or more."
    )


def test_derived_numbers_are_tested_against_a_threshold():
    names = ("clean", "fgsm", "pgd", "apgd_ce", "square")
    records = [
        made.make_record(
            seed=seed,
            objective="pgd_at_fsr",
            numbers={f"{n}.accuracy": 0.5 for n in names}
            | {"fsr.negative.accuracy": 0.3, "fsr.recalibrated.accuracy": 0.33 + noise},
        )
        for seed, noise in enumerate(NOISE)
    ]
    claims = register({"metric": "fsr", "b": None, "threshold": 0.0})
    (outcome,) = verdict(claims, made.make_file("adversarial", "pgd_at_fsr", records)).findings[0].outcomes
    assert (outcome.reading, outcome.mean_a) == ("supported", pytest.approx(0.03))


def test_areas_and_epochs_of_a_full_run():
    pre = {"a": "none", "b": "none", "versus_init": "scratch"}
    late = {"metric": "late", "a": "none", "b": None, "threshold": 0.0}
    claims = register({**pre, "metric": "area"}, late, inits=["fractaldb"])
    area, after = verdict(claims, *made.make_studies()).findings
    assert area.outcomes[0].reading == "supported"
    # scratch .8 p, pre-trained .15 p less, for both noises: about .15/2 of area, or 1.1 as much under flip
    assert area.outcomes[0].answer.gain.mean == pytest.approx((0.075 + 0.0825) / 2, abs=0.003)
    assert after.outcomes[0].mean_a == pytest.approx(0.45 - 0.35, abs=1e-3)  # third and second of six epochs


def test_the_summary_needs_all_studies():
    claims = register(
        {"metric": "excess", "a": "pretraining", "b": None, "threshold": 0.0}, inits=["fractaldb"]
    )
    results = synthetic.make_results(SPEC)
    (outcome,) = verdict(claims, *made.make_studies(), results=results).findings[0].outcomes
    assert len(outcome.seeds) == 8
    found = verdict(claims, *made.make_studies(keep=lambda s, *_: s != "imbalance"), results=results)
    assert found.overall == "not run"
    assert found.findings[0].missing[0].reason.startswith("not all studies of fractaldb and of scratch")


@pytest.mark.parametrize(
    ("trial", "inits", "reason"),
    [
        ({"b": "trades"}, ["scratch"], "trades is not in study adversarial on track toy in leaderboard.yaml"),
        ({}, ["fractaldb"], "init fractaldb is not in study adversarial on track toy in"),
        ({"b": "cross_entropy"}, ["scratch"], "no record of cross_entropy from scratch in study adversarial"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(trial, inits, reason):
    files = attacked("pgd_at", 0.5 + NOISE), attacked("pgd_at_fsr", 0.5 + 2 * NOISE)
    found = verdict(register(trial, inits=inits), *files)
    assert found.overall == "not run"
    (gap,) = found.findings[0].missing
    assert reason in gap.reason
    assert gap.commands == ("oodbench run --full",)


@pytest.mark.parametrize(
    ("metric", "number"),
    [
        ("typo", "adversarial.pdg.accuracy of pgd_at_fsr"),
        ("fsr", "adversarial.fsr.gain of pgd_at_fsr"),
    ],
)
def test_no_run_is_offered_for_what_no_run_measures(metric, number):
    files = attacked("pgd_at", 0.5 + NOISE), attacked("pgd_at_fsr", 0.5 + 2 * NOISE)
    (gap,) = verdict(register({"metric": metric}), *files).findings[0].missing
    assert f"no number {number} from scratch: it is not measured there" in gap.reason
    assert gap.commands == ()


def test_a_missing_strength_and_a_failure_are_named():
    claims = register({"metric": "area", "a": "none", "b": "glc_5"})
    absent = ("none", "scratch", "flip@0.25")
    studies = made.make_studies(keep=lambda _, row, r: (row, r.init, r.condition) != absent)
    (gap,) = verdict(claims, *studies).findings[0].missing
    assert gap.reason == "no number label_noise.mean.area of none from scratch: without flip@0.25"
    failed = made.make_record(objective="pgd_at_fsr", status="failed", reason="loss is not finite")
    files = attacked("pgd_at", [0.5]), made.make_file("adversarial", "pgd_at_fsr", [failed])
    (gap,) = verdict(register(), *files).findings[0].missing
    assert (gap.reason, gap.commands) == ("pgd_at_fsr failed: loss is not finite", ())
    (gap,) = verdict(register(), spec=synthetic.make_spec(["msp"], boards={})).findings[0].missing
    assert gap.reason == "study adversarial is not on track toy in leaderboard.yaml"


def test_an_arm_that_was_not_trained_alike_has_no_verdict():
    a, b = attacked("pgd_at_fsr", 0.6 + NOISE), attacked("pgd_at", 0.5 + 2 * NOISE)
    training = b.records[0].training.model_copy(update={"hyperparameters": {"attack_steps": 10}})
    other = b.records[0].model_copy(update={"training": training})
    b = b.model_copy(update={"records": [other, *b.records[1:]]})
    (outcome,) = verdict(register(), a, b).findings[0].outcomes
    assert outcome.uneven == ("b",)
    assert outcome.reading == "undecided"


def test_a_claim_that_is_only_shown_has_no_verdict():
    files = attacked("pgd_at", 0.5 + NOISE), attacked("pgd_at_fsr", 0.6 + 2 * NOISE)
    assert verdict(register({"role": "secondary"}), *files).overall == "no verdict"
    assert verdict(register({"role": "secondary"})).overall == "not run"


def test_factors_tell_the_attacks_and_the_pre_training():
    files = (
        attacked("pgd_at", 0.5 + NOISE, cost={"train_seconds": 2.0}),
        attacked("pgd_at", 0.6 + 2 * NOISE, "adversarial", cost={"train_seconds": 5.0}),
    )
    merged = files[0].model_copy(update={"records": [*files[0].records, *files[1].records]})
    trial = {"a": "pgd_at", "versus_init": "scratch"}
    shown = shown_test(register(trial, inits=["adversarial"]), SPEC, select(SPEC, [merged]))
    factors = "\n".join(shown.factors)
    assert (
        "Attacks on toy: 5 images of each class; fgsm, pgd (steps = 20), apgd_ce, square; published"
        in factors
    )
    assert "arm a 1 epochs, 5.0 s a network; arm b 1 epochs, 2.0 s a network" in factors
    assert "the same recipe, compute matched but for pre-training" in factors
    assert "Init adversarial: trained adversarially with pgd_at on images drawn by formula" in factors
    assert "same networks" not in factors


@pytest.mark.usefixtures("undrawn")
def test_the_claims_page_shows_claims_of_studies(tmp_path):
    files = attacked("pgd_at", 0.5 + NOISE), attacked("pgd_at_fsr", 0.6 + 2 * NOISE)
    claims = register({}, {"role": "secondary"})
    spec = made.make_spec(boards={})
    build_site(spec, files, tmp_path, generated=synthetic.NOW, register=claims)
    for suffix in ("html", "md"):
        summary, family = (tmp_path / f"{name}.{suffix}" for name in ("claims", "claims/e"))
        assert "+10.00" in family.read_text()
        for page in (summary, family):
            assert re.search(r"\bsupported\b", page.read_text())
        tracks = re.findall(r"^(?:<li>|- )toy: .* Near OOD: ", summary.read_text(), re.MULTILINE)
        assert len(tracks) == 1
    assert "There are no records yet" not in (tmp_path / "index.html").read_text()


def test_an_arm_may_have_another_name_in_a_setting():
    own = load_register()
    (trial,) = (t for c in own.claims for t in c.trials if (c.id, t.id) == ("C-E1", "pgd"))
    rows = {s.track: [row for _, row, _ in trial.series(s)] for s in own.places(trial)}
    assert rows == {"digits": ["pgd_at_fsr", "pgd_at"], "cifar10_robust": ["pgd_at_fsr_5", "pgd_at_5"]}
    assert {str(s) for s in own.places(trial)} == {
        "digits · test_resnet · scratch",
        "digits · test_resnet · fractaldb",
        "cifar10_robust · mobilenetv1_025_os16 · scratch",
        "cifar10_robust · mobilenetv1_025_os16 · imagenet",
    }


def test_the_register_names_what_the_studies_have():
    """A claim that names no row would be `not run` for ever, and nobody would notice."""
    own, board = load_register(), load_spec(SHIPPED)
    absent, seen = set(), 0
    for claim in own.claims:
        for trial in claim.trials:
            name = own.metric(trial).study
            for setting in own.places(trial) if name not in (None, SUMMARY) else ():
                study = dict(board.tracks[setting.track].studies.chosen(full=True)).get(name)
                for _, row, init in trial.series(setting) if study is not None else ():
                    seen += 1
                    if row not in study.rows or init not in study.inits_of(row):
                        absent.add((setting.track, name, row, init))
                if isinstance(study, Adversarial):
                    attack = own.metric(trial).number.removesuffix(".accuracy")
                    if attack in ("pgd", "apgd_ce", "apgd_t", "square") and attack not in study.attacks:
                        absent.add((setting.track, attack))
                if isinstance(study, LabelNoise):
                    assert set(study.all_inits) >= {"scratch", setting.init}
    assert absent == set()
    assert seen > 0 or not any(track.studies.chosen(full=True) for track in board.tracks.values())
