"""Every detector against the unrounded worked examples of the specification."""

import pytest
from detector_examples import HEAD, QUERIES, TRAIN, VALUES
from torch.testing import assert_close
from worked_examples import EXACT, tensor

from methods.registry import detector


@pytest.mark.parametrize(
    ("name", "hyperparameters", "key"),
    [
        ("msp", {}, "msp"),
        ("max_logit", {}, "max_logit"),
        ("energy", {}, "energy"),
        ("energy", {"temperature": 2.0}, "energy_T2"),
        ("mahalanobis", {}, "mahalanobis"),
        ("knn", {}, "knn_k1"),  # the rule: 1 % of 9 images, at least 1
        ("knn", {"k": 1}, "knn_k1"),
        ("knn", {"k": 2}, "knn_k2"),
        ("knn", {"k": 3}, "knn_k3"),
        ("react", {}, "react"),
        ("gradnorm", {}, "gradnorm"),
        ("gradnorm", {"norm": "l2"}, "gradnorm_l2"),
        ("gradnorm", {"norm": "linf"}, "gradnorm_linf"),
        ("gradnorm", {"norm": "l0.5"}, "gradnorm_l05"),
        ("gradnorm", {"factor": "U"}, "gradnorm.U"),
        ("gradnorm", {"factor": "V"}, "gradnorm.V"),
        ("relative_mahalanobis", {}, "relative_mahalanobis"),
        ("gradorth", {}, "gradorth_0.97"),
        ("vim", {}, "vim"),  # D // 2
        ("vim", {"dim": 2}, "vim"),
        ("dice", {"percentile": 50.0}, "dice_p50"),
        ("dice", {"percentile": 70.0}, "dice_p70"),
        ("ash", {"percentile": 50.0}, "ash_s"),
        ("ash", {"percentile": 50.0, "variant": "p"}, "ash_p"),
        ("ash", {"percentile": 50.0, "variant": "b"}, "ash_b"),
        ("scale", {"percentile": 50.0}, "scale"),
        ("she", {}, "she"),
        ("nnguide", {"k": 2}, "nnguide"),
        ("fdbd", {}, "fdbd"),
        ("fdbd", {"centre": "zero"}, "fdbd_norm"),
        ("entropy", {}, "neg_entropy"),
        ("xent_uniform", {}, "xent_uniform"),
        ("gen", {"top": 3}, "gen_g01_M3"),
        ("gen", {}, "gen_g01_M3"),  # 100 is more than the 3 classes
        ("gen", {"top": 2}, "gen_g01_M2"),
        ("gen", {"gamma": 0.5}, "gen_g05_M3"),
        ("klm", {}, "klm_min"),
        ("logit_knn", {"k": 1}, "logit_knn_k1"),
        ("prob_knn", {"k": 1}, "prob_knn_k1"),
        ("logit_mahalanobis", {}, "logit_maha"),
        ("prob_mahalanobis", {}, "prob_maha"),
    ],
)
def test_worked_example(name, hyperparameters, key):
    fitted = detector(name, **hyperparameters).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(QUERIES), tensor(VALUES[key]), **EXACT)
