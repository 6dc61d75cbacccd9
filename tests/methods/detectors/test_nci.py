"""NCI against its formula."""

import numpy as np
import pytest
from detector_examples import F1, HEAD, QUERIES, TRAIN, features
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.detectors.nci import NCI


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.5])
def test_nci_is_its_formula(alpha):
    mean, w = F1["H"].numpy().mean(0), F1["W"].numpy()
    expected = []
    for h in F1["Q"].numpy():
        own = w[np.argmax(w @ h + F1["b"].numpy())]
        expected.append(own @ (h - mean) / np.linalg.norm(h - mean) + alpha * np.abs(h).sum())
    assert_close(NCI(alpha).fit(TRAIN, TRAIN, HEAD).score(QUERIES), tensor(expected), **EXACT)


def test_nci_grows_along_the_weight_of_the_class_and_with_length():
    w = F1["W"][0]
    mean = F1["H"].mean(dim=0)
    fitted = NCI(alpha=0.0).fit(TRAIN, TRAIN, HEAD)
    along = mean + tensor([[5.0], [50.0]]) * w
    assert_close(fitted.score(features(along)), w.norm().expand(2), **EXACT)
    longer = NCI(alpha=1.0).fit(TRAIN, TRAIN, HEAD).score(features(along))
    assert longer[1] > longer[0]


def test_nci_at_the_mean():
    train = TRAIN[:1]
    assert_close(NCI().fit(train, train, HEAD).score(train), tensor([3e-4]), **EXACT)  # α (2 + 0 + 1 + 0)
