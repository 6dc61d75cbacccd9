"""Every detector that pytorch-ood 0.4.0 has too, held to theirs on the same features, labels and head.

Their scores grow with being an outlier, ours with being in-distribution: "equal" means that theirs is minus
ours. "Scaled" and "shifted" mean up to a constant, which the test states and does not fit. "Transformed"
means that the definitions differ, and that the test undoes the named difference, and no more, before it
demands equality.

================== ====================== ====================================================================
theirs             ours                   how it is compared
================== ====================== ====================================================================
ASH                ash                    equal, all three variants; fractions for percents
DICE               dice                   equal; fractions for percents
EnergyBased        energy                 equal, also at another temperature
Entropy            entropy                equal where p ≥ 1e-7, the floor of their probabilities; transformed:
                                          below it, ours with that floor
fDBD               fdbd                   scaled: they average over the K - 1 boundaries, we sum
GEN                gen                    scaled: they average over the M terms, we sum; transformed: their
                                          floor of 1e-7, as for Entropy
GMM                gmm                    equal to covariance "full" with their ridge
GradNorm           gradnorm               equal with their filter set to the head's weight
GradUncertainty    gradient_uncertainty   equal with their filter set to the head
Gram               gram                   transformed: their ranges are of true labels (here all are predicted
                                          rightly), without 1 / max p, and normalised by a random tenth of
                                          the training images; the layers and powers are set to ours
KLMatching         klm                    equal, also where a class is never predicted
KNN                knn                    equal at the same k
LTS                lts                    equal; the share kept for the percentile removed
Mahalanobis        mahalanobis            scaled: half the distance, by a scatter without 1 / N; transformed:
                                          the ridge of 1e-6 taken off again
MahalanobisODIN    mahalanobis            as Mahalanobis, with a step; transformed: their sign of 0 is 0
MaxLogit           max_logit              equal
MaxSoftmax         msp                    equal
MCD                mc_dropout             equal in mode "mean" with our masks for their dropout; their mode
                                          "var" is no score of ours
MCM                -                      excluded: needs CLIP
MultiMahalanobis   mahalanobis_ensemble   shifted, with our weights for theirs and the ridge taken off; they
                                          do not subtract the mean of the validation images
NACUE              nac                    transformed: bins; theirs are replaced by ours
NCI                nci                    equal, at any α; theirs by default is α = 0
NNGuide            nnguide                equal at the same k with the whole bank
ODIN               odin                   equal; transformed: their sign of 0 is 0
odin_preprocessing odin                   its direction: equal, as above
OpenMax            openmax                transformed: the cosine has weight 1 and not 1 - w, the images are
                                          those classified rightly, their Weibull fit is replaced by ours, and
                                          ours is the log odds of their probability
PNML               pnml                   equal without their floor under the probabilities (eps = 0)
RankFeat           rankfeat               equal
ReAct              react                  equal; fractions for percents
RMD                relative_mahalanobis   scaled: neither covariance has its 1 / N; transformed: the ridge
SCALE              scale                  equal; fractions for percents
SHE                she                    equal to metric "inner"
TemperatureScaling temperature_scaling    equal at our temperature; theirs moves towards it and then stays
ViM                vim                    equal
VRA                vra                    equal where no feature is below its lower threshold; transformed:
                                          below it they raise to the threshold, we remove
WeightedEBO        -                      excluded: needs the weights of a network trained by VOS
================== ====================== ====================================================================

Their code turns features into float32 in places. `Tensor.float` gives float64 here and so does the default
type, so that what is compared is the definitions and not the rounding.
"""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from methods.base import Features, Head
from methods.registry import detector
from methods.statistics import gram, pooled, rank_one

ood = pytest.importorskip(
    "pytorch_ood", reason="pytorch-ood is not installed (a development-only dependency)"
).detector


CLASSES, WIDTH, SIDE = 10, 48, 3


FLOOR = 1e-7  # of their probabilities in Entropy and GEN


TIGHT = {"rtol": 1e-9, "atol": 1e-11}


class Network(nn.Module):
    """Images of 3 × 3 pixels, to maps of 48 channels at 2 × 2 positions, to their mean, to logits."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 12, 1)
        self.conv = nn.Conv2d(12, WIDTH, 2)
        self.fc = nn.Linear(WIDTH, CLASSES)

    def edges(self, images):
        return torch.relu(self.first(images))

    def last(self, edges):
        return torch.relu(self.conv(edges))

    def maps(self, images):
        return self.last(self.edges(images))

    def penultimate(self, images):
        return pooled(self.maps(images))

    def forward(self, images):
        return self.fc(self.penultimate(images))


@dataclass
class Split:
    images: torch.Tensor
    maps: list[torch.Tensor]
    h: torch.Tensor
    logits: torch.Tensor
    labels: torch.Tensor
    ours: Features

    def __getitem__(self, rows):
        return Split(
            self.images[rows],
            [m[rows] for m in self.maps],
            self.h[rows],
            self.logits[rows],
            self.labels[rows],
            self.ours[rows],
        )


class World:
    def __init__(self):
        torch.manual_seed(0)
        self.network = Network().double().eval().requires_grad_(requires_grad=False)
        self.centres = torch.rand(CLASSES, 3, SIDE, SIDE)
        self.linear = self.network.fc
        images, labels = self.images(2000)
        # Every channel fires for some images and not for others, and the head is a least-squares fit, so that
        # most, and not all, are classified rightly.
        with torch.no_grad():
            self.network.first.bias -= self.network.first(images).mean(dim=(0, 2, 3)) - 0.2
            edges = self.network.edges(images)
            self.network.conv.bias -= self.network.conv(edges).mean(dim=(0, 2, 3)) - 0.1
        h = self.network.penultimate(images)
        one_hot = nn.functional.one_hot(labels, CLASSES).double()
        augmented = torch.cat([h, torch.ones(len(h), 1)], dim=1)
        gram_matrix = augmented.T @ augmented + 1e-3 * torch.eye(WIDTH + 1)
        solution = torch.linalg.solve(gram_matrix, augmented.T @ one_hot).T
        self.linear.weight.copy_(8 * solution[:, :WIDTH])
        self.linear.bias.copy_(8 * solution[:, WIDTH])
        self.head = Head(self.linear.weight, self.linear.bias)
        self.train, self.val, self.test = (self.split(*self.images(n)) for n in (600, 300, 150))
        strange = torch.rand(150, 3, SIDE, SIDE) * 1.5
        self.queries = self.split(torch.cat([self.test.images, strange]), torch.zeros(300, dtype=torch.long))

    def images(self, n):
        labels = torch.arange(n) % CLASSES
        return self.centres[labels] + 0.25 * torch.randn(n, 3, SIDE, SIDE), labels

    def features(self, images, labels=None):
        edges = self.network.edges(images)
        last = self.network.last(edges)
        h = pooled(last)
        return Features(
            self.linear(h),
            h,
            labels,
            stages=[pooled(edges), pooled(last)],
            gram=[gram(edges), gram(last)],
            rank_one=rank_one(last),
            maps=[edges, last],
        )

    def split(self, images, labels):
        ours = self.features(images, labels)
        maps = [m.contiguous() for m in ours.maps]
        return Split(images, maps, ours.penultimate, ours.logits, labels, ours)

    def fit(self, name, train=None, val=None, **hyperparameters):
        made = detector(name, **hyperparameters)
        train, val = train or self.train, val or self.val
        return made.fit(train.ours, val.ours, self.head, torch.Generator().manual_seed(0))

    def score(self, name, **hyperparameters):
        return self.fit(name, **hyperparameters).score(self.queries.ours)

    def on_pooled(self, theirs):
        """Scores of one of their detectors of feature maps, on pooled features as maps of one position."""
        if hasattr(theirs, "fit_feature_maps"):
            theirs.fit_feature_maps(as_maps(self.train.h), self.train.labels)
        return theirs.predict_feature_maps(as_maps(self.queries.h))

    def head_of_maps(self):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), self.linear)


def as_maps(h):
    return h[:, :, None, None]


def equal(theirs, ours, **tolerance):
    assert ours.dtype == torch.float64
    assert len(ours) > 100  # and they are not all one value:
    assert ours.std() > 1e-6 * ours.abs().mean()
    assert_close(theirs.detach().double(), -ours, **(tolerance or TIGHT))
