"""Noisy labels and long tails of a training split."""

import numpy as np
import pytest
import torch

from benchmark.datasets.splits import balanced_split
from benchmark.jobs.config import SplitConfig, Transformation
from benchmark.jobs.training_sets import transformed

CLASSES, PER_CLASS = 4, 50
LABELS = torch.arange(CLASSES * 80) % CLASSES
SPLIT = {"train_per_class": PER_CLASS, "val_per_class": 10, "track_seed": 1, "seed": 2, "whole": False}
TRAIN = balanced_split(LABELS.numpy(), **SPLIT).train
UNIFORM = {"method": "uniform", "hyperparameters": {}, "strength": 0.5}
EXP = {"method": "exp", "hyperparameters": {"mu": 0.1}}


def made(**changes):
    return transformed(Transformation(SplitConfig(**SPLIT), **{"seed": 3, **changes}), LABELS)


def test_nothing_done_is_the_training_split_itself():
    tensors, card = made()
    np.testing.assert_array_equal(tensors["rows"], TRAIN)
    assert torch.equal(tensors["labels"], LABELS[tensors["rows"]])
    assert tensors.keys() == {"rows", "labels"}
    assert card["counts"] == [PER_CLASS] * CLASSES
    assert (card["flipped"], card["matrix"], card["n"]) == (0.0, None, CLASSES * PER_CLASS)


def test_noise_changes_labels_and_nothing_else():
    tensors, card = made(noise=UNIFORM)
    wrong = tensors["labels"] != LABELS[tensors["rows"]]
    np.testing.assert_array_equal(tensors["rows"], TRAIN)
    assert card["flipped"] == pytest.approx(wrong.double().mean().item())
    assert 0.25 < card["flipped"] < 0.5  # .375 expected of 200 labels
    assert card["counts"] == [PER_CLASS] * CLASSES  # of the true classes
    np.testing.assert_allclose(card["matrix"], 0.5 * np.eye(CLASSES) + 0.5 / CLASSES)


def test_labels_that_are_wrong_stay_wrong_at_a_larger_strength():
    weak, strong = (
        made(noise={**UNIFORM, "strength": strength})[0]["labels"] != LABELS[TRAIN] for strength in (0.2, 0.6)
    )
    assert weak.any()
    assert strong[weak].all()
    assert strong.sum() > weak.sum()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
def test_trusted_labels_are_right_and_spread_over_the_classes(share):
    tensors, _ = made(noise={**UNIFORM, "strength": 1.0}, trusted=share)
    trusted, true = tensors["trusted"], LABELS[tensors["rows"]]
    assert torch.equal(tensors["labels"][trusted], true[trusted])
    assert torch.bincount(true[trusted]).tolist() == [round(share * PER_CLASS)] * CLASSES


def test_the_first_phase_sees_the_others_only():
    both, _ = made(noise=UNIFORM, trusted=0.1)
    rest, card = made(noise=UNIFORM, trusted=0.1, untrusted_only=True)
    kept = ~both["trusted"]
    assert torch.equal(rest["rows"], both["rows"][kept])
    assert torch.equal(rest["labels"], both["labels"][kept])
    assert not rest["trusted"].any()
    assert card["counts"] == [PER_CLASS - 5] * CLASSES


def test_methods_see_the_same_noise_whatever_they_are_told():
    plain, _ = made(noise=UNIFORM)
    told, _ = made(noise=UNIFORM, trusted=0.1)
    others = ~told["trusted"]
    assert torch.equal(plain["labels"][others], told["labels"][others])


def test_a_share_that_leaves_a_class_without_trusted_labels_is_refused():
    with pytest.raises(ValueError, match=r"trusted: a share of 0.001 of the 50 images of class 0 is none"):
        made(noise=UNIFORM, trusted=0.001)


def test_a_long_tail_keeps_images_of_the_split_by_the_profile():
    tensors, card = made(profile=EXP)
    assert set(tensors["rows"].tolist()) <= set(TRAIN.tolist())
    assert torch.equal(tensors["labels"], LABELS[tensors["rows"]])
    assert sorted(card["counts"], reverse=True) == [50, 23, 10, 5]  # ⌊50 · .1^(i/3)⌋ by hand
    assert card["n"] == 88


def test_which_class_is_rare_is_drawn():
    rarest = {int(np.argmin(made(profile=EXP, seed=seed)[1]["counts"])) for seed in range(12)}
    assert len(rarest) > 1


def test_a_smaller_tail_is_a_part_of_a_larger_one():
    larger, smaller = (
        set(made(profile={"method": "exp", "hyperparameters": {"mu": mu}})[0]["rows"].tolist())
        for mu in (0.5, 0.1)
    )
    assert smaller < larger


def test_the_fingerprint_follows_the_labels():
    prints = {
        made(**change)[1]["fingerprint"]
        for change in ({}, {"noise": UNIFORM}, {"noise": UNIFORM, "seed": 4}, {"profile": EXP})
    }
    assert len(prints) == 4
    assert made(noise=UNIFORM)[1]["fingerprint"] in prints
