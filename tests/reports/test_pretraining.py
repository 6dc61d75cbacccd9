import numpy as np
import pytest
import synthetic_records as synthetic
from scipy import stats

from reports.boards.pretraining import Comparison, compare_inits
from reports.select import select


def compare(near: dict[str, list[float]], ece: dict[str, list[float]]) -> Comparison:
    """One backbone and entry; near AUROC and ECE by init and seed."""
    spec = synthetic.make_spec(["msp"], inits=list(near), backbones=["cnn"])
    plain = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
    records = []
    for init, values in near.items():
        for seed, value in enumerate(values):
            calibration = plain.classification.calibration.model_copy(update={"ece": ece[init][seed]})
            classification = plain.classification.model_copy(update={"calibration": calibration})
            found = plain.model_copy(update={"classification": classification})
            found = synthetic.altered(found, {"near": {"auroc": value}})
            records.append(synthetic.make_record("cnn", init, seed, found))
    (comparison,) = compare_inits(spec, select(spec, [synthetic.make_file("msp", records)]))
    return comparison


def contrast(comparison: Comparison, title: str):
    (found,) = [c for c in (*comparison.detection, *comparison.network) if c.metric.title == title]
    return found


# The worked example of spec/claims.md §0.2: differences that favour the second arm, in points.
DIFFERENCES = [-2.1, -1.4, -0.3, -1.9, -0.8, -1.2]
SCRATCH = [0.5] * 6
SHIFTED = [0.5 + d / 100 for d in DIFFERENCES]


def test_a_lower_ece_is_a_positive_gain_as_worked_in_the_spec():
    comparison = compare(
        {"scratch": SCRATCH, "fractaldb": SCRATCH}, {"scratch": SCRATCH, "fractaldb": SHIFTED}
    )
    found = contrast(comparison, "ECE at T = 1")
    assert 100 * found.gain.mean == pytest.approx(1.283333, abs=1e-6)
    assert (100 * found.gain.low, 100 * found.gain.high) == pytest.approx((0.576488, 1.990178), abs=1e-6)
    assert found.gain.p_sign_flip == pytest.approx(1 / 64)
    assert found.verdict == "better"
    assert "ECE at T = 1: fractaldb is better than scratch in 1 of 1 comparison." in comparison.summary


def test_a_lower_auroc_is_a_negative_gain():
    comparison = compare(
        {"scratch": SCRATCH, "fractaldb": SHIFTED}, {"scratch": SCRATCH, "fractaldb": SCRATCH}
    )
    found = contrast(comparison, "Near AUROC")
    assert 100 * found.gain.mean == pytest.approx(-1.283333, abs=1e-6)
    assert found.gain.p_sign_flip == 1.0
    assert found.verdict == "worse"
    assert (found.scratch, found.pretrained) == pytest.approx((0.5, np.mean(SHIFTED)))


def test_an_interval_over_zero_is_no_clear_difference():
    scratch, pretrained = [0.5, 0.6, 0.7, 0.6], [0.6, 0.5, 0.7, 0.7]
    comparison = compare(
        {"scratch": scratch, "fractaldb": pretrained}, {"scratch": scratch, "fractaldb": scratch}
    )
    found = contrast(comparison, "Near AUROC")
    d = np.subtract(pretrained, scratch)
    low, high = stats.t.interval(0.95, 3, loc=d.mean(), scale=stats.sem(d))
    assert (found.gain.low, found.gain.high) == pytest.approx((low, high))
    assert low < 0 < high
    assert found.verdict == "no clear difference"
    assert contrast(comparison, "ECE at T = 1").verdict == "no clear difference"  # equal arms
    assert comparison.exploratory


def test_only_shared_seeds_are_paired():
    comparison = compare(
        {"scratch": [0.5, 0.6, 0.9], "fractaldb": [0.6, 0.8]},
        {"scratch": [0.1, 0.1, 0.1], "fractaldb": [0.1, 0.1]},
    )
    found = contrast(comparison, "Near AUROC")
    assert found.gain.n == 2
    assert (found.scratch, found.pretrained) == pytest.approx((0.55, 0.7))


def test_one_seed_is_not_tested():
    comparison = compare({"scratch": [0.5], "fractaldb": [0.9]}, {"scratch": [0.1], "fractaldb": [0.1]})
    assert {c.verdict for c in (*comparison.detection, *comparison.network)} == {"not tested"}
    assert comparison.exploratory


def test_every_pretrained_init_backbone_and_entry_is_compared_and_networks_once():
    spec = synthetic.make_spec(inits=["fractaldb", "scratch", "fractaldb_long"])
    comparisons = compare_inits(spec, select(spec, synthetic.make_results(spec)))
    assert [(c.track, c.init, c.scratch) for c in comparisons] == [
        ("toy", "fractaldb", "scratch"),
        ("toy", "fractaldb_long", "scratch"),
    ]
    for comparison in comparisons:
        assert len(comparison.detection) == 2 * len(synthetic.BACKBONES) * len(synthetic.ENTRIES)
        assert len(comparison.network) == 8 * len(synthetic.BACKBONES)
        assert {c.subject for c in comparison.network} == {"cross_entropy"}
        assert not comparison.exploratory
        assert len(comparison.summary) == 10


@pytest.mark.parametrize("inits", [["scratch"], ["fractaldb"]])
def test_without_both_arms_there_is_nothing_to_compare(inits):
    spec = synthetic.make_spec(inits=inits)
    assert compare_inits(spec, select(spec, synthetic.make_results(spec, seeds=[0]))) == []


def test_more_than_16_seeds_give_a_reproducible_p():
    values = np.random.default_rng(3).normal(0.5, 0.01, size=(2, 20)).tolist()
    spec = synthetic.make_spec(["msp"], backbones=["cnn"])
    track = spec.tracks["toy"].model_copy(update={"seeds": list(range(20))})
    spec = spec.model_copy(update={"tracks": {"toy": track}})
    plain = synthetic.make_measurement(np.random.default_rng(0), 1.0, 2.0, 0.05)
    records = [
        synthetic.make_record(
            "cnn",
            init,
            seed,
            synthetic.altered(plain, {"near": {"auroc": value}}),
            provenance=None,
        )
        for init, series in zip(synthetic.INITS, values, strict=True)
        for seed, value in enumerate(series)
    ]
    counted = select(spec, [synthetic.make_file("msp", records)])
    first, second = (compare_inits(spec, counted)[0].detection[0].gain for _ in range(2))
    assert first == second
    assert first.n == 20


def test_an_ensemble_is_paired_with_nothing():
    spec = synthetic.make_spec(["msp", "knn"])
    files = synthetic.make_results(spec)
    ensembles = [
        file.model_copy(update={"records": [synthetic.set_up(r, networks=2) for r in file.records]})
        if file.row == "knn"
        else file
        for file in files
    ]
    (comparison,) = compare_inits(spec, select(spec, ensembles))
    assert {contrast.subject for contrast in comparison.detection} == {"msp"}
