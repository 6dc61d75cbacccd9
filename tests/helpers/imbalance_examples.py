"""A long-tailed set of small images."""

import torch
from worked_examples import worked

from methods.registry import family

INPUTS, VALUES = worked("imbalance")


PROFILES, SAMPLERS = family("profiles"), family("samplers")


COUNTS = [30, 12, 7, 6, 2, 1]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def long_tailed(counts=COUNTS, seed=0):
    """Images whose pixels tell the class: those of class c are within [40 c, 40 c + 20]."""
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator(seed))]
    noise = torch.randint(0, 21, (len(labels), 3, 4, 4), generator=generator(seed + 1))
    return (40 * labels[:, None, None, None] + noise).to(torch.uint8), labels


def shares(labels):
    return torch.bincount(labels) / len(labels)
