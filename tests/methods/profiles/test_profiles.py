"""What holds for every long-tail profile, and worked counts."""

import pytest
from imbalance_examples import INPUTS, PROFILES, VALUES

from methods.base import HyperparameterError
from methods.registry import objective, profile, sampler

every_profile = pytest.mark.parametrize("cls", PROFILES.values(), ids=PROFILES)


@every_profile
@pytest.mark.parametrize(("classes", "largest"), [(2, 100), (3, 700), (10, 140), (10, 5000), (100, 500)])
def test_a_profile_falls_from_the_largest_class(cls, classes, largest):
    counts = cls().counts(classes, largest)
    assert len(counts) == classes
    assert all(type(n) is int for n in counts)
    assert counts[0] == largest
    assert counts == sorted(counts, reverse=True)
    assert 1 <= counts[-1] < largest


@every_profile
@pytest.mark.parametrize(("classes", "largest"), [(1, 100), (0, 100), (10, 0), (10, -5)])
def test_a_profile_refuses_what_is_no_imbalance(cls, classes, largest):
    with pytest.raises(ValueError, match="classes: " if classes < 2 else "largest: "):
        cls().counts(classes, largest)


@pytest.mark.parametrize(("name", "mu"), [("exp", "0.01"), ("exp", "0.1"), ("step", "0.01")])
def test_worked_counts_of_a_share(name, mu):
    counts = profile(name, mu=float(mu)).counts(INPUTS["classes"], INPUTS["largest"])
    assert counts == VALUES[name][mu]


def test_published_defaults():
    assert profile("exp").hyperparameters() == {"mu": 0.01}
    assert profile("step").hyperparameters() == {"mu": 0.01}
    assert profile("power").hyperparameters() == {"gamma": 1.0, "ratio": 0.05}
    assert sampler("oversample").hyperparameters() == {"weights": "inverse"}
    assert sampler("undersample").hyperparameters() == {}
    assert sampler("smote").hyperparameters() == {"neighbours": None}
    defaults = {"weights": "effective", "beta": 0.9999, "defer": None}
    assert objective("class_balanced").hyperparameters() == defaults


def test_products_are_cut_off_in_floating_point():
    assert 100 * 0.29 < 29
    assert profile("step", mu=0.29).counts(2, 100) == [100, 28]
    assert profile("exp", mu=0.29).counts(2, 100) == [100, 28]
    assert profile("exp", mu=0.5).counts(3, 100) == [100, 70, 50]  # 70.71


def test_half_of_an_odd_number_of_classes_is_rounded_down():
    assert profile("step", mu=0.5).counts(5, 8) == [8, 8, 4, 4, 4]


@pytest.mark.parametrize("name", ["exp", "step"])
def test_a_share_of_one_leaves_the_set_balanced(name):
    assert profile(name, mu=1).counts(4, 7) == [7] * 4


@pytest.mark.parametrize(
    ("name", "rank", "settings"),
    [("exp", 8, "mu = 0.01"), ("step", 5, "mu = 0.01"), ("power", 9, "gamma = 0.2, ratio = 0.01")],
)
def test_a_class_without_images_is_an_error(name, rank, settings):
    given = {"power": {"gamma": 0.2, "ratio": 0.01}}.get(name, {})
    largest = {"power": 49}.get(name, 50)
    message = f"{name} with {settings}: the class of rank {rank} of 10 .* the largest has {largest}"
    with pytest.raises(ValueError, match=message):
        profile(name, **given).counts(10, largest)


@pytest.mark.parametrize(
    ("name", "key", "values"),
    [
        ("exp", "mu", (0.0, -0.1, 1.1, float("nan"))),
        ("step", "mu", (0.0, -0.1, 1.1, float("nan"))),
        ("power", "gamma", (0.0, -1.0, 10.5, float("inf"), float("nan"))),
        ("power", "ratio", (0.0, 1.0, 1.5, float("nan"))),
    ],
)
def test_profiles_refuse_what_makes_no_tail(name, key, values):
    for value in values:
        with pytest.raises(HyperparameterError, match=f"{name}: {key}: expected .* got {value}"):
            profile(name, **{key: value})
