"""Classic detectors, and what they share, against numbers, scikit-learn, SciPy and slow transcriptions."""

import json
import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal, weibull_min
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import NearestNeighbors
from torch.testing import assert_close

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import _kmeans, _mixture, _nearest, gmm, openmax, relation
from methods.detectors._averaging import Statistic, agreement
from methods.detectors._kmeans import kmeans
from methods.detectors._nearest import kth_distance, largest, largest_products
from methods.detectors.energy import Energy
from methods.detectors.ensemble import Ensemble
from methods.detectors.gmm import GMM
from methods.detectors.iodin import IODIN
from methods.detectors.knn import KNN
from methods.detectors.mahalanobis import Mahalanobis
from methods.detectors.mc_dropout import MCDropout
from methods.detectors.msp import MSP
from methods.detectors.nci import NCI
from methods.detectors.nnguide import NNGuide
from methods.detectors.odin import ODIN
from methods.detectors.openmax import OpenMax, weibull
from methods.detectors.react import ReAct
from methods.detectors.relation import Relation
from methods.detectors.ssd_score import SSDScore
from methods.detectors.vra import VRA
from methods.registry import detector

HERE = Path(__file__).parent
WORKED = json.loads((HERE / "classic_worked_examples.json").read_text())
VALUES, MEMBERS = WORKED["values"], WORKED["inputs"]["ens"]
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


F1 = {
    key: tensor(value)
    for key, value in json.loads((HERE / "worked_examples.json").read_text())["inputs"]["F1"].items()
}
HEAD = Head(F1["W"], F1["b"])


def features(h, labels=None, head=HEAD):
    return Features(h @ head.weight.T + head.bias, h, labels)


TRAIN = features(F1["H"], F1["Y"].long())
QUERIES = features(F1["Q"])


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def blobs(each=60, width=3, clusters=3, apart=8.0):
    """Points about `clusters` corners, in turn."""
    labels = torch.arange(each * clusters) % clusters
    return normal(len(labels), width) + apart * torch.eye(clusters, width).double()[labels], labels


# --- nearest neighbours ---


@pytest.mark.parametrize("search", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "width", "k"), [(7, 3, 1), (7, 3, 7), (40, 5, 40), (2000, 20, 13), (2000, 2, 1)]
)
def test_kth_distance_is_that_of_scikit_learn(rows, width, k, search):
    bank, queries = normal(rows, width), normal(50, width, seed=1)
    expected = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(bank).kneighbors(queries)[0][:, -1]
    exact = torch.linalg.vector_norm(queries[:, None] - bank, dim=2).kthvalue(k, dim=1).values
    for at_once in (1, 3 * rows, None):
        found = kth_distance(queries, bank, k, search, at_once)
        assert_close(found, exact, **EXACT)
        assert_close(found, torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("apart", [1e-3, 1e-6, 1e-9, 0.0])
@pytest.mark.parametrize("search", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 100, 1500])
def test_kth_distance_among_neighbours_that_float32_cannot_tell_apart(apart, search, k):
    # All lie within `apart` of one point of length 1: float32 rounds their inner products alike.
    centre = torch.nn.functional.normalize(normal(1, 64), dim=1)
    bank, queries = centre + apart * normal(3000, 64, seed=1), centre + apart * normal(20, 64, seed=2)
    exact = torch.linalg.vector_norm(queries[:, None] - bank, dim=2).kthvalue(k, dim=1).values
    found = kth_distance(queries, bank, k, search)
    assert_close(found, exact, rtol=1e-12, atol=0.0)
    alone = torch.cat([kth_distance(query[None], bank, k, search) for query in queries])
    assert_close(alone, found, rtol=1e-12, atol=0.0)


def test_a_float32_search_alone_would_not_do():
    # What the test above would not see if float32 told these neighbours apart.
    centre = torch.nn.functional.normalize(normal(1, 64), dim=1)
    bank, query = centre + 1e-6 * normal(3000, 64, seed=1), centre + 1e-6 * normal(1, 64, seed=2)
    found = (query.float() @ bank.float().T).topk(100, dim=1).indices[0, -1]
    exact = torch.linalg.vector_norm(query - bank, dim=1)
    assert abs(float(exact[found] - exact.kthvalue(100).values)) > 1e-9


@pytest.mark.parametrize("search", [torch.float32, torch.float64])
def test_largest_products_are_those_of_all(search):
    bank, queries = 3 * normal(2000, 20), normal(30, 20, seed=1)
    bank[500:900] = bank[500]  # many alike, among the largest of some
    expected = (queries @ bank.T).topk(10, dim=1).values
    for at_once in (1, 6000, None):
        assert_close(largest_products(queries, bank, 10, search, at_once), expected, **EXACT)
    assert_close(
        largest_products(queries, bank[:10], 10, search), (queries @ bank[:10].T).topk(10).values, **EXACT
    )


@pytest.mark.parametrize("spread", [1e-4, 1e-7])
def test_largest_products_of_rows_that_float32_cannot_tell_apart(spread):
    bank, queries = 1 + spread * normal(3000, 50), 1 + spread * normal(20, 50, seed=1)
    expected = (queries @ bank.T).topk(10, dim=1).values
    assert_close(largest_products(queries, bank, 10, torch.float32), expected, rtol=1e-14, atol=0.0)


@pytest.mark.parametrize(("columns", "k"), [(1, 1), (31, 5), (64, 1), (1000, 3), (1003, 15), (1003, 1003)])
def test_largest_is_topk(columns, k):
    values = normal(20, columns).round(decimals=1)  # with ties
    found, where = largest(values, k)
    assert torch.equal(found, values.topk(k, dim=1).values)
    assert torch.equal(values.gather(1, where), found)
    assert all(len(set(row)) == k for row in where.tolist())


@pytest.mark.parametrize(("method", "wide"), [(KNN(k=3), False), (NNGuide(k=3), True)])
def test_float32_features_are_searched_in_float32(method, wide, monkeypatch):
    seen = []
    name = "largest_products" if wide else "kth_distance"
    module = __import__(type(method).__module__, fromlist=["x"])
    real = getattr(module, name)
    monkeypatch.setattr(module, name, lambda *a: seen.append(a[3]) or real(*a))
    h, labels = blobs(200, width=16)
    train = Features(h[:, :3], h, labels)
    single = Features(h[:, :3].float(), h.float(), labels)
    exact = method.fit(single, single, HEAD).score(
        Features(single.logits.double(), single.penultimate.double())
    )
    assert_close(method.fit(single, single, HEAD).score(single), exact, **EXACT)
    assert_close(method.fit(train, train, HEAD).score(train), exact, rtol=1e-5, atol=1e-5)
    assert seen == [torch.float64, torch.float32, torch.float64]


# --- k-means and ssd_score ---


def test_ssd_score_worked_example():
    scores = SSDScore().fit(TRAIN, QUERIES, HEAD).score(QUERIES)
    assert_close(scores, tensor(VALUES["ssd_score"]), rtol=1e-10, atol=1e-10)


def test_ssd_score_needs_no_labels_and_no_norm():
    train = Features(TRAIN.logits, torch.arange(1, 10)[:, None] * F1["H"])
    scores = SSDScore().fit(train, train, HEAD).score(Features(QUERIES.logits, 7 * F1["Q"]))
    assert_close(scores, tensor(VALUES["ssd_score"]), rtol=1e-10, atol=1e-10)


def test_ssd_score_of_clusters_is_the_distance_to_the_nearest():
    h, labels = blobs(apart=20.0)
    queries = 5 * normal(40, 3, seed=3)
    scores = (
        SSDScore(clusters=3)
        .fit(Features(h, h), Features(h, h), HEAD, rng())
        .score(Features(queries, queries))
    )
    x, q = (v.numpy() / np.linalg.norm(v, axis=1, keepdims=True) for v in (h, queries))
    mean, std = x.mean(0), x.std(0) + 1e-10
    x, q = (x - mean) / std, (q - mean) / std
    expected = []
    for k in range(3):
        own = x[labels == k]
        inverse = np.linalg.pinv(np.cov(own.T, bias=True), rcond=1e-10, hermitian=True)
        apart = q - own.mean(0)
        expected.append(np.einsum("nd,de,ne->n", apart, inverse, apart))
    assert_close(scores, -torch.from_numpy(np.min(expected, axis=0)), rtol=1e-9, atol=1e-9)


def test_ssd_score_leaves_out_what_does_not_vary_in_training():
    h = torch.cat([normal(50, 3), torch.zeros(50, 1).double()], dim=1)
    query = normal(5, 4, seed=1)
    scores = SSDScore().fit(Features(h, h), Features(h, h), HEAD).score(Features(query, query))
    x, q = (v.numpy() / np.linalg.norm(v, axis=1, keepdims=True) for v in (h, query))
    inverse = np.linalg.inv(np.cov(x[:, :3].T, bias=True))
    apart = q[:, :3] - x[:, :3].mean(0)
    # The fourth feature changes the length alone. Scales cancel, but for the 1e-10 that is added to them.
    assert_close(
        scores, -torch.from_numpy(np.einsum("nd,de,ne->n", apart, inverse, apart)), rtol=1e-8, atol=1e-8
    )


def test_ssd_score_errors():
    h, _ = blobs(each=4)
    same = torch.ones(9, 4).double()
    with pytest.raises(ValueError, match="penultimate: no normalised feature varies"):
        SSDScore().fit(Features(same, same))
    with pytest.raises(ValueError, match=r"rng: the start of 2 clusters is drawn; pass a torch.Generator"):
        SSDScore(clusters=2).fit(TRAIN, TRAIN, HEAD)
    with pytest.raises(
        NotApplicable, match=r"smallest of 4 clusters has \d training images, too few .* 3 features"
    ):
        SSDScore(clusters=4).fit(Features(h, h), rng=rng())
    twice = torch.cat([h[:2]] * 9)
    with pytest.raises(HyperparameterError, match="clusters: there are only 2 different rows for 3 clusters"):
        SSDScore(clusters=3).fit(Features(twice, twice), rng=rng())


@pytest.mark.parametrize("seed", range(5))
def test_kmeans_finds_what_scikit_learn_finds(seed):
    h, labels = blobs()
    found = kmeans(h, 3, rng(seed))
    expected = KMeans(3, n_init=10, random_state=0).fit_predict(h)
    assert len(set(zip(found.tolist(), expected.tolist(), strict=True))) == 3
    assert len(set(zip(found.tolist(), labels.tolist(), strict=True))) == 3


def test_kmeans_ends_where_every_row_is_with_its_nearest_mean():
    h = normal(500, 4)
    found = kmeans(h, 7, rng())
    means = torch.stack([h[found == k].mean(dim=0) for k in range(7)])
    assert torch.equal(torch.cdist(h, means).argmin(dim=1), found)
    assert torch.equal(kmeans(h, 7, rng()), found)
    assert not torch.equal(kmeans(h, 7, rng(1)), found)


def test_kmeans_fills_an_empty_cluster_with_the_farthest_row_that_its_own_can_spare():
    found = _kmeans._without_empty(torch.tensor([0, 0, 3, 0]), tensor([1.0, 4.0, 9.0, 2.0]), 4)
    assert found.tolist() == [0, 1, 3, 2]  # the third row, though farther, is alone


# --- averages ---

LOGITS = tensor(MEMBERS["p"]).log()  # (M, N, K)


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("msp", VALUES["ens.msp"]),
        ("entropy", [-v for v in VALUES["ens.H"]]),
        ("mutual_information", [-v for v in VALUES["ens.MI"]]),
    ],
)
def test_ensemble_worked_example(statistic, expected):
    members = [Features(z) for z in LOGITS]
    assert_close(Ensemble(3, statistic).score(members), tensor(expected), **EXACT)
    assert_close(Ensemble(3, statistic).score(members[::-1]), tensor(expected), **EXACT)


def test_ensemble_averages_probabilities_and_not_logits():
    z = tensor(MEMBERS["z"])
    assert_close(Ensemble(3).score([Features(m) for m in z]), tensor(VALUES["ens.probavg"]), **EXACT)
    averaged = z.mean(dim=0).softmax(dim=1).amax(dim=1)
    assert_close(averaged, tensor(VALUES["ens.logitavg"]), **EXACT)


def test_members_that_agree_have_no_mutual_information():
    alike = normal(5, 1, 4).expand(5, 3, 4)
    assert_close(agreement(alike, "mutual_information"), torch.zeros(5).double(), **EXACT)
    assert (agreement(normal(50, 3, 4), "mutual_information") < 0).all()


def test_averages_of_probabilities_that_are_zero():
    sure = tensor([[[2000.0, 0.0], [0.0, 2000.0]]])
    assert [float(agreement(sure, s)) for s in get_args(Statistic)] == pytest.approx(
        [0.5, -math.log(2), -math.log(2)], rel=1e-12
    )


def test_ensemble_errors():
    members = [Features(z) for z in LOGITS]
    with pytest.raises(ValueError, match="members: expected 5 networks, got 3"):
        Ensemble().score(members)
    odd = [*members[:2], Features(LOGITS[2][:1])]
    with pytest.raises(ValueError, match=r"members: expected logits of one shape, got \(1, 3\) and \(2, 3\)"):
        Ensemble(3).score(odd)


@pytest.mark.parametrize("statistic", get_args(Statistic))
def test_mc_dropout_is_the_average_over_its_masks(statistic):
    fitted = MCDropout(passes=4, rate=0.3, statistic=statistic).fit(TRAIN, TRAIN, HEAD, rng())
    expected = []
    for h in F1["Q"].numpy():
        p = [softmax(F1["W"].numpy() @ (m * h) + F1["b"].numpy()) for m in fitted.masks.numpy()]
        mean = np.mean(p, axis=0)
        entropies = [-(q * np.log(q)).sum() for q in p]
        total = -(mean * np.log(mean)).sum()
        expected.append(
            {"msp": mean.max(), "entropy": -total, "mutual_information": np.mean(entropies) - total}[
                statistic
            ]
        )
    assert_close(fitted.score(QUERIES), tensor(expected), **EXACT)


def test_mc_dropout_masks_are_those_of_the_seed_alone():
    fitted = MCDropout(passes=2000, rate=0.25).fit(TRAIN, TRAIN, HEAD, rng(4))
    other = MCDropout(passes=2000, rate=0.25).fit(QUERIES, TRAIN, HEAD, rng(4))
    assert torch.equal(fitted.masks, other.masks)
    assert set(fitted.masks.unique().tolist()) == {0.0, 1 / 0.75}
    assert_close(fitted.masks.mean(dim=0), torch.ones(4).double(), rtol=0.05, atol=0.05)
    assert not torch.equal(MCDropout(2000, 0.25).fit(TRAIN, TRAIN, HEAD, rng(5)).masks, fitted.masks)


def test_mc_dropout_in_blocks_of_any_size(monkeypatch):
    from methods.detectors import mc_dropout

    fitted = MCDropout().fit(TRAIN, TRAIN, HEAD, rng())
    expected = fitted.score(TRAIN)
    for held in (1, 2 * 90):
        monkeypatch.setattr(mc_dropout, "LOGITS", held)
        assert_close(fitted.score(TRAIN), expected, **EXACT)


def test_mc_dropout_that_leaves_out_next_to_nothing_is_msp():
    fitted = MCDropout(rate=1e-14).fit(TRAIN, TRAIN, HEAD, rng())
    assert_close(fitted.score(QUERIES), MSP().score(QUERIES), **EXACT)


def test_mc_dropout_needs_a_generator():
    with pytest.raises(ValueError, match=r"rng: 30 masks are drawn; pass a torch.Generator"):
        MCDropout().fit(TRAIN, TRAIN, HEAD)


# --- nci, vra ---


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.5])
def test_nci_is_its_formula(alpha):
    mean, w = F1["H"].numpy().mean(0), F1["W"].numpy()
    expected = []
    for h in F1["Q"].numpy():
        own = w[np.argmax(w @ h + F1["b"].numpy())]
        expected.append(own @ (h - mean) / np.linalg.norm(h - mean) + alpha * np.abs(h).sum())
    assert_close(NCI(alpha).fit(TRAIN, TRAIN, HEAD).score(QUERIES), tensor(expected), **EXACT)


def test_nci_grows_along_the_weight_of_the_class_and_with_length():
    w = F1["W"][0]
    mean = F1["H"].mean(dim=0)
    fitted = NCI(alpha=0.0).fit(TRAIN, TRAIN, HEAD)
    along = mean + tensor([[5.0], [50.0]]) * w
    assert_close(fitted.score(features(along)), w.norm().expand(2), **EXACT)
    longer = NCI(alpha=1.0).fit(TRAIN, TRAIN, HEAD).score(features(along))
    assert longer[1] > longer[0]


def test_nci_at_the_mean():
    train = TRAIN[:1]
    assert_close(NCI().fit(train, train, HEAD).score(train), tensor([3e-4]), **EXACT)  # α (2 + 0 + 1 + 0)


@pytest.mark.parametrize(("low", "high", "gamma"), [(0.6, 0.9, 0.0), (0.5, 0.8, 0.3), (0.0, 1.0, 0.1)])
def test_vra_is_its_formula(low, high, gamma):
    bank = F1["H"].numpy()
    expected = []
    for h in torch.cat([F1["Q"], F1["H"]]).numpy():
        shaped = []
        for d, value in enumerate(h):
            alpha, beta = np.quantile(bank[:, d], low), np.quantile(bank[:, d], high)
            shaped.append(0.0 if value < alpha else value + gamma if value <= beta else beta)
        expected.append(logsumexp(F1["W"].numpy() @ shaped + F1["b"].numpy()))
    both = features(torch.cat([F1["Q"], F1["H"]]))
    assert_close(VRA(low, high, gamma).fit(TRAIN, TRAIN, HEAD).score(both), tensor(expected), **EXACT)


def test_vra_without_limits_is_the_energy():
    assert_close(VRA(0.0, 1.0).fit(TRAIN, TRAIN, HEAD).score(TRAIN), Energy().score(TRAIN), **EXACT)


def test_vra_of_one_feature_that_is_only_cut_is_react():
    head, h = Head([[1.0], [-0.5]]), tensor([[0.0], [1.0], [2.0], [4.0], [8.0]])
    train = features(h, head=Head(head.weight.double()))
    react = ReAct(percentile=90.0).fit(train, train, head)
    assert_close(VRA(0.0, 0.9).fit(train, train, head).score(train), react.score(train), **EXACT)


def test_vra_raises_signed_features_that_are_low():
    h = tensor([[-3.0], [-2.0], [-1.0]])
    head = Head(tensor([[1.0]]))
    fitted = VRA(0.5, 1.0).fit(Features(h, h), Features(h, h), head)
    # α = -2, β = -1: -3 rises to 0, -2 and -1 stay, 5 is cut.
    assert fitted.score(Features(h, h)).tolist() == [0.0, -2.0, -1.0]
    assert fitted.score(Features(h[:1], tensor([[5.0]]))).tolist() == [-1.0]


# --- gmm ---


@pytest.mark.parametrize("covariance", get_args(gmm.Covariance))
@pytest.mark.parametrize("shrinkage", [1e-6, 0.5])
def test_gmm_of_classes_is_the_density_of_scipy(covariance, shrinkage):
    h, labels = blobs()
    h, labels = h[:-20], labels[:-20]  # of shares that differ
    h = torch.cat([h, h[labels == 0][:9]])
    labels = torch.cat([labels, torch.zeros(9, dtype=torch.long)])
    train, queries = Features(h[:, :3], h, labels), 4 * normal(30, 3, seed=1)
    fitted = GMM(covariance=covariance, shrinkage=shrinkage).fit(train, train, HEAD)
    own = [h[labels == k].numpy() for k in range(3)]
    tied = sum(np.cov(x.T, bias=True) * len(x) for x in own) / len(h)
    logs = [
        multivariate_normal(
            x.mean(0), (tied if covariance == "tied" else np.cov(x.T, bias=True)) + shrinkage * np.eye(3)
        ).logpdf(queries)
        + np.log(len(x) / len(h))
        for x in own
    ]
    expected = torch.from_numpy(logsumexp(logs, axis=0))
    assert_close(fitted.score(Features(queries, queries)), expected, rtol=1e-10, atol=1e-10)


def test_gmm_of_one_class_ranks_as_mahalanobis():
    h = normal(100, 4)
    train = Features(h[:, :1], h, torch.zeros(100, dtype=torch.long))
    queries = Features(h[:, :1], 3 * normal(100, 4, seed=1))
    density = GMM(shrinkage=0.0).fit(train, train, HEAD).score(queries)
    distance = Mahalanobis().fit(train, train, HEAD).score(queries)
    difference = density - distance / 2
    assert_close(difference, difference[:1].expand(100), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("covariance", get_args(gmm.Covariance))
@pytest.mark.parametrize("components", [1, 3])
def test_gmm_of_components_is_that_of_scikit_learn(covariance, components, monkeypatch):
    monkeypatch.setattr(gmm, "TOLERANCE", 1e-10)
    monkeypatch.setattr(gmm, "ITERATIONS", 2000)
    h, _ = blobs(apart=3.0)  # they overlap, so that shares are not whole
    train = Features(h, h)
    fitted = GMM(components, covariance).fit(train, train, HEAD, rng())
    start = torch.nn.functional.one_hot(kmeans(h, components, rng()), components).double()
    start = _mixture.Mixture.of(h, start, covariance == "tied", 1e-6)
    precisions = (start.roots @ start.roots.mT).numpy()
    oracle = GaussianMixture(
        components,
        covariance_type=covariance,
        tol=1e-10,
        max_iter=2000,
        weights_init=start.log_weights.exp().numpy(),
        means_init=start.means.numpy(),
        precisions_init=precisions[0] if covariance == "tied" else precisions,
    ).fit(h)
    queries = 3 * normal(30, 3, seed=1)
    expected = torch.from_numpy(oracle.score_samples(queries.numpy()))
    assert_close(fitted.score(Features(queries, queries)), expected, rtol=1e-6, atol=1e-6)
    assert_close(fitted.mixture.log_weights.exp(), torch.from_numpy(oracle.weights_), rtol=1e-5, atol=1e-5)


def test_gmm_components_gain_likelihood_over_their_start():
    h, _ = blobs(apart=3.0)
    train = Features(h, h)
    start = torch.nn.functional.one_hot(kmeans(h, 3, rng()), 3).double()
    before = _mixture.Mixture.of(h, start, True, 1e-6).log_densities(h).logsumexp(dim=1).mean()
    assert GMM(3).fit(train, train, HEAD, rng()).score(train).mean() > before


def test_gmm_errors():
    h = torch.cat([F1["H"][:, :3], torch.zeros(9, 1)], dim=1)
    singular = Features(TRAIN.logits, h, TRAIN.labels)
    with pytest.raises(NotApplicable, match="a covariance is singular; a larger shrinkage would do"):
        GMM(shrinkage=0.0).fit(singular, singular, HEAD)
    assert torch.isfinite(GMM().fit(singular, singular, HEAD).score(QUERIES)).all()
    train = TRAIN[TRAIN.labels != 1]
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        GMM().fit(train, train, HEAD)
    with pytest.raises(ValueError, match=r"rng: the start of 2 components is drawn; pass a torch.Generator"):
        GMM(components=2).fit(TRAIN, TRAIN, HEAD)
    with pytest.raises(HyperparameterError, match="components: there are only 9 different rows for 10"):
        GMM(components=10).fit(TRAIN, TRAIN, HEAD, rng())


# --- relation ---


def related(train, queries, power, threshold):
    scores = []
    for h, z in zip(queries.penultimate.numpy(), queries.logits.numpy(), strict=True):
        total = 0.0
        for other, logits in zip(train.penultimate.numpy(), train.logits.numpy(), strict=True):
            cosine = h @ other / (np.linalg.norm(h) * np.linalg.norm(other))
            relation = max(0.0, cosine) * (softmax(z) @ softmax(logits))
            total += relation**power if relation > threshold else 0.0
        scores.append(total)
    return tensor(scores)


@pytest.mark.parametrize(("power", "threshold"), [(1.0, 0.03), (4.0, 0.03), (0.5, 0.3), (1.0, 0.0)])
@pytest.mark.parametrize("held", [1, 7, 256])
def test_relation_is_its_formula(power, threshold, held, monkeypatch):
    monkeypatch.setattr(relation, "ROWS", held)
    h, labels = blobs(each=20, width=4, apart=2.0)
    train, queries = features(h, labels), features(2 * normal(25, 4, seed=1))
    fitted = Relation(power, threshold).fit(train, train, HEAD)
    assert_close(fitted.score(queries), related(train, queries, power, threshold), **EXACT)


def test_relation_of_an_image_that_relates_to_none():
    fitted = Relation().fit(TRAIN[:3], TRAIN, HEAD)
    opposite = Features(tensor([[0.0, 0.0, 30.0]]), F1["H"][:1])  # no probability in common
    reverse = Features(TRAIN.logits[:1], -F1["H"][:1])  # no cosine above 0
    assert fitted.score(opposite).tolist() == [0.0]
    assert fitted.score(reverse).tolist() == [0.0]
    assert fitted.score(Features(TRAIN.logits[:1], torch.zeros(1, 4).double())).tolist() == [0.0]


# --- iodin ---


def linear(weight):
    return lambda images: Features(images.flatten(1) @ weight.T)


def test_iodin_moves_the_most_important_number_alone():
    weight = tensor([[1.0, -3.0, 2.0], [0.0, 0.0, 0.0]])
    images = tensor([[0.5, 0.1, 0.9], [0.1, 0.9, 0.1]]).view(2, 3, 1, 1)  # predicted as 0 and as 1
    moved = IODIN().direction(linear(weight), images).flatten(1)
    # The loss falls towards the predicted class: its gradient is -(1 - p) times the difference of weights.
    assert moved.tolist() == [[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]]
    scores = IODIN(temperature=1.0, epsilon=0.1).score_images(linear(weight), images)
    expected = [1 / (1 + math.exp(-(0.5 - 3 * 0.0 + 1.8))), 1 / (1 + math.exp(0.1 - 3 * 1.0 + 0.2))]
    assert_close(scores, tensor(expected), **EXACT)


def test_iodin_takes_the_first_of_equal_gradients_and_plus_for_zero():
    flat = torch.zeros(2, 3, 1, 1).double()
    assert (
        IODIN().direction(linear(torch.zeros(2, 3).double()), flat).flatten(1).tolist()
        == [[1.0, 0.0, 0.0]] * 2
    )


def test_iodin_without_a_step_is_odin():
    images = normal(5, 3, 2, 2).abs()
    network = linear(normal(4, 12, seed=1))
    assert_close(
        IODIN(epsilon=0.0).score_images(network, images),
        ODIN(epsilon=0.0).score_images(network, images),
        **EXACT,
    )


# --- openmax ---


@pytest.mark.parametrize(
    ("shape", "scale", "n"), [(0.7, 3.0, 20), (1.5, 1.0, 20), (8.0, 100.0, 20), (3.0, 1.0, 2)]
)
def test_weibull_is_that_of_scipy(shape, scale, n):
    sample = weibull_min.rvs(shape, scale=scale, size=n, random_state=0)
    found, log_scale = weibull(torch.from_numpy(np.log(sample)))
    expected, _, expected_scale = weibull_min.fit(sample, floc=0)
    assert found == pytest.approx(expected, rel=1e-3)  # SciPy searches with a simplex
    assert math.exp(log_scale) == pytest.approx(expected_scale, rel=1e-3)

    def likelihood(c, s):
        return weibull_min.logpdf(sample, c, scale=s).sum()

    best = likelihood(found, math.exp(log_scale))
    assert best >= likelihood(expected, expected_scale) - 1e-12
    for c, s in [(1.001, 1), (0.999, 1), (1, 1.001), (1, 0.999)]:
        assert likelihood(found * c, math.exp(log_scale) * s) < best


def test_weibull_of_a_translated_tail_has_no_slope():
    tail = np.sort(np.abs(normal(20).numpy()))
    logs = np.log1p((tail - tail[0]) / 1e4)
    k, log_scale = weibull(torch.from_numpy(logs))
    powers = np.exp(k * (logs - log_scale))
    assert powers.mean() == pytest.approx(1.0, rel=1e-9)
    assert 1 / k == pytest.approx((powers * logs).mean() - logs.mean(), rel=1e-6)


def test_weibull_without_spread_is_a_step():
    k, log_scale = weibull(torch.zeros(5).double())
    assert (k, log_scale) == (openmax.STEP, 0.0)


def unknown(fitted, z, alpha, rho):
    """P of the unknown class, with each class's Weibull distribution as SciPy has it."""
    k = len(z)
    omega = np.zeros(k)
    for rank, c in enumerate(np.argsort(-z, kind="stable")[:alpha]):
        omega[c] = (alpha - rank) / alpha
    recalibrated, spare = [], 0.0
    for c in range(k):
        mean = fitted.means[c].numpy()
        cosine = z @ mean / (np.linalg.norm(z) * np.linalg.norm(mean))
        distance = rho * np.linalg.norm(z - mean) + 1 - cosine
        scale = 1e4 * math.exp(float(fitted.log_scales[c]))
        w = weibull_min.cdf(distance - float(fitted.starts[c]) + 1e4, float(fitted.shapes[c]), scale=scale)
        recalibrated.append(z[c] * (1 - omega[c] * w))
        spare += z[c] * omega[c] * w
    return softmax([*recalibrated, spare])[-1]


def logits(n=200, classes=4, seed=0, apart=5.0):
    labels = torch.arange(n) % classes
    return Features(
        normal(n, classes, seed=seed) + apart * torch.eye(classes).double()[labels], labels=labels
    )


@pytest.mark.parametrize(
    ("alpha", "tail", "rho"), [(10, 20, 1 / 200), (2, 20, 0.5), (1, 7, 0.0), (4, 1000, 1.0)]
)
def test_openmax_is_its_formula(alpha, tail, rho):
    train = logits()
    fitted = OpenMax(alpha, tail, rho).fit(train, train, HEAD)
    queries = torch.cat([2 * normal(20, 4, seed=1), train.logits[:10]])
    expected = tensor([unknown(fitted, z, min(alpha, 4), rho) for z in queries.numpy()])
    scores = fitted.score(Features(queries))
    # SciPy's distribution of numbers about 1e4 loses digits that ours keeps.
    assert_close(torch.sigmoid(-scores), expected, rtol=1e-6, atol=1e-9)


def test_openmax_learns_from_images_that_are_classified_correctly():
    train = logits(apart=2.5)
    correct = train.logits.argmax(dim=1) == train.labels
    assert 0 < (~correct).sum() < 50
    fitted, alone = (OpenMax().fit(t, t, HEAD) for t in (train, train[correct]))
    for k in range(4):
        own = train.logits[correct & (train.labels == k)]
        mean = own.mean(dim=0)
        assert_close(fitted.means[k], mean, **EXACT)
        far = torch.linalg.vector_norm(own - mean, dim=1) / 200 + 1 - torch.cosine_similarity(own, mean[None])
        tail = far.sort().values[-20:]
        assert float(fitted.starts[k]) == pytest.approx(float(tail[0]), rel=1e-12)
        assert (float(fitted.shapes[k]), float(fitted.log_scales[k])) == pytest.approx(
            weibull(torch.log1p((tail - tail[0]) / 1e4)), rel=1e-6
        )
    assert_close(fitted.score(train), alone.score(train), **EXACT)


def test_openmax_class_that_is_never_right_is_described_by_all_its_images():
    train = logits()
    z = train.logits.clone()
    z[train.labels == 2, 0] = 20.0  # all images of class 2 are taken for class 0
    train = Features(z, labels=train.labels)
    fitted = OpenMax().fit(train, train, HEAD)
    for k in range(4):
        assert_close(fitted.means[k], z[train.labels == k].mean(dim=0), **EXACT)
    assert torch.isfinite(fitted.score(train)).all()


def test_openmax_class_of_one_image_is_a_step():
    z = tensor([[5.0, 0.0], [0.0, 4.0]])
    train = Features(z, labels=torch.tensor([0, 1]))
    fitted = OpenMax(alpha=1).fit(train, train, HEAD)
    far = Features(tensor([[7.0, 6.9]]))
    # Beyond the step the largest logit goes to the unknown class.
    assert_close(fitted.score(far), tensor([np.logaddexp(0.0, 6.9) - 7.0]), **EXACT)


def test_openmax_does_not_tie_where_the_probability_rounds_to_one():
    train = logits()
    scores = OpenMax().fit(train, train, HEAD).score(Features(tensor([[100.0] * 4, [200.0] * 4])))
    assert torch.sigmoid(-scores).tolist() == [1.0, 1.0]
    assert scores[1] < scores[0]


def test_openmax_of_logits_that_are_all_zero():
    train = logits()
    scores = OpenMax().fit(train, train, HEAD).score(Features(torch.zeros(1, 4).double()))
    assert_close(scores, tensor([math.log(4)]), **EXACT)


def test_openmax_names_the_class_without_images():
    train = logits()
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 4"):
        OpenMax().fit(train[train.labels != 1], train, HEAD)


# --- hyper-parameters ---


@pytest.mark.parametrize(
    ("name", "key", "value", "expected"),
    [
        ("openmax", "alpha", 0, "at least 1, got 0"),
        ("openmax", "tail", 1, "at least 2, got 1"),
        ("openmax", "euclidean", -0.1, "a finite number of at least 0, got -0.1"),
        ("openmax", "euclidean", math.inf, "a finite number of at least 0, got inf"),
        ("nci", "alpha", -1.0, "a finite number of at least 0, got -1.0"),
        ("nci", "alpha", math.nan, "a finite number of at least 0, got nan"),
        ("vra", "low", -0.1, "a number from 0 to 1, got -0.1"),
        ("vra", "low", math.nan, "a number from 0 to 1, got nan"),
        ("vra", "high", 0.5, "a number from low, 0.6, to 1, got 0.5"),
        ("vra", "high", 1.1, "a number from low, 0.6, to 1, got 1.1"),
        ("vra", "gamma", -1.0, "a finite number of at least 0, got -1.0"),
        ("ssd_score", "clusters", 0, "at least 1, got 0"),
        ("mc_dropout", "passes", 1, "at least 2, got 1"),
        ("mc_dropout", "rate", 0.0, "a number above 0 and below 1, got 0.0"),
        ("mc_dropout", "rate", 1.0, "a number above 0 and below 1, got 1.0"),
        ("mc_dropout", "rate", math.nan, "a number above 0 and below 1, got nan"),
        ("ensemble", "members", 1, "at least 2, got 1"),
        ("gmm", "components", 0, "None or at least 1, got 0"),
        ("gmm", "shrinkage", -1e-6, "a finite number of at least 0, got -1e-06"),
        ("gmm", "shrinkage", math.nan, "a finite number of at least 0, got nan"),
        ("relation", "power", 0.0, "a finite number above 0, got 0.0"),
        ("relation", "power", math.inf, "a finite number above 0, got inf"),
        ("relation", "threshold", -0.1, "a number of at least 0, below 1, got -0.1"),
        ("relation", "threshold", 1.0, "a number of at least 0, below 1, got 1.0"),
        ("iodin", "temperature", 0.0, "a finite number above 0, got 0.0"),
        ("iodin", "epsilon", -1.0, "a finite number of at least 0, got -1.0"),
    ],
)
def test_a_hyperparameter_out_of_range(name, key, value, expected):
    with pytest.raises(HyperparameterError, match=f"^{name}: {key}: expected {expected}$"):
        detector(name, **{key: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MCDropout(statistic="max"),
            "statistic: expected one of msp, entropy, mutual_information, got 'max'",
        ),
        (
            lambda: Ensemble(statistic="max"),
            "statistic: expected one of msp, entropy, mutual_information, got 'max'",
        ),
        (lambda: GMM(covariance="diag"), "covariance: expected one of tied, full, got 'diag'"),
    ],
)
def test_a_choice_that_there_is_not(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_bank_is_not_smaller_than_k():
    with pytest.raises(
        HyperparameterError, match="k: expected at most the number of training images, 9, got 10"
    ):
        _nearest.check_k(10, 9)
