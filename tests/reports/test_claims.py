"""Claims decided from synthetic records in which the truth is known."""

import numpy as np
import pytest
import synthetic_records as synthetic
from claim_examples import BASE, NOISE, arms, register, results, spec, verdict

from benchmark.errors import DataError
from benchmark.spec.leaderboard import Full
from benchmark.studies.detection.records import measurement_of
from reports.claims.decide import decide_claims
from reports.claims.register import Setting
from reports.select import select


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
        plain = measurement_of(record)
        more = {"glyphs": 0.1, "uniform_noise": 0.15}
        sets = {name: {"auroc": plain.detection[name].auroc + add} for name, add in more.items()}
        records.append(synthetic.measured(record, synthetic.altered(plain, sets)))
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
