"""Undersampling: how often a class and an image is shown."""

import torch
from imbalance_examples import generator, shares
from torch.testing import assert_close

from methods.registry import sampler


def test_undersampling_shows_as_many_as_the_smallest_class_has():
    labels = torch.tensor([0] * 10 + [1] * 3 + [2] * 5)[torch.randperm(18, generator=generator(4))]
    made = sampler("undersample")
    rng = generator()
    epochs = [made.epoch(labels, rng) for _ in range(40)]
    assert made.size(labels) == 9
    for rows in epochs:
        assert torch.bincount(labels[rows]).tolist() == [3, 3, 3]
        assert len(rows.unique()) == 9  # without replacement
    assert len({tuple(sorted(rows.tolist())) for rows in epochs}) > 30  # anew for every epoch
    assert len(torch.cat(epochs).unique()) == 18
    places = torch.stack([labels[rows] for rows in epochs]).double().mean(dim=0)
    assert ((places > 0.5) & (places < 1.5)).all()  # classes mixed: each place has a mean class of 1


def test_undersampling_shows_all_images_of_a_class_alike():
    labels = torch.tensor([0] * 8 + [1] * 2)
    rng = generator()
    rows = torch.cat([sampler("undersample").epoch(labels, rng) for _ in range(400)])
    # 400 draws of probability 1/4 out of 4 an epoch: a share has a standard deviation of .0054
    assert_close(shares(rows), torch.tensor([1 / 16] * 8 + [1 / 4] * 2), rtol=0, atol=0.022)
