"""How many training images `fit` is shown: a rule of the method, which holds wherever it is called."""

import pytest
import torch
from plain_features import CLASSES, HEAD, WIDTH, drawn, features

from methods.base import Detector, Features, fitted
from methods.detectors.nac import NAC
from methods.detectors.ncd import NCD
from methods.detectors.relation import Relation
from methods.features import evenly
from methods.registry import detector


class Seen(Detector):
    """Keeps the training rows that it was shown, and what its generator gave next."""

    name, needs = "seen", frozenset()
    fit_limit = 30

    rows = fitted()

    def fit(self, train, val, head, rng=None):
        drawn = None if rng is None else torch.rand(3, generator=rng)
        return self.with_state(rows=train.logits[:, 0], drawn=drawn)

    def score(self, features):
        return features.logits[:, 0].double()


def numbered(n):
    """Features whose first logit is the number of their row."""
    logits = torch.zeros(n, CLASSES)
    logits[:, 0] = torch.arange(n)
    return Features(logits, labels=torch.arange(n) % CLASSES)


def rng(seed=7):
    return torch.Generator().manual_seed(seed)


def test_l3_fit_is_shown_at_most_the_limit_evenly_by_class():
    rows = Seen().fit(numbered(400), rng=rng()).rows.long()
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert torch.bincount(rows % CLASSES).tolist() == [30 // CLASSES] * CLASSES


def test_l3_the_generator_draws_the_images():
    first, again, other = (Seen().fit(numbered(400), rng=rng(seed)) for seed in (7, 7, 8))
    assert torch.equal(first.rows, again.rows)
    assert not torch.equal(first.rows, other.rows)
    # What the detector draws itself comes after.
    generator = rng()
    assert torch.equal(first.rows.long(), evenly(numbered(400).labels, 30, generator))
    assert torch.equal(first.drawn, torch.rand(3, generator=generator))


def test_l3_without_a_generator_the_same_images_are_drawn_each_time():
    first, again = (Seen().fit(numbered(400)).rows for _ in range(2))
    assert torch.equal(first, again)
    assert len(first) == 30


def test_l3_none_asks_for_all_and_a_number_for_so_many():
    assert len(Seen().fit(numbered(400), rng=rng(), fit_limit=None).rows) == 400
    assert len(Seen().fit(numbered(400), rng=rng(), fit_limit=45).rows) == 45
    with pytest.raises(ValueError, match="fit_limit: expected None or at least 1, got 0"):
        Seen().fit(numbered(400), fit_limit=0)


def test_l3_no_more_images_than_the_limit_are_taken_as_they_are():
    learnt = Seen().fit(numbered(30), rng=rng())
    assert learnt.rows.tolist() == list(range(30))
    assert torch.equal(learnt.drawn, torch.rand(3, generator=rng()))  # nothing was drawn before


@pytest.mark.parametrize(("cls", "limit"), [(NAC, 1000), (Relation, 2000), (NCD, 5000)])
def test_l3_the_published_limits(cls, limit):
    assert cls.fit_limit == limit


@pytest.mark.parametrize("name", ["nac", "relation"])
def test_l3_the_library_shows_no_more_than_the_limit(name):
    n = 2 * detector(name).fit_limit
    h = torch.relu(drawn(n, WIDTH))
    train = Features(h @ HEAD.weight.T + HEAD.bias, h, torch.arange(n) % CLASSES)
    queries = features(20, seed=5)
    limited = detector(name).fit(train, None, HEAD, rng()).score(queries)
    rows = evenly(train.labels, n // 2, rng())
    assert torch.equal(limited, detector(name).fit(train[rows], None, HEAD, rng()).score(queries))
    everything = detector(name).fit(train, None, HEAD, rng(), fit_limit=None).score(queries)
    assert not torch.equal(limited, everything)


def test_l3_the_others_are_shown_all():
    n = 6000
    h = torch.relu(drawn(n, WIDTH))
    train = Features(h @ HEAD.weight.T, h, torch.arange(n) % CLASSES)
    assert len(detector("knn").fit(train).bank) == n
