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
KLMatching         klm                    equal; transformed: a class that is never predicted has no template
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

import math
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.testing import assert_close

ood = pytest.importorskip(
    "pytorch_ood", reason="pytorch-ood is not installed (a development-only dependency)"
).detector

from methods.base import Features, Head  # noqa: E402
from methods.registry import detector, detectors  # noqa: E402
from methods.statistics import gram, pooled, rank_one  # noqa: E402

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


@pytest.fixture(autouse=True)
def in_float64(monkeypatch):
    before, threads = torch.get_default_dtype(), torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)  # of matrices this small, threads would cost more than they save
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    yield
    torch.set_default_dtype(before)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def world():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng(devices=[]):
        made = World()
    torch.set_default_dtype(before)
    return made


def equal(theirs, ours, **tolerance):
    assert ours.dtype == torch.float64
    assert len(ours) > 100  # and they are not all one value:
    assert ours.std() > 1e-6 * ours.abs().mean()
    assert_close(theirs.detach().double(), -ours, **(tolerance or TIGHT))


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
        rows = [line for line in __doc__.splitlines() if line.split(" ")[0] == name]
        assert len(rows) == 1, f"the table of this file must have one row of {name}"
        assert rows[0].split()[1] == COMPARED.get(name, "-")


# ---- of logits


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_energy(world, temperature):
    theirs = ood.EnergyBased(None, t=temperature).predict_logits(world.queries.logits)
    equal(theirs, world.score("energy", temperature=temperature))


def test_max_logit_and_msp(world):
    equal(ood.MaxLogit(None).predict_logits(world.queries.logits), world.score("max_logit"))
    equal(ood.MaxSoftmax(None).predict_logits(world.queries.logits), world.score("msp"))


def test_entropy(world):
    equal(ood.Entropy(None).predict_logits(world.queries.logits), world.score("entropy"))


def confident(world):
    logits = 10 * world.queries.logits
    assert (logits.softmax(dim=1) < FLOOR).double().mean() > 0.1
    return logits


def test_entropy_of_confident_logits_differs_by_their_floor(world):
    logits = confident(world)
    theirs = ood.Entropy(None).predict_logits(logits)
    p = logits.softmax(dim=1)
    raised = torch.where(p < FLOOR, FLOOR * math.log(FLOOR) - torch.special.xlogy(p, p), 0.0).sum(dim=1)
    ours = detector("entropy").score(Features(logits))
    assert ((-theirs - ours).abs() > 1e-7).any()
    equal(theirs, ours + raised)


@pytest.mark.parametrize(("gamma", "top"), [(0.1, 100), (0.1, 4), (0.5, 7)])
def test_gen_is_scaled_by_the_number_of_terms(world, gamma, top):
    theirs = ood.GEN(None, gamma=gamma, M=top).predict_logits(world.queries.logits)
    equal(theirs * min(top, CLASSES), world.score("gen", gamma=gamma, top=top))


def test_gen_of_confident_logits_differs_by_their_floor(world):
    logits = confident(world)
    theirs = CLASSES * ood.GEN(None, gamma=0.1).predict_logits(logits)
    ours = detector("gen").score(Features(logits))
    p = logits.softmax(dim=1)
    q = (logits[:, None, :] + torch.diag(torch.full((CLASSES,), -math.inf))).logsumexp(dim=2)
    q = (q - logits.logsumexp(dim=1, keepdim=True)).exp()  # 1 - p, without rounding

    def terms(p, q):
        return (p * q).pow(0.1).sum(dim=1)

    floored = p.clamp(FLOOR, 1 - FLOOR)
    assert ((theirs + ours).abs() > 1e-2).any()
    equal(theirs, ours + terms(p, q) - terms(floored, 1 - floored), rtol=1e-8, atol=1e-8)


def test_klm(world):
    theirs = ood.KLMatching(None).fit_logits(world.val.logits, world.val.labels)
    equal(theirs.predict_logits(world.queries.logits), world.score("klm"))


def test_klm_of_a_class_that_is_never_predicted_has_a_template_in_ours_alone(world):
    val = world.val[world.val.logits.argmax(dim=1) != 3]
    theirs = ood.KLMatching(None).fit_logits(val.logits, val.labels).predict_logits(world.queries.logits)
    ours = world.fit("klm", val=val).score(world.queries.ours)
    p = world.queries.logits.softmax(dim=1)
    one_hot = torch.full((CLASSES,), 1e-12)
    one_hot[3] = 1.0
    from_one_hot = (p * (p.log() - one_hot.log())).sum(dim=1)
    assert (from_one_hot < theirs).any()
    assert (from_one_hot > theirs).any()
    equal(torch.minimum(theirs, from_one_hot), ours)


def test_temperature_scaling(world):
    ours = world.fit("temperature_scaling")
    theirs = ood.TemperatureScaling(None).fit_logits(world.val.logits, world.val.labels)

    def loss(t):
        return nn.functional.cross_entropy(world.val.logits / t, world.val.labels).item()

    assert not ours.at_bound
    assert abs(ours.temperature - 1) > 0.01
    assert loss(ours.temperature) <= loss(theirs.t.item())  # their 50 short steps do not quite get there
    for start in (0.9, 1.0, 1.1):
        theirs.t.data.fill_(start * ours.temperature)
        theirs.fit_logits(world.val.logits, world.val.labels)  # goes on from where it is
        assert abs(theirs.t.item() / ours.temperature - 1) <= max(0.95 * abs(start - 1), 1e-6)
    theirs.t.data.fill_(ours.temperature)
    equal(theirs.predict_logits(world.queries.logits), ours.score(world.queries.ours))


@pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")
@pytest.mark.parametrize(("alpha", "euclidean", "tail"), [(10, 1 / 200, 20), (3, 1.0, 12)])
def test_openmax(world, alpha, euclidean, tail):
    from pytorch_ood.detector.openmax.numpy import OpenMax
    from scipy.stats import exponweib

    ours = world.fit("openmax", alpha=alpha, euclidean=euclidean, tail=tail)
    theirs = OpenMax(tailsize=tail, alpha=alpha, euclid_weight=euclidean)
    theirs.cos_weight = 1.0  # theirs is 1 - w: the same up to the unit of the distance, which 10⁴ is added to
    right = world.train.logits.argmax(dim=1) == world.train.labels
    theirs.fit(world.train.logits[right].numpy(), world.train.labels[right].numpy())
    for k, fitted in theirs.distributions.items():
        assert fitted.min_val == pytest.approx(ours.starts[k].item(), rel=1e-9)
        z = world.train.logits[right & (world.train.labels == k)].numpy()
        distances = theirs._get_dists_to_center(k, z)
        shifted = sorted(distances)[-tail:] - fitted.min_val + fitted.translation
        shape, scale = ours.shapes[k].item(), fitted.translation * math.exp(ours.log_scales[k].item())
        # Theirs is a general optimiser's: never likelier than ours, and nearly as likely.
        likelihoods = [
            exponweib.logpdf(shifted, 1, c, loc=0, scale=s).sum()
            for c, s in ((shape, scale), (fitted.c, fitted.scale))
        ]
        assert likelihoods[1] <= likelihoods[0] + 1e-6
        fitted.c, fitted.scale = shape, scale
    unknown = torch.from_numpy(theirs.predict(world.queries.logits.numpy())[:, 0])
    equal(torch.logit(unknown), ours.score(world.queries.ours), rtol=1e-6, atol=1e-7)
    # Their distance of a class that no image of the batch is predicted as is 0; the last one has all classes.
    assert len(world.queries.logits.argmax(dim=1).unique()) == CLASSES


# ---- of features


@pytest.mark.parametrize("variant", ["s", "p", "b"])
@pytest.mark.parametrize("percent", [65, 90])
def test_ash(world, variant, percent):
    head = nn.Sequential(nn.Flatten(), world.linear)
    theirs = ood.ASH(None, head, variant=f"ash-{variant}", percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("ash", variant=variant, percentile=float(percent)))


@pytest.mark.parametrize("percent", [65, 85])
def test_scale(world, percent):
    theirs = ood.SCALE(None, nn.Sequential(nn.Flatten(), world.linear), percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("scale", percentile=float(percent)))


@pytest.mark.parametrize("percent", [90, 99])
def test_react(world, percent):
    theirs = ood.ReAct(None, nn.Sequential(nn.Flatten(), world.linear), percentile=percent / 100)
    equal(world.on_pooled(theirs), world.score("react", percentile=float(percent)))


def test_react_of_softmax(world):
    head = nn.Sequential(nn.Flatten(), world.linear)
    theirs = ood.ReAct(None, head, percentile=0.9, detector=ood.MaxSoftmax.score)
    equal(world.on_pooled(theirs), world.score("react", base="msp"))


VRA_ROUNDING = {"rtol": 1e-6, "atol": 1e-6}  # NumPy rounds their thresholds to float32


def test_vra_where_no_feature_is_low(world):
    theirs = ood.VRA(
        None, nn.Sequential(nn.Flatten(), world.linear), lower_percentile=0.0, upper_percentile=0.9
    )
    theirs_scores = world.on_pooled(theirs)
    ours = world.fit("vra", low=0.0, high=0.9)
    inside = (world.queries.h >= ours.alpha).all(dim=1)
    assert inside.sum() > 100
    equal(theirs_scores[inside], ours.score(world.queries.ours[inside]), **VRA_ROUNDING)


def test_vra_raises_low_features_where_ours_removes_them(world):
    theirs = ood.VRA(
        None, nn.Sequential(nn.Flatten(), world.linear), lower_percentile=0.6, upper_percentile=0.9
    )
    theirs_scores = world.on_pooled(theirs)
    ours = world.fit("vra", low=0.6, high=0.9)
    raised = Features(world.queries.logits, torch.maximum(world.queries.h, ours.alpha))
    assert ((theirs_scores + ours.score(world.queries.ours)).abs() > 0.1).any()
    equal(theirs_scores, ours.score(raised), **VRA_ROUNDING)
    # And with the low features removed beforehand, theirs with no lower threshold left is ours.
    removed = torch.where(world.queries.h < ours.alpha, 0.0, world.queries.h)
    theirs._lower_threshold = torch.zeros_like(theirs._lower_threshold)
    found = theirs.predict_feature_maps(as_maps(removed))
    equal(found, ours.score(world.queries.ours), **VRA_ROUNDING)


def test_rankfeat(world):
    theirs = ood.RankFeat(None, world.head_of_maps()).predict_feature_maps(world.queries.maps[-1])
    equal(theirs, world.score("rankfeat"))


@pytest.mark.parametrize("percent", [0.7, 0.9])
def test_dice(world, percent):
    theirs = ood.DICE(None, world.linear.weight, world.linear.bias, p=percent)
    theirs.fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("dice", percentile=100 * percent))


def test_fdbd_is_scaled_by_the_number_of_boundaries(world):
    theirs = ood.fDBD(None, world.linear).fit_features(world.train.h)
    equal((CLASSES - 1) * theirs.predict_features(world.queries.h), world.score("fdbd"))


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.3])
def test_nci(world, alpha):
    theirs = ood.NCI(None, world.linear, alpha=alpha).fit_features(world.train.h)
    equal(theirs.predict_features(world.queries.h), world.score("nci", alpha=alpha))


@pytest.mark.parametrize("k", [1, 10, 50])
def test_knn(world, k):
    theirs = ood.KNN(None, k=k, algorithm="kd_tree").fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("knn", k=k))


@pytest.mark.parametrize("k", [1, 10, 100])
def test_nnguide(world, k):
    theirs = ood.NNGuide(None, world.linear, k=k).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("nnguide", k=k, fraction=1.0))


def test_she(world):
    theirs = ood.SHE(None, world.linear).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("she", metric="inner"))


@pytest.mark.parametrize("kept", [0.05, 0.25])
def test_lts(world, kept):
    theirs = ood.LTS(None, world.linear, p=kept).predict_features(world.queries.h)
    equal(theirs, world.score("lts", percentile=100 * (1 - kept)))


@pytest.mark.parametrize("dim", [8, WIDTH // 2, WIDTH - 1])
def test_vim(world, dim):
    theirs = ood.ViM(None, d=dim, w=world.linear.weight, b=world.linear.bias)
    theirs.fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("vim", dim=dim), rtol=1e-7, atol=1e-7)


def test_pnml(world):
    theirs = ood.PNML(None, world.linear, eps=0.0).fit_features(world.train.h, world.train.labels)
    equal(theirs.predict_features(world.queries.h), world.score("pnml"), rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2])
def test_gmm(world, ridge):
    theirs = ood.GMM(None, reg=ridge).fit_features(world.train.h, world.train.labels)
    ours = world.score("gmm", covariance="full", shrinkage=ridge)
    equal(theirs.predict_features(world.queries.h), ours, rtol=1e-8, atol=1e-8)


# ---- Mahalanobis distances


def without_ridge(theirs):
    """Take the 1e-6 that they add to the diagonal off again."""
    eye = 1e-6 * torch.eye(len(theirs.cov))
    theirs.precision = torch.linalg.inv(theirs.cov - eye)
    if getattr(theirs, "background_cov", None) is not None:
        theirs.background_precision = torch.linalg.inv(theirs.background_cov - eye)
    return theirs


MAHALANOBIS = {"rtol": 1e-8, "atol": 1e-8}


def test_mahalanobis_is_scaled_and_has_a_ridge(world):
    theirs = ood.Mahalanobis(None).fit_features(world.train.h, world.train.labels)
    to_ours = 2 * len(world.train.h)  # they halve, and their scatter is N covariances
    ours = world.score("mahalanobis")
    with_ridge = to_ours * theirs.predict_features(world.queries.h)
    assert not torch.allclose(with_ridge, -ours, rtol=1e-9)
    assert_close(with_ridge, -ours, rtol=1e-2, atol=0)
    equal(to_ours * without_ridge(theirs).predict_features(world.queries.h), ours, **MAHALANOBIS)


def test_relative_mahalanobis_is_scaled_and_has_a_ridge(world):
    theirs = ood.RMD(None).fit_features(world.train.h, world.train.labels)
    found = len(world.train.h) * without_ridge(theirs).predict_features(world.queries.h)
    equal(found, world.score("relative_mahalanobis"), rtol=1e-8, atol=1e-6)


def test_relative_mahalanobis_is_not_mahalanobis(world):
    # A background without its 1 / N next to a class covariance that has it would hardly count.
    one, other = world.score("relative_mahalanobis"), world.score("mahalanobis")
    assert torch.corrcoef(torch.stack([ranks(one), ranks(other)]))[0, 1] < 0.99


def ranks(scores):
    return scores.argsort().argsort().double()


@pytest.mark.parametrize("step", [0.002, 0.05])
def test_mahalanobis_with_a_step(world, step):
    theirs = ood.MahalanobisODIN(world.network.penultimate, eps=step)
    without_ridge(theirs._base.fit_features(world.train.h, world.train.labels))
    found = 2 * len(world.train.h) * theirs.predict(world.queries.images)
    ours = world.fit("mahalanobis", magnitude=step)
    scores = ours.score_images(world.features, world.queries.images)
    assert ((scores - world.score("mahalanobis")).abs() > 1e-3).all()
    equal(found, scores, **MAHALANOBIS)


def test_multi_mahalanobis_is_shifted_by_the_mean_of_the_validation_images(world):
    ours = world.fit("mahalanobis_ensemble")
    weights = 2 * len(world.train.h) / ours.deviations
    theirs = ood.MultiMahalanobis([nn.Identity(), nn.Identity()], alpha=weights.tolist())
    theirs.fit_structured([pooled(m) for m in world.train.maps], world.train.labels)
    eyes = [1e-6 * torch.eye(len(cov)) for cov in theirs.cov]
    theirs.precision = [torch.linalg.inv(cov - eye) for cov, eye in zip(theirs.cov, eyes, strict=True)]
    found = theirs.predict_structured([pooled(m) for m in world.queries.maps])
    shift = (ours.means / ours.deviations).sum()
    equal(found + shift, ours.score(world.queries.ours), **MAHALANOBIS)


# ---- of gradients, dropout, Gram matrices


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_gradnorm(world, temperature):
    theirs = ood.GradNorm(
        world.network, param_filter=lambda name: name == "fc.weight", temperature=temperature
    )
    equal(theirs.predict(world.queries.images), world.score("gradnorm", temperature=temperature))


def test_gradient_uncertainty(world):
    theirs = ood.GradUncertainty(world.network, param_filter=lambda name: name.startswith("fc."))
    equal(theirs.predict(world.queries.images), world.score("gradient_uncertainty"))


@pytest.mark.parametrize(("temperature", "step"), [(1000.0, 0.0014), (1.0, 0.05), (10.0, 0.0)])
def test_odin(world, temperature, step):
    theirs = ood.ODIN(world.network, eps=step, temperature=temperature).predict(world.queries.images)
    ours = detector("odin", temperature=temperature, epsilon=step)
    scores = ours.score_images(world.features, world.queries.images)
    tolerance = {"rtol": 1e-12, "atol": 0}  # at T = 1000 scores agree in their first digits
    assert_close(theirs, -scores, **tolerance)
    assert scores.std() > 1e6 * 1e-12 * scores.mean()


def test_odin_preprocessing(world):
    stepped = ood.odin_preprocessing(world.network, world.queries.images, eps=0.01, temperature=10.0)
    ours = detector("odin", temperature=10.0, epsilon=0.01)
    direction = ours.direction(world.features, world.queries.images)
    assert_close(stepped, world.queries.images - 0.01 * direction, **TIGHT)


def test_a_pixel_without_a_gradient_moves_in_ours_alone(world):
    def blind(images):
        return world.network(torch.cat([images[:, :2], torch.zeros_like(images[:, 2:])], dim=1))

    images = world.queries.images
    stepped = ood.odin_preprocessing(blind, images, eps=0.01, temperature=10.0)
    ours = detector("odin", temperature=10.0, epsilon=0.01)
    moved = images - 0.01 * ours.direction(lambda x: Features(blind(x)), images)
    assert torch.equal(stepped[:, 2], images[:, 2])
    assert_close(moved[:, 2], images[:, 2] - 0.01, **TIGHT)
    assert_close(moved[:, :2], stepped[:, :2], **TIGHT)


class Masked(nn.Module):
    """A layer of dropout, followed by the head, whose masks are ours in turn."""

    def __init__(self, masks, linear):
        super().__init__()
        self.masks, self.linear, self.passes = masks, linear, 0

    def forward(self, h):
        mask = self.masks[self.passes]
        self.passes += 1
        return self.linear(mask * h)


def test_mc_dropout(world):
    ours = world.fit("mc_dropout", passes=20, rate=0.3)
    theirs = ood.MCD(Masked(ours.masks, world.linear), samples=20, mode="mean")
    equal(theirs.predict(world.queries.h), ours.score(world.queries.ours))


def test_nac_with_our_bins(world, monkeypatch):
    from pytorch_ood.detector import nac

    ours = world.fit("nac", enough=50)
    edges = torch.sigmoid(ours.steepness * ours.edges)
    replaced = []

    def our_bins(z_hat, m):
        replaced.append(m)
        return torch.bucketize(z_hat, edges, right=True)

    monkeypatch.setattr(nac, "_bin_indices_geometric", our_bins)
    layer = nn.Linear(WIDTH, WIDTH, bias=False)
    layer.weight.data.copy_(torch.eye(WIDTH))
    model = nn.Sequential(layer, world.linear)
    theirs = ood.NACUE(model, [layer], m_bins=ours.bins, alpha=ours.steepness, o_star=ours.enough)
    theirs.fit([(world.train.h, world.train.labels)])
    found = theirs.predict(world.queries.h)
    assert len(replaced) == 2
    scores = ours.score(world.queries.ours)
    apart = (found + scores).abs()
    # They count in float32, and look up a rounded sigmoid: a state that lies on an edge may fall either way.
    assert (apart < 1e-6).double().mean() > 0.95
    assert apart.max() < 3 / (WIDTH * ours.enough)
    assert scores.std() > 20 * 3 / (WIDTH * ours.enough)


def gram_of_theirs(world, train):
    theirs = ood.Gram(
        world.head_of_maps(), [world.network.edges, world.network.last], CLASSES, [1, 2, 3, 4, 5]
    )
    theirs.validation_fraction = 0.0  # all images make the ranges, and every layer's unit is 1
    return theirs.fit([(train.images, train.labels)])


def test_gram_with_our_units_and_confidence(world):
    train = world.train[world.train.logits.argmax(dim=1) == world.train.labels]
    ours = world.fit("gram", train=train)
    theirs = gram_of_theirs(world, train)
    assert (theirs.layer_norm == 1).all()
    theirs.layer_norm = ours.units + 1e-7
    confidence = world.queries.logits.softmax(dim=1).amax(dim=1)
    found = theirs.predict_structured(world.queries.logits, world.queries.maps)
    assert_close(found, theirs.predict(world.queries.images), **TIGHT)
    equal(found / confidence, ours.score(world.queries.ours), rtol=1e-8, atol=1e-8)


def test_gram_takes_ranges_of_predictions_where_theirs_takes_labels(world):
    # Images that are labelled as they are predicted: then both are the same, whatever the labels were.
    relabelled = world.train[:]
    relabelled.labels = relabelled.logits.argmax(dim=1)
    ours, theirs = world.fit("gram"), gram_of_theirs(world, relabelled)
    by_label = gram_of_theirs(world, world.train)
    for stage in range(2):
        low = torch.cat(theirs.feature_min[stage], dim=1)
        assert_close(low, ours.lowest[stage], **TIGHT)
        assert_close(torch.cat(theirs.feature_max[stage], dim=1), ours.highest[stage], **TIGHT)
        assert not torch.allclose(torch.cat(by_label.feature_min[stage], dim=1), low)
