"""What of two sets of records is compared, by how much it differs, and which networks it stands on."""

import pytest
from two_sides import CASES, file, record, two_machines

from benchmark.records.comparison import gap_of, largest, pair, seen
from benchmark.records.place import Place
from benchmark.records.record import DETECTION, TrainedWith

LIBRARIES = {"torch": "2.14.1", "timm": "1.0.9"}  # of the invented records: torch 2.4.0


def place(entry: str = "msp", seed: int = 0) -> Place:
    return Place("toy", DETECTION, entry, "tiny_cnn", "scratch", seed)


def compared(a, b):
    return pair(seen([a]), seen([b]))


def elsewhere(made):
    """The same file, made with other libraries."""
    (name, environment), *_ = made.environments.items()
    other = environment.model_copy(update={"libraries": LIBRARIES})
    return made.model_copy(update={"environments": {name: other}})


@pytest.mark.skipif(not CASES.exists(), reason=f"needs {CASES}, which is not here")
def test_two_machines_lie_apart_by_what_the_case_says():
    """The handed case: 1,480 cells; medians, means and quantiles in points as its issue quotes them."""
    published, here = two_machines()
    pairs = pair(seen(here), seen(published))
    assert (len(pairs.compared), pairs.left_out) == (1480, {})
    assert not any(one.same_network for one in pairs.compared)
    near, far = gap_of(pairs.compared, "near.auroc"), gap_of(pairs.compared, "far.auroc")
    assert (near.n, round(100 * near.median, 2), round(100 * near.mean, 1)) == (1480, 0.11, 0.7)
    assert (round(100 * near.q95, 1), round(100 * near.max)) == (2.6, 57)
    assert round(100 * far.mean, 1) == 2.6
    assert {where.row for where, _, _ in largest(pairs.compared, "near.auroc", 4)} == {"ash_tuned"}
    accuracy = gap_of(pairs.compared, "classification.accuracy")
    assert accuracy.n == 32  # networks, which 46 entries and more share


def test_what_both_measured_in_the_same_way_is_compared():
    pairs = compared(
        file("msp", [record(0.8), record(0.7, seed=1)]), file("msp", [record(0.8), record(0.6, seed=1)])
    )
    assert [one.place for one in pairs.compared] == [place(), place(seed=1)]
    assert [one.equal for one in pairs.compared] == [True, False]
    assert largest(pairs.compared, "near.auroc", 5) == [(place(seed=1), 0.7, 0.6)]


def test_equal_numbers_of_a_table_are_not_yet_equal_to_the_bit():
    """Curves and all other numbers count as well."""
    one, other = record(0.8), record(0.8)
    other = other.model_copy(update={"numbers": {**other.numbers, "selective.eaurc": 0.004}})
    (pair_,) = compared(file("msp", [one]), file("msp", [other])).compared
    assert not pair_.equal


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"hyperparameters": {"temperature": 2.0}}, "other settings"),
        ({"hp_mode": "declared"}, "other settings"),
        ({"networks": 3}, "other settings"),
        ({"status": "failed"}, "not measured"),
        ({"key": "another"}, "other code"),
    ],
)
def test_what_is_not_compared_says_why(changes, reason):
    pairs = compared(file("msp", [record(0.8)]), file("msp", [record(0.8, **changes)]))
    assert (pairs.compared, pairs.left_out) == ((), {reason: (place(),)})


def test_what_one_side_lacks_is_told():
    pairs = compared(file("msp", [record(0.8)]), file("knn", [record(0.8)]))
    assert pairs.left_out == {"only in the first": (place(),), "only in the second": (place("knn"),)}


def test_other_trainings_are_other_settings_where_both_are_recorded():
    ways = [TrainedWith(objective="cross_entropy", recipe={"epochs": n}) for n in (1, 2)]
    one, other = (file("msp", [record(0.8, training=way)]) for way in ways)
    assert compared(one, other).left_out == {"other settings": (place(),)}
    assert (
        len(compared(one, file("msp", [record(0.8, training=None)])).compared) == 1
    )  # an older record does not say


def test_other_images_are_not_compared():
    other = record(0.8)
    provenance = other.provenance.model_copy(update={"data": {"digits": "e" * 64}})
    pairs = compared(
        file("msp", [record(0.8)]), file("msp", [other.model_copy(update={"provenance": provenance})])
    )
    assert pairs.left_out == {"other images": (place(),)}


def test_other_libraries_explain_another_key_but_not_another_method():
    there = elsewhere(file("msp", [record(0.7, key="another")]))
    assert len(compared(file("msp", [record(0.8)]), there).compared) == 1
    other = record(0.7, key="another")
    changed = other.provenance.model_copy(update={"method_source": "n" * 64})
    there = elsewhere(file("msp", [other.model_copy(update={"provenance": changed})]))
    assert compared(file("msp", [record(0.8)]), there).left_out == {"other code": (place(),)}


@pytest.mark.parametrize(("network", "same"), [("", True), ("another", False)])
def test_the_same_network_is_known_by_its_weights(network, same):
    pairs = compared(file("msp", [record(0.8)]), file("msp", [record(0.7, network=network)]))
    assert [one.same_network for one in pairs.compared] == [same]


def test_tuned_values_that_flip_are_listed():
    def tuned(percentile: float):
        return file(
            "ash_tuned",
            [record(0.8, hp_mode="proxy_ood", hyperparameters={"percentile": percentile, "variant": "s"})],
        )

    pairs = compared(tuned(65.0), tuned(90.0))
    (flip,) = pairs.flips
    assert (flip.place, flip.a, flip.b) == (place("ash_tuned"), {"percentile": 65.0}, {"percentile": 90.0})
    assert not pairs.compared[0].equal
    assert compared(tuned(65.0), tuned(65.0)).flips == []
