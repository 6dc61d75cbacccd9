"""Detectors of features and the head against numbers, and against the invariances of their mathematics.

Numbers are the unrounded worked examples of the specification, NumPy's or SciPy's, or paper arithmetic.
"""

import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import ash, gradorth, nnguide, she
from methods.detectors._subspace import principal_axes, sample
from methods.detectors.ash import ASH
from methods.detectors.dice import DICE
from methods.detectors.energy import Energy
from methods.detectors.fdbd import FDBD
from methods.detectors.gradnorm import GradNorm
from methods.detectors.gradorth import GradOrth
from methods.detectors.nnguide import NNGuide
from methods.detectors.relative_mahalanobis import RelativeMahalanobis
from methods.detectors.residual import Residual, published_dim
from methods.detectors.scale import Scale
from methods.detectors.she import SHE
from methods.detectors.vim import ViM
from methods.registry import detector

WORKED = json.loads((Path(__file__).parent / "feature_worked_examples.json").read_text())
VALUES = WORKED["values"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


F1 = {key: tensor(value) for key, value in WORKED["inputs"]["F1"].items()}
HEAD = Head(F1["W"], F1["b"])


def features(h, labels=None, head=HEAD):
    return Features(h @ head.weight.T + head.bias, h, labels)


TRAIN = features(F1["H"], F1["Y"].long())
QUERIES = features(F1["Q"])


@pytest.mark.parametrize(
    ("name", "hyperparameters", "key"),
    [
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
    ],
)
def test_worked_example(name, hyperparameters, key):
    fitted = detector(name, **hyperparameters).fit(TRAIN, QUERIES, HEAD)
    assert_close(fitted.score(QUERIES), tensor(VALUES[key]), **EXACT)


ROTATION = torch.linalg.qr(tensor(np.random.default_rng(0).normal(size=(4, 4)).tolist())).Q


@pytest.mark.parametrize(
    ("name", "hyperparameters"),
    [
        ("relative_mahalanobis", {}),
        ("gradorth", {}),
        ("residual", {}),
        ("vim", {}),
        *(("she", {"metric": metric}) for metric in get_args(she.Metric)),
        ("nnguide", {"k": 2}),
        ("fdbd", {}),
    ],
)
def test_a_rotation_of_the_feature_space_changes_no_score(name, hyperparameters):
    head = Head(F1["W"] @ ROTATION, F1["b"])
    train = features(F1["H"] @ ROTATION, TRAIN.labels, head)
    rotated = detector(name, **hyperparameters).fit(train, train, head)
    expected = detector(name, **hyperparameters).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(rotated.score(features(F1["Q"] @ ROTATION, head=head)), expected, **EXACT)


def test_relative_mahalanobis_drops_from_both_distances_what_cancels():
    fitted = RelativeMahalanobis().fit(TRAIN, TRAIN, HEAD)
    d0, dc = tensor(VALUES["rmd.d0"]), tensor(VALUES["rmd.d0"]) - tensor(VALUES["relative_mahalanobis"])
    dropped = d0 - fitted.background.nearest(F1["Q"])
    assert_close(dc - fitted.classwise.nearest(F1["Q"]), dropped, rtol=1e-12, atol=1e-9)  # of some 7e3
    assert (dropped > 0.1).all()  # the fourth direction: three class means differ in two


def test_relative_mahalanobis_does_not_depend_on_affine_coordinates():
    stretch, shift = torch.diag(tensor([1.0, 2.0, 0.5, 4.0])) @ ROTATION, tensor([1.0, -2.0, 3.0, 0.5])
    train = features(F1["H"] @ stretch + shift, TRAIN.labels)
    moved = RelativeMahalanobis().fit(train, train, HEAD).score(features(F1["Q"] @ stretch + shift))
    # The stretch adds up to 64 to a condition number of some 1e2.
    assert_close(moved, tensor(VALUES["relative_mahalanobis"]), rtol=1e-11, atol=1e-11)


def test_relative_mahalanobis_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        RelativeMahalanobis().fit(train, train, HEAD)


def test_principal_axes_are_the_worked_singular_values():
    eigenvalues, axes = principal_axes(F1["H"])
    assert_close((9 * eigenvalues).sqrt(), tensor(VALUES["gradorth.sv"]), **EXACT)
    assert_close(eigenvalues.cumsum(0) / eigenvalues.sum(), tensor(VALUES["gradorth.cum"]), **EXACT)
    assert_close(axes @ torch.diag(eigenvalues) @ axes.T, F1["H"].T @ F1["H"] / 9, **EXACT)


def test_principal_axes_of_a_singular_matrix_have_no_negative_eigenvalue():
    rows = tensor(np.random.default_rng(0).normal(size=(50, 1)).tolist()) @ torch.ones(1, 20).double()
    assert principal_axes(rows)[0].min() >= 0  # rounding leaves some of the 19 zeros below 0


def test_a_sample_is_drawn_from_the_generator_alone():
    drawn = sample(TRAIN, 5, torch.Generator().manual_seed(4))
    expected = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    assert torch.equal(drawn.penultimate, F1["H"][expected])
    with pytest.raises(ValueError, match=r"rng: 5 of 9 training images are drawn; pass a torch.Generator"):
        sample(TRAIN, 5, None)


def test_a_sample_of_everything_draws_nothing():
    rng = torch.Generator().manual_seed(4)
    before = rng.get_state()
    assert torch.equal(sample(TRAIN, 9, rng).penultimate, F1["H"])
    assert torch.equal(rng.get_state(), before)


@pytest.mark.parametrize(("share", "k"), [(0.5, 1), (0.97, 2), (0.99, 3), (0.999, 4), (1.0, 4)])
def test_gradorth_keeps_the_fewest_directions_of_that_share(share, k):
    # The worked cumulative shares are 0.543, 0.989, 0.997 and 1.
    assert GradOrth(share).fit(TRAIN, TRAIN, HEAD).basis.shape == (4, k)


def test_gradorth_of_the_whole_space_is_gradnorm():
    expected = GradNorm(norm="l2").fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(GradOrth(1.0).fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


def test_gradorth_sees_nothing_orthogonal_to_the_training_features():
    train = features(torch.cat([F1["H"][:, :3], torch.zeros(9, 1)], dim=1))
    fitted = GradOrth(1.0).fit(train, train, HEAD)
    assert_close(fitted.score(features(tensor([[0.0, 0.0, 0.0, 7.0]]))), tensor([0.0]), **EXACT)


def test_gradorth_takes_its_subspace_from_a_sample(monkeypatch):
    monkeypatch.setattr(gradorth, "SAMPLES", 5)
    fitted = GradOrth().fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    rows = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    assert torch.equal(fitted.score(QUERIES), GradOrth().fit(TRAIN[rows], TRAIN, HEAD).score(QUERIES))


def test_gradorth_of_features_that_are_all_zero():
    train = features(torch.zeros(9, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="penultimate: every training feature is zero"):
        GradOrth().fit(train, train, HEAD)


def test_residual_learns_the_statistics_of_the_worked_example():
    fitted = Residual(dim=2).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.origin, tensor(VALUES["vim.u"]), **EXACT)
    assert_close(fitted.eigenvalues, tensor(VALUES["vim.eig"]), **EXACT)
    assert_close(fitted.score(QUERIES), -tensor(VALUES["vim.res"]), **EXACT)


def test_a_step_within_the_principal_subspace_leaves_the_residual():
    fitted = Residual(dim=2).fit(TRAIN, TRAIN, HEAD)
    step = tensor([1.0, 2.0, 3.0, 4.0])
    within = step - fitted.basis @ (fitted.basis.T @ step)
    assert within.norm() > 1
    assert_close(fitted.score(features(F1["Q"] + within)), -tensor(VALUES["vim.res"]), **EXACT)


@pytest.mark.parametrize(
    ("width", "dim"), [(4096, 1000), (2048, 1000), (2047, 512), (768, 512), (767, 383), (512, 256)]
)
def test_published_dimension_of_the_principal_subspace(width, dim):
    assert published_dim(width) == dim


def test_residual_origin_survives_weights_that_sum_to_zero_but_for_float32():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(4, 6)), np.array([0.3, -0.1, 0.2, 0.4])
    weight -= weight.mean(axis=0)  # float32 leaves a fourth singular value of some 1e-8 of the largest
    train = features(tensor(rng.normal(size=(9, 6)).tolist()), head=Head(weight, bias))
    exact = Residual().fit(train, train, Head(weight, bias)).origin
    single = Residual().fit(train, train, Head(weight.astype(np.float32), bias.astype(np.float32))).origin
    assert_close(exact, torch.from_numpy(-np.linalg.pinv(weight, rcond=1e-10) @ bias), **EXACT)
    assert_close(single, exact, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_a_principal_subspace_must_leave_a_residual(name):
    with pytest.raises(
        HyperparameterError, match=r"dim: expected less than the number of features, 4, got 4"
    ):
        detector(name, dim=4).fit(TRAIN, TRAIN, HEAD)


@pytest.mark.parametrize("name", ["residual", "vim"])
def test_a_principal_subspace_needs_as_many_images_as_features(name):
    detector(name).fit(TRAIN[:4], TRAIN, HEAD)
    with pytest.raises(NotApplicable, match="4 features need as many training images, there are 3"):
        detector(name).fit(TRAIN[:3], TRAIN, HEAD)


def test_the_virtual_logit_is_as_large_as_the_largest_on_average():
    fitted = ViM(dim=2).fit(TRAIN, TRAIN, HEAD)
    assert fitted.alpha == pytest.approx(VALUES["vim.alpha"], rel=1e-12)
    virtual = -fitted.alpha * fitted.residual.score(TRAIN)
    assert_close(virtual.mean(), TRAIN.logits.amax(dim=1).mean(), **EXACT)


def test_vim_ranks_as_the_softmax_with_the_virtual_logit():
    virtual = VALUES["vim.alpha"] * np.array(VALUES["vim.res"])
    outlier = softmax(np.column_stack([QUERIES.logits.numpy(), virtual]), axis=1)[:, -1]
    scores = ViM(dim=2).fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(torch.sigmoid(-scores), torch.from_numpy(outlier), **EXACT)


def test_vim_of_features_that_stay_in_the_principal_subspace():
    h = F1["H"].clone()
    h[:, 2:] = h[:, :2]
    head = Head(F1["W"])  # no bias, so that the origin is zero
    train = features(h, head=head)
    with pytest.raises(NotApplicable, match="no training feature leaves the principal subspace"):
        ViM(dim=2).fit(train, train, head)
    ViM(dim=1).fit(train, train, head)


@pytest.mark.parametrize("percentile", [50, 70])
def test_dice_keeps_the_weights_of_the_worked_example(percentile):
    fitted = DICE(percentile=float(percentile)).fit(TRAIN, TRAIN, HEAD)
    assert fitted.threshold == pytest.approx(VALUES[f"dice.t{percentile}"], rel=1e-12)
    assert_close(fitted.weight, F1["W"] * tensor(VALUES[f"dice.mask{percentile}"]), **EXACT)


@pytest.mark.parametrize(("classes", "kept"), [(999, 100), (1000, 300)])
def test_dice_published_sparsity_is_of_the_number_of_classes(classes, kept):
    head = Head(1.0 + torch.arange(classes).double()[:, None])  # contributions 1, 2, …, K
    train = features(torch.ones(1, 1).double(), head=head)
    assert int((DICE().fit(train, train, head).weight > 0).sum()) == kept


def test_dice_drops_weights_at_the_threshold():
    head = Head(torch.ones(3, 4).double(), F1["b"])
    train = features(torch.ones(1, 4).double(), head=head)
    fitted = DICE(percentile=0.0).fit(train, train, head)
    # All contributions are equal, so all go, and the bias alone is left.
    assert_close(fitted.score(QUERIES), torch.logsumexp(F1["b"], dim=0).expand(3), **EXACT)


def test_dice_of_signed_features_keeps_the_negative_weights_of_negative_means():
    head = Head([[1.0, -1.0]])
    train = features(torch.tensor([[-2.0, -1.0], [0.0, -1.0]]), head=head)
    fitted = DICE(percentile=50.0).fit(train, train, head)
    # Means -1, -1; contributions -1, 1; threshold 0; the logit of (-2, -3) is 3.
    assert fitted.score(Features([[0.0]], tensor([[-2.0, -3.0]]))).tolist() == [3.0]


def test_ash_sums_are_the_worked_ones():
    assert ash.count_kept(4, 50.0) == VALUES["ash.k"]
    top = torch.topk(F1["Q"], VALUES["ash.k"], dim=1).values
    ratio = tensor(VALUES["ash.s1"]) / tensor(VALUES["ash.s2"])
    assert_close(ash.amplification(F1["Q"], top), ratio.exp()[:, None], **EXACT)


@pytest.mark.parametrize(
    ("width", "percentile", "kept"), [(2048, 90.0, 205), (512, 95.0, 26), (4, 62.5, 2), (4, 0.0, 4)]
)
def test_the_number_of_kept_activations(width, percentile, kept):
    # 2048 - round(1843.2), 512 - round(486.4), 4 - round(2.5) with halves to even
    assert ash.count_kept(width, percentile) == kept


def test_without_pruning_ash_p_is_the_energy_and_ash_s_and_scale_that_of_e_times_the_features():
    energy, of_e = (Energy().score(features(h)) for h in (F1["Q"], math.e * F1["Q"]))
    for method, expected in [(ASH(0.0, "p"), energy), (ASH(0.0, "s"), of_e), (Scale(0.0), of_e)]:
        assert_close(method.fit(TRAIN, TRAIN, HEAD).score(QUERIES), expected, **EXACT)


@pytest.mark.parametrize("percentile", [0.0, 25.0, 50.0])
def test_scale_is_ash_s_where_nothing_is_pruned_away(percentile):
    sparse = features(tensor([[3.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.0, 0.0]]))
    scores = [m.fit(TRAIN, TRAIN, HEAD).score(sparse) for m in (Scale(percentile), ASH(percentile))]
    assert_close(*scores, **EXACT)


@pytest.mark.parametrize("method", [ASH(50.0, "s"), ASH(50.0, "p"), ASH(50.0, "b"), Scale(50.0)], ids=repr)
def test_shaping_zeros_leaves_the_bias(method):
    scores = method.fit(TRAIN, TRAIN, HEAD).score(features(torch.zeros(1, 4, dtype=torch.float64)))
    assert_close(scores, torch.logsumexp(F1["b"], dim=0)[None], **EXACT)


@pytest.mark.parametrize(
    ("h", "factor"),
    [
        ([1.0, 2.0, -1.0, 0.0], 1.0),  # 2 / 2
        ([-1.0, -2.0, -4.0, -1.0], 8.0),  # -8 / -1
        ([0.1, -2.0, -3.0, -1.0], 0.0),  # -59, from below
        ([0.0, -2.0, -3.0, -1.0], 0.0),  # -inf
        ([0.1, 0.1, 0.1, 0.1], 4.0),
        ([-1.0, -9.0, -9.0, -9.0], 20.0),  # 28, from above
    ],
)
def test_the_ratio_of_signed_features_is_limited(h, factor):
    h = tensor([h])
    fitted = Scale(75.0).fit(TRAIN, TRAIN, HEAD)
    assert_close(fitted.score(features(h)), Energy().score(features(h * math.exp(factor))), **EXACT)


@pytest.mark.parametrize("method", [ASH(50.0), Scale(50.0)], ids=["ash", "scale"])
def test_networks_whose_largest_features_sum_to_nothing_cannot_be_scaled(method):
    def train(not_positive):
        h = torch.ones(100, 4)
        h[:not_positive, :3] = -1.0  # the two largest: 1 and -1, which sum to 0
        return features(h.double())

    method.fit(train(1), TRAIN, HEAD)
    message = "the 2 largest features sum to 0 or less for 2.0% of training images, more than 1%"
    with pytest.raises(NotApplicable, match=message):
        method.fit(train(2), TRAIN, HEAD)


@pytest.mark.parametrize(
    ("variant", "shaped"), [("p", [[0.0, -1.0, 0.0, -2.0]]), ("b", [[0.0, -5.0, 0.0, -5.0]])]
)
def test_ash_p_and_b_take_signed_features_as_they_are(variant, shaped):
    negative = features(-torch.ones(9, 4, dtype=torch.float64))
    fitted = ASH(50.0, variant).fit(negative, negative, HEAD)
    scores = fitted.score(features(tensor([[-3.0, -1.0, -4.0, -2.0]])))  # s1 = -10, k = 2
    assert_close(scores, Energy().score(features(tensor(shaped))), **EXACT)


@pytest.mark.parametrize("method", [ASH(), Scale(percentile=90.0)], ids=["ash", "scale"])
def test_shaping_refuses_to_remove_every_feature(method):
    with pytest.raises(HyperparameterError, match=r"percentile: 90.0 removes all of 4 features"):
        method.fit(TRAIN, TRAIN, HEAD)


def test_she_patterns_are_of_correctly_classified_images_where_there_are_any():
    patterns = SHE().fit(TRAIN, TRAIN, HEAD).patterns
    assert_close(patterns[:2], tensor(VALUES["she.patterns"][:2]), **EXACT)
    # No image of class 2 is classified correctly: the mean of its three images, where the release has zeros.
    assert_close(patterns[2], tensor([0.4 / 3, 0.4 / 3, 0.1, 0.1]), **EXACT)


def test_she_leaves_out_images_that_are_classified_wrongly():
    wrong = features(tensor([[0.0, 9.0, 0.0, 9.0]]), torch.tensor([0]))
    assert wrong.logits.argmax() == 1
    train = features(torch.cat([F1["H"], wrong.penultimate]), torch.cat([TRAIN.labels, wrong.labels]))
    patterns = SHE().fit(train, train, HEAD).patterns
    assert_close(patterns, SHE().fit(TRAIN, TRAIN, HEAD).patterns, **EXACT)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_she_metrics_are_those_of_scipy(metric):
    fitted = SHE(metric).fit(TRAIN, TRAIN, HEAD)
    rows = np.concatenate([F1["Q"], F1["H"]])
    scores = fitted.score(features(tensor(rows.tolist())))
    predicted = (rows @ F1["W"].numpy().T + F1["b"].numpy()).argmax(axis=1)
    distances = cdist(rows, fitted.patterns.numpy(), metric)[np.arange(len(rows)), predicted]
    expected = 1 - distances if metric == "cosine" else -distances
    assert_close(scores, torch.from_numpy(expected), **EXACT)


def test_she_predicts_the_lowest_of_equal_classes():
    scores = SHE().fit(TRAIN, TRAIN, HEAD).score(Features(tensor([[0.0, 1.0, 1.0]]), F1["Q"][:1]))
    assert_close(scores, F1["Q"][:1] @ tensor(VALUES["she.patterns"][1]), **EXACT)


def test_she_cosine_of_features_that_are_all_zero():
    zeros = features(torch.zeros(1, 4, dtype=torch.float64))
    assert SHE("cosine").fit(TRAIN, TRAIN, HEAD).score(zeros).tolist() == [0.0]


def test_she_names_the_class_without_images():
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        SHE().fit(train, train, HEAD)


def test_nnguide_guidance_in_blocks_of_any_size(monkeypatch):
    fitted = NNGuide(k=2).fit(TRAIN, TRAIN, HEAD)
    energy = Energy().score(QUERIES)
    for similarities in (1, 18, 2**24):  # one row at a time, two, all
        monkeypatch.setattr(nnguide, "SIMILARITIES", similarities)
        assert_close(fitted.score(QUERIES) / energy, tensor(VALUES["nnguide.guidance"]), **EXACT)


def test_nnguide_does_not_depend_on_the_norm_of_features():
    lengths = torch.arange(1.0, 10.0, dtype=torch.float64)[:, None]
    train = Features(TRAIN.logits, lengths * F1["H"])
    queries = Features(QUERIES.logits, lengths[:3] * F1["Q"])
    scores = NNGuide(k=2).fit(train, train, HEAD).score(queries)
    assert_close(scores, tensor(VALUES["nnguide"]), **EXACT)


def test_nnguide_takes_the_largest_of_scaled_similarities():
    # One class: the energy is the logit. Cosines 1 and 0.6, times energies 1 and 10: the second is larger.
    bank = Features(tensor([[1.0], [10.0]]), tensor([[2.0, 0.0], [3.0, 4.0]]))
    scores = (
        NNGuide(k=1).fit(bank, bank, HEAD).score(Features(tensor([[2.0], [-2.0]]), tensor([[5.0, 0.0]] * 2)))
    )
    assert_close(scores, tensor([12.0, -12.0]), **EXACT)  # a negative energy turns the sign


@pytest.mark.parametrize(
    ("fraction", "images", "size"),
    [(None, 99_000, 990), (None, 100_000, 1000), (0.1, 500, 50), (1.0, 500, 500), (0.001, 500, 1)],
)
def test_nnguide_size_of_the_bank(fraction, images, size):
    # 1 % of 99,000 would be below 1000 images, so all are taken.
    train = Features(torch.zeros(images, 1), torch.ones(images, 1))
    fitted = NNGuide(k=1, fraction=fraction).fit(train, train, HEAD, torch.Generator().manual_seed(0))
    assert len(fitted.bank) == (images if size == 990 else size)


def test_nnguide_draws_features_and_logits_of_the_same_images():
    rows = torch.randperm(9, generator=torch.Generator().manual_seed(4))[:5]
    expected = NNGuide(k=2).fit(TRAIN[rows], TRAIN, HEAD).score(QUERIES)
    drawn = NNGuide(k=2, fraction=0.5).fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    assert len(drawn.bank) == 4  # a half to even
    drawn = NNGuide(k=2, fraction=0.6).fit(TRAIN, TRAIN, HEAD, torch.Generator().manual_seed(4))
    assert torch.equal(drawn.score(QUERIES), expected)


def test_nnguide_refuses_a_k_beyond_the_bank():
    with pytest.raises(HyperparameterError, match=r"k: expected at most the size of the bank, 9, got 10"):
        NNGuide().fit(TRAIN, TRAIN, HEAD)


def test_fdbd_average_form_is_a_constant_factor():
    scores = FDBD().fit(TRAIN, TRAIN, HEAD).score(QUERIES)
    assert_close(scores / 2, tensor(VALUES["fdbd_mean"]), **EXACT)  # K - 1


def test_fdbd_does_not_depend_on_what_the_softmax_cannot_see():
    # One vector added to every weight moves all logits alike; a common factor moves no boundary.
    head = Head(3 * (F1["W"] + tensor([1.0, -2.0, 0.5, 3.0])), 3 * (F1["b"] + 0.7))
    train = features(F1["H"], head=head)
    scores = FDBD().fit(train, train, head).score(QUERIES)
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_does_not_depend_on_the_origin_of_features():
    shift = tensor([1.0, -2.0, 0.5, 3.0])
    head = Head(F1["W"], F1["b"] - F1["W"] @ shift)
    train = features(F1["H"] + shift, head=head)
    scores = FDBD().fit(train, train, head).score(features(F1["Q"] + shift, head=head))
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_leaves_out_a_class_of_the_same_weights():
    twice = Head(torch.cat([F1["W"], F1["W"][:1]]), torch.cat([F1["b"], F1["b"][:1] - 5]))
    train = features(F1["H"], head=twice)
    # All three are predicted as class 0.
    scores = FDBD().fit(train, train, twice).score(features(F1["Q"], head=twice))
    assert_close(scores, tensor(VALUES["fdbd"]), **EXACT)


def test_fdbd_at_the_mean_is_finite():
    train = TRAIN[:1]
    scores = FDBD().fit(train, train, HEAD).score(train)
    # Logits 2.6, -1, -1.6; weights √(2.25 + 2.25 + 0.25 + 0.25) and √(2.25 + 0 + 1 + 0.25) apart.
    assert_close(scores, tensor([(3.6 / math.sqrt(5) + 4.2 / math.sqrt(3.5)) * 1e12]), **EXACT)


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("gradorth", "energy_share", 0.0, "above 0 and at most 1, got 0.0"),
        ("gradorth", "energy_share", 1.5, "above 0 and at most 1, got 1.5"),
        ("gradorth", "energy_share", math.nan, "above 0 and at most 1, got nan"),
        ("residual", "dim", 0, "None or at least 1, got 0"),
        ("vim", "dim", 0, "None or at least 1, got 0"),
        ("dice", "percentile", -1.0, "None or a number from 0 to 100, got -1.0"),
        ("dice", "percentile", 100.5, "None or a number from 0 to 100, got 100.5"),
        ("dice", "percentile", math.nan, "None or a number from 0 to 100, got nan"),
        ("ash", "percentile", -1.0, "a number of at least 0, below 100, got -1.0"),
        ("ash", "percentile", 100.0, "a number of at least 0, below 100, got 100.0"),
        ("ash", "percentile", math.nan, "a number of at least 0, below 100, got nan"),
        ("scale", "percentile", -1.0, "a number of at least 0, below 100, got -1.0"),
        ("scale", "percentile", 100.0, "a number of at least 0, below 100, got 100.0"),
        ("scale", "percentile", math.nan, "a number of at least 0, below 100, got nan"),
        ("nnguide", "k", 0, "at least 1, got 0"),
        ("nnguide", "fraction", 0.0, "None or above 0 and at most 1, got 0.0"),
        ("nnguide", "fraction", 1.5, "None or above 0 and at most 1, got 1.5"),
        ("nnguide", "fraction", math.nan, "None or above 0 and at most 1, got nan"),
    ],
)
def test_a_hyperparameter_out_of_range(name, key, value, expected):
    with pytest.raises(HyperparameterError, match=f"^{name}: {key}: expected {expected}$"):
        detector(name, **{key: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ASH(variant="r"), "variant: expected one of s, p, b, got 'r'"),
        (lambda: SHE(metric="dot"), "metric: expected one of inner, euclidean, cosine, got 'dot'"),
        (lambda: FDBD(centre="median"), "centre: expected one of mean, zero, got 'median'"),
    ],
)
def test_a_choice_that_there_is_not(make, message):
    with pytest.raises(ValueError, match=message):
        make()
