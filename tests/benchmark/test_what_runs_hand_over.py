"""What a run hands to detectors: as a library user would with the same seed, no labels, finite features."""

import pytest
import torch

from benchmark.jobs.config import ScoringConfig, ScoringInputs
from benchmark.jobs.scoring import Scoring, score_together
from methods.base import Features, Head, InputError
from methods.registry import detector, detector_class

CLASSES, WIDTH, SEED = 5, 16, 11


class Stored:
    """An artifact in memory."""

    def __init__(self, features, head=None):
        self.found = {"features": features, "head": head}

    def tensors(self, name):
        return self.found[name]

    def json(self, name):
        return {"linear_head": True, "reason": "", "rank_one": ""}


def features(n, seed):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    h = torch.relu(torch.randn(n, WIDTH, generator=rng) + torch.eye(WIDTH)[labels])
    return h, labels


@pytest.fixture(scope="module")
def world():
    weight = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0))
    head = Head(weight, torch.linspace(-1, 1, CLASSES))
    parts = {
        "train": features(2500, 1),
        "val": features(1200, 2),
        "test": features(40, 3),
        "noise": features(60, 4),
    }
    return head, {
        name: Features(h @ weight.T + head.bias, h, None if name == "noise" else labels)
        for name, (h, labels) in parts.items()
    }


def scoring(name, world):
    head, parts = world
    tensors = {
        f"{part}.{signal}": found[0]
        for part, given in parts.items()
        for signal, found in given.collected().items()
    }
    stored = {"id": {}, "noise": {}}
    for key, tensor in tensors.items():
        stored["noise" if key.startswith("noise.") else "id"][key] = tensor
    features = {
        "id": Stored(stored["id"], {"head.weight": head.weight, "head.bias": head.bias}),
        "noise": Stored(stored["noise"]),
    }
    config = ScoringConfig(detector=name, points=[{}], validation=[], seed=SEED)
    return Scoring(config, ScoringInputs([{"base": features}]))


@pytest.mark.parametrize("name", ["nac", "relation", "mc_dropout", "gradorth", "knn"])
def test_l3_a_run_and_the_library_are_fitted_on_the_same_images(name, world):
    task = scoring(name, world)
    scorer, _ = task.choose()
    (found,) = score_together([(task, scorer)])
    head, parts = world
    rng = torch.Generator().manual_seed(SEED)
    by_hand = detector(name).fit(parts["train"], parts["val"], head, rng)
    for part in ("test", "noise"):
        # The run widens features to float64 first; other images would move the scores by far more.
        torch.testing.assert_close(found[part], by_hand.score(parts[part]), rtol=1e-5, atol=1e-6)


def test_l3_feature_maps_are_made_of_no_more_images_than_fit_is_shown(world, monkeypatch):
    """Where the harness must draw them itself, because the maps of all images are too large."""
    monkeypatch.setattr(detector_class("ncd"), "fit_limit", 50)
    head, parts = world
    task = scoring("ncd", world)
    asked = []

    def tap(images, maps):
        asked.append(len(images))
        return Features(torch.zeros(len(images), CLASSES), maps=[images, images.flip(3).square()])

    images = {
        part: torch.randint(
            256, (len(given), 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(i)
        )
        for i, (part, given) in enumerate(parts.items())
    }
    task.__dict__.update(tap=tap, images=images)
    found = task._fit(detector("ncd"))
    assert sum(asked) == 50 + len(parts["val"])

    def with_maps(part):
        pixels = images[part].float() / 255
        return parts[part].including(maps=[pixels, pixels.flip(3).square()])

    by_hand = detector("ncd").fit(
        with_maps("train"), with_maps("val"), head, torch.Generator().manual_seed(SEED)
    )
    assert torch.equal(found.score(with_maps("test")), by_hand.score(with_maps("test")))


def test_r15_a_run_hands_score_no_labels(world, monkeypatch):
    seen = []
    cls = detector_class("msp")
    score = cls.score

    def spying(self, features):
        seen.append("labels" in features.collected())
        return score(self, features)

    monkeypatch.setattr(cls, "score", spying)
    task = scoring("msp", world)
    assert "labels" in world[1]["test"].collected()
    score_together([(task, task.choose()[0])])
    assert seen == [False, False]


def test_l1_a_run_names_the_part_whose_features_are_not_finite(world):
    head, parts = world
    broken = parts["noise"].logits.clone()
    broken[2, 1] = torch.nan
    task = scoring("msp", (head, {**parts, "noise": parts["noise"].including(logits=broken)}))
    with pytest.raises(InputError, match=r"^noise: features\.logits: 1 of 300 values .* first in row 2$"):
        score_together([(task, task.choose()[0])])
