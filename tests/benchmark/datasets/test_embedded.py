"""Every embedded set: what it promises in general, and what it looks like in particular."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import ROOT
from scipy import stats
from sklearn.datasets import load_digits

from benchmark.datasets import (
    UNLABELLED,
    EmbeddedDataset,
    ImageSet,
    balanced_split,
    dataset,
    dataset_names,
)
from benchmark.datasets.procedural import leaf_radii

EMBEDDED = [name for name in dataset_names() if isinstance(dataset(name), EmbeddedDataset)]
SEEDED = [name for name in EMBEDDED if name != "digits"]
OUTLIERS = {name for name in EMBEDDED if dataset(name).card.outlier_source}


def build(name: str, n: int | None = 24, seed: int = 0, image_size: int = 32) -> ImageSet:
    return dataset(name).build(image_size, n, seed)


def keys(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


@pytest.mark.parametrize("name", SEEDED)
@pytest.mark.parametrize("image_size", [8, 17, 32])
def test_shape_and_type(name, image_size):
    made = build(name, 5, image_size=image_size)
    assert made.images.shape == (5, 3, image_size, image_size)
    assert made.images.flags.c_contiguous


@pytest.mark.parametrize("name", EMBEDDED)
def test_labels_agree_with_the_card(name):
    card, labels = dataset(name).card, build(name, 300).labels
    if card.labelled:
        assert set(labels.tolist()) == set(range(len(card.class_names)))
    else:
        assert (labels == UNLABELLED).all()


@pytest.mark.parametrize("name", EMBEDDED)
def test_without_n_the_set_has_the_size_of_its_card(name):
    card = dataset(name).card
    whole = build(name, None, image_size=8)
    assert len(whole) == card.size
    assert whole.fingerprint() == build(name, card.size, image_size=8).fingerprint()


def test_the_same_arguments_give_the_same_images_in_another_process():
    code = (
        "import json; from benchmark.datasets import dataset;"
        f"print(json.dumps({{name: dataset(name).build(32, 24, 0).fingerprint() for name in {EMBEDDED}}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: build(name).fingerprint() for name in EMBEDDED}


@pytest.mark.parametrize("name", SEEDED)
def test_another_seed_gives_other_images(name):
    assert keys(build(name, seed=0).images).isdisjoint(keys(build(name, seed=1).images))


@pytest.mark.parametrize("name", SEEDED)
def test_images_differ_from_each_other(name):
    # Flat sky may repeat among the photographs' patches; nothing else may.
    distinct = len(keys(build(name, 200).images))
    assert distinct >= (190 if name == "photo_patches" else 200)


@pytest.mark.parametrize("name", EMBEDDED)
@pytest.mark.parametrize(
    ("image_size", "n", "message"),
    [
        (7, 5, "image_size must be at least 8 pixels, got 7"),
        (0, None, "image_size must be at least 8 pixels, got 0"),
        (32, 0, r"n must be at least 1, or None for all \d+, got 0"),
        (32, -3, "n must be at least 1, .* got -3"),
    ],
)
def test_refuses(name, image_size, n, message):
    with pytest.raises(ValueError, match=message):
        dataset(name).build(image_size, n, 0)


# --- roles


def test_outlier_sources_share_no_image_with_any_test_set():
    assert sorted(OUTLIERS) == ["dead_leaves", "fractals", "strokes"]
    tested = [keys(build(name, 100, seed).images) for name in set(EMBEDDED) - OUTLIERS for seed in (0, 1)]
    trained = [keys(build(name, 100, seed).images) for name in OUTLIERS for seed in (0, 1)]
    assert set.union(*trained).isdisjoint(set.union(*tested))


def test_held_out_digits_never_reach_the_id_splits():
    # The digits track: some classes are ID, the others near-OOD. No digit occurs twice in the whole set.
    whole = build("digits")
    id_part, near = whole.subset(whole.labels < 8), whole.subset(whole.labels >= 8)
    split = balanced_split(id_part.labels, 20, 10, track_seed=0, seed=0)
    parts = [keys(id_part.images[part]) for part in (split.train, split.val, split.test)] + [
        keys(near.images)
    ]
    assert [len(part) for part in parts[:2]] == [160, 80]
    assert len(set.union(*parts)) == sum(map(len, parts)) == 1797
    assert set(near.labels.tolist()) == {8, 9}


# --- digits


def test_digits_are_the_complete_set_in_order_whatever_n_and_seed():
    reference = load_digits()
    made = build("digits", 3, seed=5)
    np.testing.assert_array_equal(made.labels, reference.target)
    assert made.fingerprint() == build("digits", None, seed=6).fingerprint()


def test_digits_at_their_own_size_are_the_scans():
    made = build("digits", image_size=8)
    # 0..16 onto 0..255 is a factor 15.9375.
    np.testing.assert_array_equal(made.images[:, 0], np.rint(load_digits().images * 15.9375))


def test_enlarged_digits_are_grey_use_the_range_and_average_to_the_scans():
    made = build("digits").images
    assert (made == made[:, :1]).all()
    assert (made.min(), made.max()) == (0, 255)
    # Enlargement keeps every cell's brightness but for the cubic's overshoot, and what it clips.
    cells = made[:, 0].reshape(-1, 8, 4, 8, 4).mean(axis=(2, 4))
    scans = load_digits().images * 15.9375
    assert np.corrcoef(cells.ravel(), scans.ravel())[0, 1] > 0.98
    assert abs(cells.mean() - scans.mean()) < 2.55


# --- glyphs


def test_no_letter_is_one_that_looks_like_a_digit():
    names = dataset("glyphs").card.class_names
    assert set(names).isdisjoint("OoQDIiJjlZzySsbGBgq")
    assert len(set(names)) == len(names) == 33


def test_glyphs_look_as_digits_do():
    # Near-OOD is meant to differ in shape, so no statistic of single pixels may give it away.
    letters, numbers = build("glyphs", 500).images / 255, build("digits").images / 255
    assert letters.mean() == pytest.approx(numbers.mean(), rel=0.15)
    assert letters.std() == pytest.approx(numbers.std(), rel=0.15)
    assert (letters == letters[:, :1]).all()
    per_image = letters.mean(axis=(1, 2, 3))
    assert per_image.min() > 0.1
    assert per_image.max() < 0.7


def test_glyphs_are_drawn_with_the_digits_cells_and_levels():
    cells = build("glyphs", 100, image_size=8).images[:, 0]
    assert set(np.unique(cells)) <= set(np.rint(np.arange(17) * 15.9375).astype(int))
    # A letter is at least 85 % of the canvas high (or fills its width): seven of the eight cells.
    inked = cells > 0
    spans = np.maximum(inked.any(axis=2).sum(axis=1), inked.any(axis=1).sum(axis=1))
    assert spans.min() >= 7


def test_one_letter_has_many_forms():
    made = build("glyphs", 500, image_size=8)
    for label in range(33):
        forms = made.images[made.labels == label]
        assert len(keys(forms)) == len(forms) >= 4


# --- photographs


def test_photo_patches_are_square_crops_of_both_photographs_at_many_scales(monkeypatch):
    # Photographs whose red and green are the coordinates, and whose blue tells them apart.
    y, x = np.mgrid[:427, :640]
    fakes = [
        np.stack([x * 255 / 639, y * 255 / 426, np.full_like(x, blue)], axis=-1).astype(np.uint8)
        for blue in (0, 255)
    ]
    monkeypatch.setattr("sklearn.datasets.load_sample_images", lambda: type("Bunch", (), {"images": fakes}))
    patches = build("photo_patches", 300).images.astype(float)
    red, green, blue = patches.transpose(1, 0, 2, 3)
    width = (red[:, 0, -1] - red[:, 0, 0]) * 639 / 255
    height = (green[:, -1, 0] - green[:, 0, 0]) * 426 / 255
    # First and last pixel of a patch lie 31/32 of its side apart; levels are 2.5 and 1.7 source pixels.
    np.testing.assert_allclose(width, height, atol=6)
    assert 31 - 6 < width.min() < 45
    assert 150 < width.max() < 200 * 31 / 32 + 6
    assert set(np.unique(blue)) == {0.0, 255.0}
    assert (np.ptp(blue, axis=(1, 2)) == 0).all()
    # Crops reach all the way to the photographs' borders.
    assert red.min() < 8
    assert red.max() > 247


def test_photo_patches_are_in_colour():
    assert np.ptp(build("photo_patches", 100).images.mean(axis=(2, 3)), axis=1).mean() > 10


# --- noise


def level_probabilities(cdf) -> np.ndarray:
    """Probability of each level 0..255 when x ~ cdf is clipped to [0, 1] and rounded."""
    edges = (np.arange(255) + 0.5) / 255
    return np.diff(np.concatenate([[0.0], cdf(edges), [1.0]]))


@pytest.mark.parametrize(
    ("name", "cdf"),
    [
        ("uniform_noise", lambda x: x),
        ("gaussian_noise", lambda x: stats.norm.cdf(2 * x - 1, scale=0.5)),
    ],
)
def test_noise_has_its_distribution(name, cdf):
    values = build(name, 100).images
    counts = np.bincount(values.ravel(), minlength=256)
    # χ² over the 256 levels; a right generator fails once in a million seeds, and the seed is fixed.
    assert stats.chisquare(counts, level_probabilities(cdf) * values.size).pvalue > 1e-6


def test_gaussian_noise_clips_one_value_in_22_at_each_end():
    # P(v ≤ −1) = Φ(−2) = 0.02275, and half a level more by rounding: Φ(−2 + 2/255) = 0.02318.
    values = build("gaussian_noise", 100).images
    for end in (0, 255):
        assert (values == end).mean() == pytest.approx(0.02318, abs=5 * math.sqrt(0.023 / values.size))


@pytest.mark.parametrize("name", ["uniform_noise", "gaussian_noise"])
def test_noise_is_independent_between_channels_neighbours_and_images(name):
    x = build(name, 100).images.astype(float)
    pairs = [(x[:, 0], x[:, 1]), (x[:, 1], x[:, 2]), (x[:50], x[50:]), (x[..., 1:], x[..., :-1])]
    for a, b in pairs:
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 5 / math.sqrt(a.size)


# --- outlier sources


def test_strokes_are_light_on_a_dark_ground_and_always_visible():
    grey = build("strokes", 300).images[:, 0].astype(int)
    ground = np.array([np.bincount(image.ravel()).argmax() for image in grey])
    inked = (grey - ground[:, None, None] > 40).mean(axis=(1, 2))
    assert np.median(ground) <= 60
    assert np.quantile(inked, 0.02) > 0.05
    assert inked.max() < 0.8
    assert (grey.max(axis=(1, 2)) >= 120).all()


def test_strokes_have_soft_edges():
    grey = build("strokes", 50).images[:, 0].astype(int)
    assert np.median([len(np.unique(image)) for image in grey]) > 40


def test_leaf_radii_worked_example():
    # a = 1, b = 2: F⁻¹(½) = (1 − ½ · ¾)^(−½) = 0.625^(−½) = 1.2649111.
    assert leaf_radii(np.array([0.0, 0.5, 1.0]), 1.0, 2.0) == pytest.approx([1.0, 1.2649111, 2.0], rel=1e-7)


@given(u=st.floats(0, 1), smallest=st.floats(0.01, 1), ratio=st.floats(1.1, 50))
def test_leaf_radii_invert_the_distribution_function(u, smallest, ratio):
    largest = smallest * ratio
    r = float(leaf_radii(np.array([u]), smallest, largest)[0])
    cdf = (smallest**-2 - r**-2) / (smallest**-2 - largest**-2)
    assert cdf == pytest.approx(u, abs=1e-6)


def test_dead_leaves_are_colourful_and_piecewise_flat():
    x = build("dead_leaves", 100).images.astype(int)
    # Colours are uniform: their mean over images is 127.5 with a deviation of at most 74/sqrt(100).
    assert np.abs(x.mean(axis=(0, 2, 3)) - 127.5).max() < 5 * 7.4
    steps = np.abs(np.diff(x, axis=3)).max(axis=1)
    assert 0.2 < (steps == 0).mean() < 0.9
    assert (x.std(axis=(2, 3)) > 20).all()


def test_sets_do_not_share_random_numbers():
    # Seeds are hashed with the set's name: two noises of one seed are not two views of the same numbers.
    a, b = (build(name, 50).images.ravel().astype(float) for name in ("uniform_noise", "gaussian_noise"))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(a.size)
