"""The register of claims: ours, and what a bad one is told."""

import re

import pytest
from places import SHIPPED

from benchmark.errors import SpecError
from benchmark.spec.load import load_spec
from reports.claims.register import load_register
from reports.claims.shown import rule


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
    own, board = load_register(), load_spec(SHIPPED)
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
    assert absent == {("digits", "hub")}
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
        ("central: [{title: x, claim: C-A1, trial: u}]\n", "unknown test C-A1 'u'"),
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
