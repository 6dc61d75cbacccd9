"""Whose settings the defaults are, and entries at those of other libraries (cases L14, L15)."""

import inspect
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from benchmark.spec.load import load_spec
from methods.base import Features, Head
from methods.registry import detector, detectors

LEADERBOARD = Path(__file__).parents[2] / "leaderboard.yaml"
# Of those that OpenOOD v1.5 or pytorch-ood 0.4.0 has too, as their sources say
SHARED = [
    "ash", "dice", "energy", "entropy", "fdbd", "gen", "gmm", "godin", "gradient_uncertainty",
    "gradnorm", "gram", "iodin", "klm", "knn", "lts", "mahalanobis", "mahalanobis_ensemble",
    "max_logit", "mc_dropout", "msp", "nac", "nci", "nnguide", "odin", "openmax", "pnml", "rankfeat",
    "react", "relation", "relative_mahalanobis", "residual", "scale", "she", "temperature_scaling",
    "vim", "vra", "ensemble",
]  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_l15_the_docstring_says_how_the_defaults_differ(name):
    text = inspect.getdoc(detectors()[name]) or ""
    (paragraph,) = [" ".join(p.split()) for p in text.split("\n\n") if p.startswith("Differs from: ")]
    assert "OpenOOD v1.5" in paragraph
    assert "pytorch-ood 0.4.0" in paragraph


@pytest.mark.parametrize(
    ("entry", "settings"),
    [
        ("ash_b", {"variant": "b", "percentile": 90.0}),
        ("ash_p", {"variant": "p", "percentile": 90.0}),
        ("vra_clip", {"rule": "clip", "low": 0.1, "high": 0.9}),
        ("nnguide_openood", {"k": 100, "fraction": 0.01}),
        ("gmm_full", {"covariance": "full"}),
    ],
)
def test_l15_entries_at_the_settings_of_others(entry, settings):
    asked = load_spec(LEADERBOARD).entries[entry]
    made = detector(asked.detector, **asked.hyperparameters)
    assert made.hyperparameters().items() >= settings.items()
    assert made.hyperparameters() != detector(asked.detector).hyperparameters()


def test_l15_vra_that_clips_has_one_pair_of_thresholds_for_all_features():
    """Against NumPy: quantiles of all numbers, then a clip to them."""
    rng = np.random.default_rng(0)
    train, test, weight = rng.normal(size=(80, 6)), rng.normal(size=(20, 6)), rng.normal(size=(3, 6))
    head = Head(weight)
    known = Features(train @ weight.T, train)
    fitted = detector("vra", rule="clip", low=0.1, high=0.9).fit(known, known, head)
    clipped = np.clip(test, *np.quantile(train, [0.1, 0.9]))
    expected = np.log(np.exp(clipped @ weight.T).sum(axis=1))
    found = fitted.score(Features(test @ weight.T, test))
    assert_close(found, torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_l15_vra_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match=r"rule: expected one of .*got 'cut'"):
        detector("vra", rule="cut")


def test_l14_no_docstring_says_what_is_not_so():
    """OpenOOD fits `residual` on validation images; pytorch-ood's gradient vanishes for sure predictions."""
    assert "leakage" not in (detectors()["residual"].__doc__ or "")
    assert "validation images" in (detectors()["residual"].__doc__ or "")
    assert "1e-12" in (detectors()["gradient_uncertainty"].__doc__ or "")


def test_l14_the_scores_of_pytorch_ood_leave_ours_where_a_network_is_sure():
    theirs = pytest.importorskip("pytorch_ood", reason="pytorch-ood is not installed").detector
    layer = torch.nn.Linear(2, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[40.0, 0], [0, 40], [0, 0]]))
        layer.bias.zero_()
    h = torch.tensor([[0.1, 0.0], [1.0, 0.0]], dtype=torch.float64)  # margins 4 and 40
    features = Features(layer(h).detach(), h)
    head = Head(layer.weight.detach(), layer.bias.detach())
    ours = detector("gradient_uncertainty").fit(features, features, head).score(features)
    found = theirs.GradUncertainty(layer).predict(h)
    assert float(-found[0] / ours[0]) == pytest.approx(1, rel=1e-6)
    assert float(-found[1] / ours[1]) < 0.5
