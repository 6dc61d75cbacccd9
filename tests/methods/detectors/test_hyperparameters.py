"""Every detector refuses hyper-parameters out of range and choices that there are not."""

import math

import pytest

from methods.base import HyperparameterError
from methods.detectors.ash import ASH
from methods.detectors.ensemble import Ensemble
from methods.detectors.fdbd import FDBD
from methods.detectors.gmm import GMM
from methods.detectors.gradnorm import GradNorm
from methods.detectors.mc_dropout import MCDropout
from methods.detectors.react import ReAct
from methods.detectors.she import SHE
from methods.registry import detector


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("energy", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("energy", "temperature", float("nan"), "a finite number above 0, got nan"),
        ("odin", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("odin", "temperature", float("inf"), "a finite number above 0, got inf"),
        ("odin", "epsilon", -0.1, "a finite number of at least 0, got -0.1"),
        ("odin", "epsilon", float("nan"), "a finite number of at least 0, got nan"),
        ("knn", "k", 0, "None or at least 1, got 0"),
        ("react", "percentile", -1.0, "a number from 0 to 100, got -1.0"),
        ("react", "percentile", 100.5, "a number from 0 to 100, got 100.5"),
        ("react", "percentile", float("nan"), "a number from 0 to 100, got nan"),
        ("gradnorm", "temperature", -1.0, "a finite number above 0, got -1.0"),
        ("openmax", "alpha", 0, "at least 1, got 0"),
        ("openmax", "tail", 1, "at least 2, got 1"),
        ("openmax", "euclidean", -0.1, "a finite number of at least 0, got -0.1"),
        ("openmax", "euclidean", math.inf, "a finite number of at least 0, got inf"),
        ("nci", "alpha", -1.0, "a finite number of at least 0, got -1.0"),
        ("nci", "alpha", math.nan, "a finite number of at least 0, got nan"),
        ("vra", "low", -0.1, "a number from 0 to 1, got -0.1"),
        ("vra", "low", math.nan, "a number from 0 to 1, got nan"),
        ("vra", "high", 0.5, "a number from low, 0.6, to 1, got 0.5"),
        ("vra", "high", 1.1, "a number from low, 0.6, to 1, got 1.1"),
        ("vra", "gamma", -1.0, "a finite number of at least 0, got -1.0"),
        ("ssd_score", "clusters", 0, "at least 1, got 0"),
        ("mc_dropout", "passes", 1, "at least 2, got 1"),
        ("mc_dropout", "rate", 0.0, "a number above 0 and below 1, got 0.0"),
        ("mc_dropout", "rate", 1.0, "a number above 0 and below 1, got 1.0"),
        ("mc_dropout", "rate", math.nan, "a number above 0 and below 1, got nan"),
        ("ensemble", "members", 1, "at least 2, got 1"),
        ("gmm", "components", 0, "None or at least 1, got 0"),
        ("gmm", "shrinkage", -1e-6, "a finite number of at least 0, got -1e-06"),
        ("gmm", "shrinkage", math.nan, "a finite number of at least 0, got nan"),
        ("relation", "power", 0.0, "a finite number above 0, got 0.0"),
        ("relation", "power", math.inf, "a finite number above 0, got inf"),
        ("relation", "threshold", -0.1, "a number of at least 0, below 1, got -0.1"),
        ("relation", "threshold", 1.0, "a number of at least 0, below 1, got 1.0"),
        ("iodin", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("iodin", "epsilon", -1.0, "a finite number of at least 0, got -1.0"),
        ("gradorth", "energy_share", 0.0, "above 0 and at most 1, got 0.0"),
        ("gradorth", "energy_share", 1.5, "above 0 and at most 1, got 1.5"),
        ("gradorth", "energy_share", math.nan, "above 0 and at most 1, got nan"),
        ("residual", "dim", 0, "None or at least 1, got 0"),
        ("vim", "dim", 0, "None or at least 1, got 0"),
        ("dice", "percentile", -1.0, "None or a number from 0 to 100, got -1.0"),
        ("dice", "percentile", 100.5, "None or a number from 0 to 100, got 100.5"),
        ("dice", "percentile", math.nan, "None or a number from 0 to 100, got nan"),
        ("ash", "percentile", -1.0, "a number of at least 0, below 100, got -1.0"),
        ("ash", "percentile", 100.0, "a number of at least 0, below 100, got 100.0"),
        ("ash", "percentile", math.nan, "a number of at least 0, below 100, got nan"),
        ("scale", "percentile", -1.0, "a number of at least 0, below 100, got -1.0"),
        ("scale", "percentile", 100.0, "a number of at least 0, below 100, got 100.0"),
        ("scale", "percentile", math.nan, "a number of at least 0, below 100, got nan"),
        ("nnguide", "k", 0, "at least 1, got 0"),
        ("nnguide", "fraction", 0.0, "None or above 0 and at most 1, got 0.0"),
        ("nnguide", "fraction", 1.5, "None or above 0 and at most 1, got 1.5"),
        ("nnguide", "fraction", math.nan, "None or above 0 and at most 1, got nan"),
        ("gen", "gamma", 0.0, "a finite number above 0, got 0.0"),
        ("gen", "gamma", float("nan"), "a finite number above 0, got nan"),
        ("gen", "top", 0, "at least 1, got 0"),
        ("klm", "mode", "max", "one of 'min', 'pred', got 'max'"),
        ("logit_knn", "k", 0, "at least 1, got 0"),
        ("prob_knn", "k", 0, "at least 1, got 0"),
    ],
)
def test_a_hyperparameter_out_of_range(name, key, value, expected):
    with pytest.raises(HyperparameterError, match=rf"^{name}(: |\.){key}: expected {expected}$"):
        detector(name, **{key: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ReAct(base="max_logit"), "base: expected one of energy, msp, got 'max_logit'"),
        (lambda: GradNorm(norm="l3"), "norm: expected one of l1, l2, linf, l0.5, got 'l3'"),
        (lambda: GradNorm(factor="W"), "factor: expected one of UV, U, V, got 'W'"),
        (
            lambda: MCDropout(statistic="max"),
            "statistic: expected one of msp, entropy, mutual_information, got 'max'",
        ),
        (
            lambda: Ensemble(statistic="max"),
            "statistic: expected one of msp, entropy, mutual_information, got 'max'",
        ),
        (lambda: GMM(covariance="diag"), "covariance: expected one of tied, full, got 'diag'"),
        (lambda: ASH(variant="r"), "variant: expected one of s, p, b, got 'r'"),
        (lambda: SHE(metric="dot"), "metric: expected one of inner, euclidean, cosine, got 'dot'"),
        (lambda: FDBD(centre="median"), "centre: expected one of mean, zero, got 'median'"),
    ],
)
def test_a_choice_that_there_is_not(make, message):
    with pytest.raises(ValueError, match=message):
        make()
