"""Ensembles and their averages against the specification's worked numbers."""

import math
from typing import get_args

import pytest
import torch
from detector_examples import INPUTS, VALUES
from random_rows import normal
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.base import Features
from methods.detectors._averaging import Statistic, agreement
from methods.detectors.ensemble import Ensemble

MEMBERS = INPUTS["ens"]


LOGITS = tensor(MEMBERS["p"]).log()  # (M, N, K)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("msp", VALUES["ens.msp"]),
        ("entropy", [-v for v in VALUES["ens.H"]]),
        ("mutual_information", [-v for v in VALUES["ens.MI"]]),
    ],
)
def test_ensemble_worked_example(statistic, expected):
    members = [Features(z) for z in LOGITS]
    assert_close(Ensemble(3, statistic).score(members), tensor(expected), **EXACT)
    assert_close(Ensemble(3, statistic).score(members[::-1]), tensor(expected), **EXACT)


def test_ensemble_averages_probabilities_and_not_logits():
    z = tensor(MEMBERS["z"])
    assert_close(Ensemble(3).score([Features(m) for m in z]), tensor(VALUES["ens.probavg"]), **EXACT)
    averaged = z.mean(dim=0).softmax(dim=1).amax(dim=1)
    assert_close(averaged, tensor(VALUES["ens.logitavg"]), **EXACT)


def test_members_that_agree_have_no_mutual_information():
    alike = normal(5, 1, 4).expand(5, 3, 4)
    assert_close(agreement(alike, "mutual_information"), torch.zeros(5).double(), **EXACT)
    assert (agreement(normal(50, 3, 4), "mutual_information") < 0).all()


def test_averages_of_probabilities_that_are_zero():
    sure = tensor([[[2000.0, 0.0], [0.0, 2000.0]]])
    assert [float(agreement(sure, s)) for s in get_args(Statistic)] == pytest.approx(
        [0.5, -math.log(2), -math.log(2)], rel=1e-12
    )


def test_ensemble_errors():
    members = [Features(z) for z in LOGITS]
    with pytest.raises(ValueError, match="members: expected 5 networks, got 3"):
        Ensemble().score(members)
    odd = [*members[:2], Features(LOGITS[2][:1])]
    with pytest.raises(ValueError, match=r"members: expected logits of one shape, got \(1, 3\) and \(2, 3\)"):
        Ensemble(3).score(odd)
