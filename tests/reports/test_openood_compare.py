"""Orders of methods against each other: ranks, correlations, their interval, and what is compared at all."""

from typing import NamedTuple

import numpy as np
import pytest
import scipy
import synthetic_records as synthetic
from openood_examples import ENTRIES, METHODS, NEAR, make_published

from benchmark.records.record import Cell
from benchmark.spec.leaderboard import Entry
from reports.openood import compare as comparing
from reports.openood.compare import (
    Move,
    Pair,
    agreement,
    bootstrap,
    comparisons,
    entry_of,
    spearman,
)
from reports.openood.published import Figures, Method


class Numbers(NamedTuple):
    numbers: dict[str, float]


def pairs_of(theirs, ours):
    """Methods m0, m1, … with these means there, and these AUROCs by seed here; near and far are the same."""
    return [
        Pair(
            Method(name=f"m{i}", detector=f"d{i}"),
            f"d{i}",
            Figures(method=f"m{i}", near=[there], far=[there], accuracy=[95.0], source="s"),
            {group: np.array(here, dtype=float) for group in ("near", "far")},
        )
        for i, (there, here) in enumerate(zip(theirs, ours, strict=True))
    ]


def measured(by_entry, seeds=(0, 1), init="scratch", backbones=("tiny_cnn",)):
    """Cells whose near AUROC is given, far is a tenth of it, and which no seed changes."""
    return {
        Cell("toy", backbone, init, seed, entry): Numbers({"near.auroc": auroc, "far.auroc": auroc / 10})
        for entry, auroc in by_entry.items()
        for backbone in backbones
        for seed in seeds
    }


ALL = {entry: 0.9 - 0.1 * i for i, entry in enumerate(ENTRIES)}  # in the published order


def compared(cells, spec=None, published=None):
    spec = synthetic.make_spec(ENTRIES, inits=["scratch"], backbones=["tiny_cnn"]) if spec is None else spec
    return comparisons(spec, cells, make_published() if published is None else published)


def test_two_neighbours_that_swap():
    # On paper: ranks differ by 0, 0, 1, 1, 0, so ρ = 1 - 6 · 2 / (5 · 24) = 0.9; 9 of 10 pairs agree, τ = 0.8
    found = agreement(pairs_of([90, 80, 70, 60, 50], [[0.9], [0.8], [0.6], [0.7], [0.5]]), "near")
    assert (found.rho, found.tau) == (pytest.approx(0.9), pytest.approx(0.8))
    assert [(move.there, move.here) for move in found.moves] == [(1, 1), (2, 2), (3, 4), (4, 3), (5, 5)]


def test_means_over_seeds_make_our_order():
    # Means 0.6 and 0.65: the second is better, though it is worse at the first seed.
    found = agreement(pairs_of([80, 70], [[0.9, 0.3], [0.7, 0.6]]), "near")
    assert [(move.there, move.here) for move in found.moves] == [(1, 2), (2, 1)]


def test_the_largest_moves_come_first_and_who_stays_is_left_out():
    found = agreement(pairs_of([90, 80, 70, 60, 50], [[0.5], [0.9], [0.7], [0.8], [0.6]]), "far")
    assert found.movers == (Move("m0", 1, 5), Move("m3", 4, 2), Move("m1", 2, 1), Move("m4", 5, 4))
    assert [move.by for move in found.movers] == [-4, 2, 1, 1]


def test_equal_methods_share_the_better_rank():
    found = agreement(pairs_of([90, 90, 70], [[0.5], [0.6], [0.6]]), "near")
    assert [(move.there, move.here) for move in found.moves] == [(1, 3), (1, 1), (3, 1)]


def test_spearman_is_that_of_scipy_with_ties_too():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 6, (20, 9)), rng.normal(size=(20, 9))
    expected = [scipy.stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    assert spearman(a, b) == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_methods_that_are_all_equal_have_no_order():
    found = agreement(pairs_of([90, 80, 70], [[0.5, 0.5]] * 3), "near")
    assert np.isnan([found.rho, *found.interval, found.tau]).all()


def test_the_same_order_at_every_seed_is_certain():
    found = agreement(pairs_of([90, 80, 70, 60], [[0.9, 0.8], [0.7, 0.7], [0.6, 0.5], [0.1, 0.2]]), "near")
    assert found.interval == (pytest.approx(1), pytest.approx(1))


def test_the_interval_is_that_of_a_loop_over_draws(monkeypatch):
    monkeypatch.setattr(comparing, "DRAWS", 50)
    rng = np.random.default_rng(3)
    theirs, ours = rng.normal(size=7), rng.normal(size=(7, 4))
    again = np.random.default_rng(11)
    methods, seeds = again.integers(0, 7, (50, 7)), again.integers(0, 4, (50, 4))
    rho = []
    for i, s in zip(methods, seeds, strict=True):
        means = [np.mean([ours[m, seed] for seed in s]) for m in i]
        rho.append(scipy.stats.spearmanr(theirs[i], means).statistic)
    expected = np.percentile(rho, [2.5, 97.5])
    assert bootstrap(theirs, ours, np.random.default_rng(11)) == pytest.approx(tuple(expected))


def test_the_same_numbers_have_the_same_interval():
    pairs = pairs_of([90, 80, 70, 60, 50], np.random.default_rng(1).normal(size=(5, 3)).tolist())
    first = agreement(pairs, "near")
    assert first.interval == agreement(pairs, "near").interval
    assert first.interval[0] < first.rho < first.interval[1]


def test_seeds_that_disagree_widen_the_interval():
    rng = np.random.default_rng(2)
    means = np.linspace(0.9, 0.5, 12)[:, None] + rng.normal(scale=0.05, size=(12, 1))
    noise = rng.normal(scale=0.2, size=(12, 6))
    noise -= noise.mean(axis=1, keepdims=True)  # the means, and so ρ, stay
    widths = []
    for spread in (0.0, 1.0):
        low, high = agreement(
            pairs_of(np.linspace(90, 50, 12), (means + spread * noise).tolist()), "near"
        ).interval
        widths.append(high - low)
    assert widths[1] > widths[0]


def test_a_track_is_compared_with_the_table_of_its_set():
    [one] = compared(measured(ALL))
    assert (one.track, one.init, one.seeds) == ("toy", "scratch", (0, 1))
    assert [(pair.method.name, pair.entry) for pair in one.pairs] == [*METHODS.items()]
    assert one.agreement["near"].rho == pytest.approx(1)
    assert one.unknown == ("OTOD",)
    assert one.unmeasured == one.partial == ()
    assert one.accuracy is None


def test_near_and_far_have_orders_of_their_own():
    far = dict(zip(NEAR, sorted(NEAR.values()), strict=True))  # the reverse
    [one] = compared(measured(ALL), published=make_published(far=far))
    assert one.agreement["near"].rho == pytest.approx(1)
    assert one.agreement["far"].rho == pytest.approx(-1)


def test_backbones_are_averaged_within_a_seed():
    both = ("tiny_cnn", "tiny_vit")
    cells = measured(ALL, backbones=both)
    cells[Cell("toy", "tiny_vit", "scratch", 1, "msp")] = Numbers({"near.auroc": 0.5, "far.auroc": 0.1})
    [one] = compared(cells, synthetic.make_spec(ENTRIES, inits=["scratch"], backbones=both))
    [msp] = [pair for pair in one.pairs if pair.entry == "msp"]
    assert msp.ours["near"] == pytest.approx([0.9, 0.7])


def test_a_set_without_a_table_is_not_compared():
    assert compared(measured(ALL), published=make_published(dataset="cifar10")) == []


def test_some_classes_of_a_set_are_another_set():
    spec = synthetic.make_spec(ENTRIES, inits=["scratch"], backbones=["tiny_cnn"])
    track = spec.tracks["toy"]
    some = track.model_copy(update={"id": track.id.model_copy(update={"classes": [0, 1]})})
    assert compared(measured(ALL), spec.model_copy(update={"tracks": {"toy": some}})) == []


def test_a_few_methods_are_no_order():
    few = dict(list(ALL.items())[:4])
    assert compared(measured(few)) == []


def test_no_records_no_comparison():
    assert compared({}) == []


def test_what_was_not_measured_is_named():
    some = {entry: auroc for entry, auroc in ALL.items() if entry != "knn"}
    [one] = compared(measured(some))
    assert one.unmeasured == ("KNN",)
    assert len(one.pairs) == 5


def test_a_method_that_lacks_a_seed_is_left_out_and_named():
    cells = measured(ALL)
    del cells[Cell("toy", "tiny_cnn", "scratch", 1, "gen")]
    [one] = compared(cells)
    assert one.partial == ("GEN",)
    assert one.seeds == (0, 1)
    assert "gen" not in {pair.entry for pair in one.pairs}


def test_a_seed_that_few_methods_have_does_not_count():
    [one] = compared(measured(ALL) | measured({"msp": 0.1}, seeds=(2,)))
    assert one.seeds == (0, 1)
    assert one.partial == ()
    assert one.pairs[0].ours["near"] == pytest.approx([0.9, 0.9])


def test_each_init_is_compared_by_itself():
    spec = synthetic.make_spec(ENTRIES, backbones=["tiny_cnn"])
    reverse = {entry: 1 - auroc for entry, auroc in ALL.items()}
    found = compared(measured(ALL) | measured(reverse, init="fractaldb"), spec)
    assert [(one.init, round(one.agreement["near"].rho)) for one in found] == [
        ("scratch", 1),
        ("fractaldb", -1),
    ]


def use(**changes):
    """A spec with entry `special`, of detector ash."""
    spec = synthetic.make_spec(["msp", "special"])
    entries = {**spec.entries, "special": Entry.model_validate({"detector": "ash", **changes})}
    return spec.model_copy(update={"entries": entries})


ASH = Method(name="ASH", detector="ash", hyperparameters={"variant": "b"}, on={"cifar10": {}})


def test_an_entry_is_theirs_at_their_setting():
    assert entry_of(use(hyperparameters={"variant": "b"}), "toy", ASH, "digits") == "special"


def test_a_setting_may_differ_with_the_set():
    assert entry_of(use(), "toy", ASH, "cifar10") == "special"
    assert entry_of(use(hyperparameters={"variant": "b"}), "toy", ASH, "cifar10") is None


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hyperparameters": {"variant": "p"}},
        {"hyperparameters": {"variant": "b"}, "tune": {"percentile": [90.0, 80.0]}},
        {"hyperparameters": {"variant": "b"}, "objective": "logit_norm"},
        {"hyperparameters": {"variant": "b"}, "fit_limit": 10},
    ],
)
def test_another_setting_tuning_or_training_is_not_theirs(changes):
    assert entry_of(use(**changes), "toy", ASH, "digits") is None
