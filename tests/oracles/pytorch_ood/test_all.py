"""No detector of pytorch-ood is left out, and the world that they are compared in is no easy one."""

import pytorch_ood_world
from pytorch_ood_world import CLASSES, FLOOR, ood

from methods.registry import detectors

COMPARED = {
    "ASH": "ash",
    "DICE": "dice",
    "EnergyBased": "energy",
    "Entropy": "entropy",
    "fDBD": "fdbd",
    "GEN": "gen",
    "GMM": "gmm",
    "GradNorm": "gradnorm",
    "GradUncertainty": "gradient_uncertainty",
    "Gram": "gram",
    "KLMatching": "klm",
    "KNN": "knn",
    "LTS": "lts",
    "Mahalanobis": "mahalanobis",
    "MahalanobisODIN": "mahalanobis",
    "MaxLogit": "max_logit",
    "MaxSoftmax": "msp",
    "MCD": "mc_dropout",
    "MultiMahalanobis": "mahalanobis_ensemble",
    "NACUE": "nac",
    "NCI": "nci",
    "NNGuide": "nnguide",
    "ODIN": "odin",
    "odin_preprocessing": "odin",
    "OpenMax": "openmax",
    "PNML": "pnml",
    "RankFeat": "rankfeat",
    "ReAct": "react",
    "RMD": "relative_mahalanobis",
    "SCALE": "scale",
    "SHE": "she",
    "TemperatureScaling": "temperature_scaling",
    "ViM": "vim",
    "VRA": "vra",
}


EXCLUDED = {
    "MCM": "scores images by CLIP's text encoder, which no network of this suite has",
    "WeightedEBO": "needs the weights that training by VOS learns",
}


def test_the_world_is_no_easy_one(world):
    # What the tests below rely on, and what a detector could not be told apart without.
    for split in (world.train, world.val):
        right = (split.logits.argmax(dim=1) == split.labels).double().mean()
        assert 0.7 < right < 0.99
        assert len(split.logits.argmax(dim=1).unique()) == CLASSES
    assert len(world.queries.logits.argmax(dim=1).unique()) == CLASSES
    assert (world.train.h.std(dim=0) > 1e-3).all()  # no feature is dead
    assert (world.train.maps[-1] == 0).double().mean() > 0.05
    assert world.queries.logits.softmax(dim=1).min() > FLOOR


def test_no_detector_of_theirs_is_left_out():
    assert sorted([*COMPARED, *EXCLUDED]) == sorted(ood.__all__)
    assert set(COMPARED.values()) <= set(detectors())
    for name in [*COMPARED, *EXCLUDED]:
        rows = [line for line in pytorch_ood_world.__doc__.splitlines() if line.split(" ")[0] == name]
        assert len(rows) == 1, f"the table of pytorch_ood_world must have one row of {name}"
        assert rows[0].split()[1] == COMPARED.get(name, "-")
