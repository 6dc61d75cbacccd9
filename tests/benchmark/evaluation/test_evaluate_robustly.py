"""`oodbench.evaluate`: detectors that fail, arguments of a wrong kind, what must not change the answer."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import TensorDataset

from benchmark.errors import UsageError
from benchmark.evaluation.compared import Compared
from methods.base import Detector, Signal
from oodbench import detector, evaluate, extract


@dataclass(frozen=True)
class Failing(Detector):
    """Fails where it is told to."""

    where: str = "fit"
    needs = frozenset({Signal.LOGITS})

    @property
    def name(self):
        return f"failing_{self.where}"

    def fit(self, train, val, head, rng):
        if self.where == "fit":
            raise IndexError("nothing at 7")
        return self

    def score(self, features):
        if self.where == "score" and len(features) == 6:
            raise KeyError("seven")
        return features.logits[:, 0]


def images(n, seed):
    pixels = torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(pixels, torch.arange(n) % 2)


@pytest.fixture
def given():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    sets = {"id_train": images(20, 1), "id_val": images(10, 2), "id_test": images(10, 3)}
    return {"model": nn.Sequential(*layers).eval(), **sets, "ood": {"far": {"six": images(6, 4)}}}


def test_one_that_fails_with_an_error_of_its_own_is_listed(given):
    found = evaluate(**given, detectors=["msp", Failing("fit"), Failing("score")])
    assert [one.name for one in found.outcome.detectors] == ["msp"]
    why = {one.name: one.why for one in found.outcome.not_applicable}
    assert why == {
        "failing_fit": "failed: IndexError: nothing at 7",
        "failing_score": "failed on six: KeyError: 'seven'",
    }


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"detectors": "msp"}, "expected a list of names"),
        ({"detectors": []}, "expected a list of names"),
        ({"detectors": [5]}, "expected names or detectors, got 5"),
        ({"ood": [images(3, 5)]}, "expected a mapping of near and far, got list"),
        ({"model": 5}, "model: expected an nn.Module"),
        ({"batch_size": 0}, "batch_size: expected at least 1"),
        ({"fit_images": 0}, "fit_images: expected at least 1"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_refused(given, wrong, said):
    with pytest.raises(UsageError, match=said):
        evaluate(**{**given, **wrong})


def test_a_signal_that_there_is_not_is_refused(given):
    with pytest.raises(UsageError, match=r"got nothing; expected some of .*stages"):
        extract(given["model"], images(3, 1), signals=["nothing"])


def test_folders_for_a_model_of_unknown_preparation_say_what_to_give(given, tmp_path):
    with pytest.raises(UsageError, match=r"give transform=, or size= and normalise="):
        extract(given["model"], tmp_path_with_picture(tmp_path))


def tmp_path_with_picture(folder):
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    return folder


@pytest.mark.parametrize("part", ["test", "val"])
def test_a_warning_says_which_images_have_no_labels(given, part):
    bare = TensorDataset(given[f"id_{part}"].tensors[0])
    found = evaluate(**{**given, f"id_{part}": bare}, detectors=["msp"])
    called = {"test": "test", "val": "validation"}[part]
    assert any(one.startswith(f"The ID {called} images have no labels") for one in found.outcome.warnings)
    assert found.outcome.classified is None


def test_what_is_measured_of_costs_twice_does_not_change_the_recommendation():
    rng = np.random.default_rng(0)
    inside, outside = rng.normal(2, 1, (1, 300)), rng.normal(0, 1, (1, 300))
    noise = rng.normal(0, 0.05, (2, 300))
    names = ("msp", "energy")
    test = {name: (inside + noise[d])[0] for d, name in enumerate(names)}
    ood = {"far": ("far", dict.fromkeys(names, outside[0]))}
    chosen = set()
    for costs in ({"msp": 1.004, "energy": 1.006}, {"msp": 1.006, "energy": 1.004}):
        fitted = {name: detector(name) for name in names}
        compared = Compared(fitted, test, ood, None, costs, dict.fromkeys(names, 0.0), 0)
        detected = compared.detected()
        found = compared.recommended(detected, budget=1.1)
        assert found.ties
        chosen.add((found.name, detected[0].name))
    [(name, best)] = chosen
    assert name == best
