"""Mean corruption errors against the worked numbers of the specification §3.10 and arithmetic on paper.

Unrounded numbers are those of spec/worked_examples.json (keys mce.*).
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmark.metrics.corruption import ALEXNET_IMAGENET_C, corruption_errors, mean_corruption_error

ERRORS = {"fog": [0.4, 0.5, 0.6, 0.7, 0.8], "snow": [0.1, 0.15, 0.2, 0.25, 0.3]}
BASE = {"fog": [0.8, 0.85, 0.9, 0.95, 0.95], "snow": [0.5, 0.55, 0.6, 0.7, 0.75]}
EXACT = {"rel": 1e-12, "abs": 1e-12}


def test_corruption_errors_worked_example():
    found = corruption_errors(ERRORS, BASE)
    assert list(found) == ["fog", "snow"]
    assert list(found.values()) == pytest.approx([67.41573033707864, 32.25806451612904], **EXACT)


def test_mean_corruption_error_worked_example():
    found = mean_corruption_error(ERRORS, BASE, clean=0.05, base_clean=0.4)
    assert found.error == pytest.approx(40.0, **EXACT)
    assert found.mce == pytest.approx(49.83689742660384, **EXACT)
    assert found.relative_mce == pytest.approx(90.21335807050093, **EXACT)
    assert found.n_types == 2


def test_without_a_base_there_is_the_plain_mean_only():
    found = mean_corruption_error({"fog": [0.25, 0.75], "snow": [0.5, 1.0], "frost": [0.0, 0.5]})
    assert found.error == pytest.approx(50.0, **EXACT)  # 3 / 6
    assert (found.mce, found.relative_mce, found.n_types) == (None, None, 3)


def test_without_clean_errors_there_is_no_relative_mce():
    found = mean_corruption_error(ERRORS, BASE)
    assert found.mce == pytest.approx(49.83689742660384, **EXACT)
    assert found.relative_mce is None


def test_alexnet_is_what_the_paper_has():
    assert len(ALEXNET_IMAGENET_C) == 15
    # Specification §3.10: mean 0.788993, unrounded mce.alexmean.
    assert np.mean(list(ALEXNET_IMAGENET_C.values())) == pytest.approx(0.7889930666666667, **EXACT)
    assert list(ALEXNET_IMAGENET_C)[:3] == ["gaussian_noise", "shot_noise", "impulse_noise"]
    assert ALEXNET_IMAGENET_C["brightness"] == min(ALEXNET_IMAGENET_C.values())
    assert ALEXNET_IMAGENET_C["impulse_noise"] == max(ALEXNET_IMAGENET_C.values())


def test_alexnet_against_itself_is_100_percent_over_whatever_types():
    for kinds in (list(ALEXNET_IMAGENET_C), ["fog", "snow"]):
        own = {kind: [ALEXNET_IMAGENET_C[kind]] * 5 for kind in kinds}
        found = mean_corruption_error(own, ALEXNET_IMAGENET_C)
        assert found.mce == pytest.approx(100.0, **EXACT)
        assert found.n_types == len(kinds)


def test_the_mean_of_the_base_serves_for_its_severities():
    means = {kind: float(np.mean(values)) for kind, values in BASE.items()}
    assert corruption_errors(ERRORS, means) == pytest.approx(corruption_errors(ERRORS, BASE), **EXACT)
    with_means = mean_corruption_error(ERRORS, means, 0.05, 0.4)
    assert with_means.relative_mce == pytest.approx(90.21335807050093, **EXACT)


def test_mce_is_a_mean_of_ratios_not_a_ratio_of_means():
    # 100 · (0.1 / 0.2 + 0.4 / 0.4) / 2 = 75, while (0.1 + 0.4) / (0.2 + 0.4) is 83.3 %.
    assert mean_corruption_error({"a": [0.1], "b": [0.4]}, {"a": [0.2], "b": [0.4]}).mce == pytest.approx(
        75.0
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"errors": {}}, "errors: expected at least one type of corruption, got none"),
        ({"errors": {"fog": []}}, r"errors\['fog'\]: expected a non-empty 1-D array"),
        ({"errors": {"fog": [[0.1]]}}, r"errors\['fog'\]: expected a non-empty 1-D array .* shape \(1, 1\)"),
        ({"errors": {"fog": [0.1, np.nan]}}, r"errors\['fog'\]: expected finite numbers"),
        ({"errors": {"fog": [40.0, 50.0]}}, r"errors\['fog'\]: expected shares in \[0, 1\], got 40 to 50"),
        ({"errors": {"fog": [-0.1, 0.5]}}, r"expected shares in \[0, 1\], got -0.1 to 0.5"),
        (
            {"errors": {"fog": [0.1] * 5, "snow": [0.1] * 4}},
            "expected as many severities for every type, got fog 5, snow 4",
        ),
        ({"base": {"snow": [0.1] * 5}}, "base: no errors of fog; it has snow"),
        ({"base": {}}, "base: no errors of fog, snow; it has none"),
        ({"base": BASE | {"fog": [0.1] * 4}}, r"base\['fog'\]: expected 5 severities .* got 4"),
        (
            {"base": BASE | {"fog": [0.0] * 5}},
            r"base\['fog'\]: its mean error, 0, is that of a perfect network",
        ),
        ({"base": BASE | {"fog": 0.0}}, r"base\['fog'\]: its mean error, 0"),
        ({"base_clean": 0.89}, r"base\['fog'\]: its mean error, 0.89, is that of clean images"),
        (
            {"clean": None},
            "needs base, clean and base_clean together, got clean=None, base_clean=0.4 and a base",
        ),
        ({"base_clean": None}, "got clean=0.05, base_clean=None and a base"),
        ({"base": None}, "got clean=0.05, base_clean=0.4 and no base"),
        ({"clean": 5.0}, r"clean: expected shares in \[0, 1\], got 5 to 5"),
        ({"base_clean": -0.4}, r"base_clean: expected shares in \[0, 1\]"),
    ],
)
def test_refuses(change, message):
    good = {"errors": ERRORS, "base": BASE, "clean": 0.05, "base_clean": 0.4}
    with pytest.raises(ValueError, match=message):
        mean_corruption_error(**good | change)


def test_corruption_errors_refuses_a_base_without_errors():
    with pytest.raises(ValueError, match=r"base\['fog'\]: its mean error, 0, is that of a perfect network"):
        corruption_errors(ERRORS, BASE | {"fog": [0.0] * 5})
