"""NCD and the strings that it is made of: the specification's numbers, and slow transcriptions of it."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from worked_examples import EXACT

from methods.base import Features, Head, HyperparameterError, NotApplicable
from methods.detectors import _strings
from methods.detectors.ncd import NCD
from methods.registry import detector

HEAD = Head.not_linear("no head is needed")


def generator(seed=0):
    return np.random.default_rng(seed)


def symbols(*strings):
    return torch.tensor([[int(s) for s in string] for string in strings], dtype=torch.uint8)


# The slow transcriptions: one image, one channel, one symbol at a time.


def slow_curve(height, width):
    """Positions (row, column), in the notation of the specification."""

    def sign(v):
        return (v > 0) - (v < 0)

    def walk(x, y, ax, ay, bx, by):
        w, h = abs(ax + ay), abs(bx + by)
        dax, day, dbx, dby = sign(ax), sign(ay), sign(bx), sign(by)
        if h == 1:
            return [(x + i * dax, y + i * day) for i in range(w)]
        if w == 1:
            return [(x + i * dbx, y + i * dby) for i in range(h)]
        ax2, ay2, bx2, by2 = ax // 2, ay // 2, bx // 2, by // 2
        if 2 * w > 3 * h:
            if abs(ax2 + ay2) % 2 and w > 2:
                ax2, ay2 = ax2 + dax, ay2 + day
            return walk(x, y, ax2, ay2, bx, by) + walk(x + ax2, y + ay2, ax - ax2, ay - ay2, bx, by)
        if abs(bx2 + by2) % 2 and h > 2:
            bx2, by2 = bx2 + dbx, by2 + dby
        return (
            walk(x, y, bx2, by2, ax2, ay2)
            + walk(x + bx2, y + by2, ax, ay, bx - bx2, by - by2)
            + walk(
                x + (ax - dax) + (bx2 - dbx),
                y + (ay - day) + (by2 - dby),
                -bx2,
                -by2,
                -(ax - ax2),
                -(ay - ay2),
            )
        )

    return walk(0, 0, 0, width, height, 0) if width >= height else walk(0, 0, height, 0, 0, width)


def slow_lloyd(values, levels):
    low, high = min(values), max(values)
    current = [low + (i + 0.5) / levels * (high - low) for i in range(levels)]
    error = math.inf
    for _ in range(10):
        cells = [[] for _ in current]
        for v in values:
            cells[min(range(levels), key=lambda i: abs(v - current[i]))].append(v)
        found = sum((v - level) ** 2 for level, cell in zip(current, cells, strict=True) for v in cell)
        if not found < 0.9 * error or found <= 1e-14 * sum(v * v for v in values):
            return current
        error = found
        current = [sum(c) / len(c) if c else level for level, c in zip(current, cells, strict=True)]
    return current


def slow_complexity(string):
    known, phrase, count = set(), (), 1
    for symbol in string:
        phrase += (symbol,)
        if phrase not in known:
            known.add(phrase)
            count, phrase = count + 1, ()
    return count


def slow_ncd(a, b):
    c_a, c_b = slow_complexity(a), slow_complexity(b)
    c_both = min(slow_complexity(a + b), slow_complexity(b + a))
    return (c_both - min(c_a, c_b)) / max(c_a, c_b)


def slow_prototype(mean_map, strings, levels):
    size, ordered = len(mean_map), sorted(mean_map)
    written = [symbol for string in strings for symbol in string]
    frequency = [Fraction(written.count(symbol), len(written)) for symbol in range(levels)]
    ranks = [min(round(size * sum(frequency[: j + 1])), size - 1) for j in range(levels - 1)]
    return [sum(v > ordered[rank] for rank in ranks) for v in mean_map]


def slow_features(train, maps, levels):
    """φ of the images of `maps`, of what is learned from those of `train`: one array (N, C, H, W) a stage."""
    columns = []
    for learned, asked in zip(train, maps, strict=True):
        channels, height, width = asked.shape[1:]
        if height * width < 16:
            continue
        curve = slow_curve(height, width)
        distances = []
        for c in range(channels):
            quantiser = slow_lloyd(learned[:, c].ravel().tolist(), levels)

            def written(image, c=c, quantiser=quantiser, curve=curve):
                return tuple(
                    min(range(levels), key=lambda i: abs(image[c][at] - quantiser[i])) for at in curve
                )

            mean_map = [learned[:, c].mean(axis=0)[at] for at in curve]
            prototype = tuple(slow_prototype(mean_map, [written(image) for image in learned], levels))
            distances.append([slow_ncd(prototype, written(image)) for image in asked])
        columns += [asked.mean(axis=(2, 3)), np.transpose(distances)]
    return np.concatenate(columns, axis=1)


# The curve


@pytest.mark.parametrize(
    ("shape", "order"),
    [((4, 4), [0, 1, 5, 4, 8, 12, 13, 9, 10, 14, 15, 11, 7, 6, 2, 3]), ((2, 2), [0, 2, 3, 1])],
)
def test_the_curve_is_the_worked_one(shape, order):
    assert _strings.gilbert_order(*shape).tolist() == order


@pytest.mark.parametrize(
    "shape", [(8, 8), (16, 16), (7, 7), (3, 5), (5, 3), (14, 9), (6, 40), (40, 6), (1, 5), (5, 1), (1, 1)]
)
def test_the_curve_visits_every_position_once_and_leaves_no_gap(shape):
    order = _strings.gilbert_order(*shape)
    assert sorted(order.tolist()) == list(range(shape[0] * shape[1]))
    assert order.tolist() == [row * shape[1] + column for row, column in slow_curve(*shape)]
    steps = torch.stack([order // shape[1], order % shape[1]]).diff(dim=1).abs()
    assert shape == (1, 1) or steps.amax() == 1
    if shape[0] % 2 == shape[1] % 2 == 0:
        assert (steps.sum(dim=0) == 1).all()


# The quantiser


def test_the_worked_levels():
    values = torch.tensor([0, 0.1, 0.2, 1, 1.1, 2, 2.2, 3], dtype=torch.float64)
    assert_close(
        _strings.lloyd_max(values.reshape(1, 1, 2, 4), 4),
        torch.tensor([[0.1, 1.05, 2.1, 3.0]], dtype=torch.float64),
        **EXACT,
    )


@pytest.mark.parametrize("levels", [2, 3, 4, 7])
@pytest.mark.parametrize("at_once", [1, 200, 1 << 22])
def test_levels_are_those_of_each_channel_alone(levels, at_once, monkeypatch):
    monkeypatch.setattr(_strings, "VALUES_AT_ONCE", at_once)
    maps = generator(levels).gamma(0.7, size=(20, 5, 4, 4))
    maps[:, 3] = np.where(maps[:, 3] < 1, 0, maps[:, 3])  # as a rectified map
    expected = [slow_lloyd(maps[:, c].ravel().tolist(), levels) for c in range(5)]
    assert_close(
        _strings.lloyd_max(torch.from_numpy(maps), levels),
        torch.tensor(expected, dtype=torch.float64),
        **EXACT,
    )


def test_levels_of_skewed_values_take_several_sweeps_and_no_more_than_ten(monkeypatch):
    values = generator().exponential(size=2000)
    monkeypatch.setattr(_strings, "LEAST_GAIN", 0.0)
    found = {}
    for sweeps in (1, 5, 10, 200):
        monkeypatch.setattr(_strings, "SWEEPS", sweeps)
        found[sweeps] = _strings.lloyd_max(torch.from_numpy(values).reshape(20, 1, 10, 10), 4)
    assert len({tuple(levels.flatten().tolist()) for levels in found.values()}) == 4
    low, high = values.min(), values.max()
    level = low + (np.arange(4) + 0.5) / 4 * (high - low)
    for _ in range(10):
        nearest = np.abs(values[:, None] - level).argmin(axis=1)
        level = np.array(
            [values[nearest == i].mean() if (nearest == i).any() else level[i] for i in range(4)]
        )
    assert_close(found[10][0], torch.from_numpy(level), rtol=1e-9, atol=1e-9)


def test_a_level_without_values_stays():
    values = torch.tensor([0.0, 0.0, 1.0, 10.0], dtype=torch.float64).reshape(1, 1, 2, 2)
    levels = _strings.lloyd_max(values, 4)
    assert_close(levels, torch.tensor([[1 / 3, 3.75, 6.25, 10.0]], dtype=torch.float64), **EXACT)


def test_a_constant_channel_is_all_symbol_0():
    maps = torch.full((3, 1, 16), 2.5)
    levels = _strings.lloyd_max(maps, 4)
    assert (levels == 2.5).all()
    assert (_strings.quantise(maps, levels) == 0).all()


def test_a_value_gets_its_nearest_level_and_the_lower_of_two():
    levels = torch.tensor([[0.0, 1.0, 3.0], [-1.0, 0.0, 1.0]], dtype=torch.float64)
    maps = torch.tensor([[[-9.0, 0.5, 0.51, 2.0, 2.01, 9.0], [-9.0, -0.5, -0.49, 0.5, 0.51, 9.0]]])
    assert _strings.quantise(maps, levels).tolist() == [[[0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2]]]


@pytest.mark.parametrize("at_once", [1, 100, 1 << 22])
def test_quantising_in_parts_changes_nothing(at_once, monkeypatch):
    maps = torch.from_numpy(generator().normal(size=(9, 3, 16)).astype(np.float32))
    levels = torch.from_numpy(np.sort(generator(1).normal(size=(3, 4))))
    expected = (maps.double()[..., None] - levels[:, None]).abs().argmin(dim=-1)
    monkeypatch.setattr(_strings, "VALUES_AT_ONCE", at_once)
    assert torch.equal(_strings.quantise(maps, levels).long(), expected)


# The prototype


@pytest.mark.parametrize("levels", [2, 4])
def test_prototypes_are_those_of_each_channel_alone(levels):
    rng = generator(3)
    strings = rng.integers(0, levels, size=(7, 4, 20))
    strings[:, 1] = 0  # every rank is beyond the last position
    strings[:, 2] = levels - 1  # every rank is 0
    mean_maps = rng.normal(size=(4, 20))
    expected = [slow_prototype(mean_maps[c], strings[:, c].tolist(), levels) for c in range(4)]
    found = _strings.prototypes(
        torch.from_numpy(mean_maps), torch.from_numpy(strings.astype(np.uint8)), levels
    )
    assert found.tolist() == expected
    assert found[1].sum() == 0
    assert found[2].tolist().count(levels - 1) == 19  # all but the smallest, which does not exceed itself


# Complexity and distance


@pytest.mark.parametrize(
    ("a", "b", "worked"),
    [
        ("00112233", "01230123", [7, 7, 10, 11, 0.42857142857142855]),
        ("00112233", "00112233", [7, 7, 11, 11, 0.5714285714285714]),
        ("00000000", "01230123", [4, 7, 9, 9, 0.7142857142857143]),
    ],
)
def test_the_worked_complexities_and_distances(a, b, worked):
    assert [_strings.complexities(symbols(s), 4).item() for s in (a, b, a + b, b + a)] == worked[:4]
    distance = _strings.compression_distances(symbols(b)[None], symbols(a), 4)
    assert_close(distance, torch.tensor([[worked[4]]], dtype=torch.float64), **EXACT)


def random_strings(rng, shape, levels):
    """Strings of every degree of order: constant, of few symbols, with runs, and of pure chance."""
    strings = rng.integers(0, levels, size=shape)
    kind = rng.integers(0, 4, size=shape[:-1])
    strings[kind == 0] = 0
    strings[kind == 1] %= 2
    strings[kind == 2] = np.sort(strings[kind == 2], axis=-1)
    return strings.astype(np.uint8)


@pytest.mark.parametrize(("levels", "length"), [(2, 64), (3, 16), (4, 1), (4, 63), (4, 256), (9, 30)])
def test_complexities_of_many_strings_are_those_of_each(levels, length):
    strings = random_strings(generator(length), (50, length), levels)
    expected = [slow_complexity(tuple(s)) for s in strings.tolist()]
    assert _strings.complexities(torch.from_numpy(strings), levels).tolist() == expected


@pytest.mark.parametrize("at_once", [1, 7, 2048])
@pytest.mark.parametrize(("levels", "length"), [(2, 40), (4, 16), (4, 100), (16, 25)])
def test_distances_of_many_strings_are_those_of_each(levels, length, at_once, monkeypatch):
    monkeypatch.setattr(_strings, "STRINGS_AT_ONCE", at_once)
    rng = generator(length)
    strings, prototype = (
        random_strings(rng, (11, 3, length), levels),
        random_strings(rng, (3, length), levels),
    )
    found = _strings.compression_distances(torch.from_numpy(strings), torch.from_numpy(prototype), levels)
    expected = [
        [slow_ncd(tuple(a), tuple(b)) for a, b in zip(prototype.tolist(), image, strict=True)]
        for image in strings.tolist()
    ]
    assert found.shape == (11, 3)
    assert found.dtype == torch.float64
    assert_close(found, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_strings_too_long_for_small_integers():
    levels, length = 60, 6000
    assert levels * _strings.most_phrases(length, levels) > np.iinfo(np.int16).max
    strings = generator().integers(0, levels, size=(3, length)).astype(np.uint8)
    expected = [slow_complexity(tuple(s)) for s in strings.tolist()]
    assert _strings.complexities(torch.from_numpy(strings), levels).tolist() == expected


@pytest.mark.parametrize(("levels", "longest"), [(2, 11), (3, 7)])
def test_no_string_has_more_phrases_than_room_is_made_for(levels, longest):
    for length in range(1, longest + 1):
        most = max(slow_complexity(s) - 1 for s in itertools.product(range(levels), repeat=length))
        assert _strings.most_phrases(length, levels) == most


# The detector


def training(n=60, seed=0, kind=np.float64):
    """Maps of two stages of three classes, and of a third stage that is too small."""
    rng, labels = generator(seed), np.arange(n) % 3
    large = rng.normal(size=(n, 2, 4, 5)) + labels[:, None, None, None] * np.linspace(0, 1, 5)
    medium = np.maximum(rng.normal(size=(n, 3, 6, 4)), 0)
    small = rng.normal(size=(n, 2, 3, 5))
    maps = [m.astype(kind) for m in (large, medium, small)]
    return Features(torch.zeros(n, 3), labels=torch.from_numpy(labels), maps=maps)


@pytest.mark.parametrize("levels", [2, 4])
def test_scores_are_those_of_the_slow_transcription(levels):
    train, asked = training(), training(10, seed=1)
    learned, queried = ([m.numpy() for m in f.maps] for f in (train, asked))
    phi, queries = slow_features(learned, learned, levels), slow_features(learned, queried, levels)
    assert phi.shape == (60, 10)  # 2 + 2 and 3 + 3; nothing of the third stage
    labels = train.labels.numpy()
    means = np.stack([phi[labels == k].mean(axis=0) for k in range(3)])
    residuals = phi - means[labels]
    inverse = np.linalg.pinv(residuals.T @ residuals / len(phi), rcond=1e-10, hermitian=True)
    offsets = queries[:, None] - means
    expected = -np.einsum("nkd,de,nke->nk", offsets, inverse, offsets).min(axis=1)
    fitted = detector("ncd", levels=levels).fit(train, train, HEAD)
    assert_close(fitted.score(asked), torch.from_numpy(expected), rtol=1e-9, atol=1e-9)


def test_the_order_of_the_training_images_does_not_matter():
    train, asked = training(), training(10, seed=1)
    shuffled = train[torch.from_numpy(generator().permutation(60))]
    scores = NCD().fit(train, train, HEAD).score(asked)
    assert_close(NCD().fit(shuffled, train, HEAD).score(asked), scores, rtol=1e-9, atol=1e-9)


def test_a_permutation_of_positions_is_seen_though_averages_are_the_same():
    n, rng = 120, generator()
    ramp = np.linspace(0, 8, 64).reshape(8, 8)
    maps = ramp + 0.3 * rng.normal(size=(n, 1, 8, 8))
    train = Features(torch.zeros(n, 1), labels=torch.zeros(n, dtype=torch.long), maps=[maps])
    shuffled = rng.permuted(maps.reshape(n, 64), axis=1).reshape(n, 1, 8, 8)
    fitted = NCD().fit(train, train, HEAD)
    usual, odd = fitted.score(train), fitted.score(Features(torch.zeros(n, 1), maps=[shuffled]))
    assert odd.median() < usual.quantile(0.05)


def test_scores_of_float32_maps_differ_by_rounding_alone():
    train, asked = training(kind=np.float32), training(10, seed=1, kind=np.float32)
    exact, wide = (
        Features(f.logits, labels=f.labels, maps=[m.double() for m in f.maps]) for f in (train, asked)
    )
    fitted = NCD().fit(train, train, HEAD)
    assert_close(fitted.score(asked), NCD().fit(exact, exact, HEAD).score(wide), **EXACT)


def test_no_images_have_no_scores():
    train = training()
    assert NCD().fit(train, train, HEAD).score(train[:0]).shape == (0,)


def test_maps_without_room_for_a_layout_are_not_applicable():
    maps = [torch.zeros(4, 2, 3, 5), torch.zeros(4, 2, 1, 1)]
    train = Features(torch.zeros(4, 1), labels=torch.zeros(4, dtype=torch.long), maps=maps)
    with pytest.raises(NotApplicable, match=r"every stage's map has fewer than 16 positions \(15, 1\)"):
        NCD().fit(train, train, HEAD)


def test_training_needs_labels_and_an_image_of_every_class():
    train = training()
    with pytest.raises(NotApplicable, match="no labels"):
        NCD().fit(train.without("labels"), train, HEAD)
    with pytest.raises(ValueError, match="labels: no training image of class 1; each of 3"):
        NCD().fit(train[train.labels != 1], train, HEAD)


def test_maps_that_do_not_vary_are_refused():
    train = Features(
        torch.zeros(4, 1), labels=torch.zeros(4, dtype=torch.long), maps=[torch.ones(4, 2, 4, 4)]
    )
    with pytest.raises(ValueError, match="maps: no feature varies within any class"):
        NCD().fit(train, train, HEAD)


@pytest.mark.parametrize("levels", [1, 0, 65])
def test_levels_out_of_range(levels):
    with pytest.raises(
        HyperparameterError, match=f"levels: expected a whole number from 2 to 64, got {levels}"
    ):
        detector("ncd", levels=levels)


def test_fit_is_shown_at_most_5000_images():
    assert NCD.fit_limit == 5000
