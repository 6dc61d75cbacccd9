"""The catalog: names, cards, image sets and their fingerprints."""

from __future__ import annotations

import dataclasses
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT

from benchmark import datasets
from benchmark.datasets import (
    UNLABELLED,
    DatasetCard,
    EmbeddedDataset,
    ImageSet,
    UnknownDatasetError,
    dataset,
    dataset_names,
    register,
    to_uint8,
)

CARD = DatasetCard("new_one", "title", "description", "source", "licence", "citation", size=3)


def images(n: int = 2, side: int = 8) -> np.ndarray:
    return np.arange(n * 3 * side * side, dtype=np.uint8).reshape(n, 3, side, side)


def test_catalog_lists_the_sets_in_order():
    assert dataset_names() == tuple(sorted(dataset_names()))
    assert tuple(name for name in dataset_names() if isinstance(dataset(name), EmbeddedDataset)) == (
        "dead_leaves",
        "digits",
        "fractals",
        "gaussian_noise",
        "glyphs",
        "photo_patches",
        "strokes",
        "uniform_noise",
    )


def test_a_dataset_is_found_by_the_name_on_its_card():
    assert [dataset(name).card.name for name in dataset_names()] == list(dataset_names())


def test_unknown_name_suggests_the_nearest_and_lists_all():
    with pytest.raises(
        UnknownDatasetError, match=r"'digit'.*did you mean 'digits'\?.*dead_leaves.*uniform_noise"
    ):
        dataset("digit")


def test_unknown_name_far_from_all_gets_no_suggestion():
    with pytest.raises(LookupError) as caught:
        dataset("qqqq")
    assert "did you mean" not in str(caught.value)


def test_a_taken_name_is_refused_and_the_entry_kept():
    before = dataset("digits")
    with pytest.raises(ValueError, match="'digits' is already in the catalog"):
        register(EmbeddedDataset(before.card, lambda size, n, rng: ImageSet.unlabelled(images())))
    assert dataset("digits") is before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "../up"}, r"name must match \[a-z0-9_\]\+, got '../up'"),
        ({"name": ""}, "name must match"),
        ({"name": "digits\n"}, "name must match"),
        ({"size": 0}, "size must be at least 1, got 0"),
        ({"labelled": True}, "class_names must be given exactly if labelled"),
        ({"class_names": ("a",)}, "class_names must be given exactly if labelled"),
    ],
)
def test_card_refuses(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CARD, **change)


def test_importing_the_package_loads_no_heavy_library():
    heavy = ("PIL", "matplotlib", "scipy", "sklearn", "torch")
    code = f"import sys, benchmark.datasets; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_exported_name_exists():
    assert all(hasattr(datasets, name) for name in datasets.__all__)


def test_fingerprint_is_the_sha256_of_shape_dtype_and_bytes():
    one = ImageSet(np.full((1, 3, 8, 8), 7, np.uint8), np.array([5]))
    stream = b"(1, 3, 8, 8) |u1;" + bytes([7]) * 192 + b"(1,) <i8;" + (5).to_bytes(8, "little")
    assert one.fingerprint() == hashlib.sha256(stream).hexdigest()


def test_fingerprint_tells_pixels_labels_order_and_shape_apart():
    base = ImageSet(images(16, 8), np.arange(16))
    pixel = images(16, 8)
    pixel[3, 1, 2, 2] += 1
    others = [
        ImageSet(pixel, np.arange(16)),
        ImageSet(images(16, 8), np.arange(16)[::-1].copy()),
        base.subset(np.arange(16)[::-1]),
        base.subset(range(15)),
        ImageSet.unlabelled(images(16, 8)),
        ImageSet(images(16, 8).reshape(4, 3, 16, 16), np.arange(4)),
    ]
    assert len({base.fingerprint(), *(other.fingerprint() for other in others)}) == 7


def test_fingerprint_does_not_depend_on_memory_layout():
    strided = ImageSet(np.asfortranarray(images()), np.arange(4)[::2])
    assert strided.fingerprint() == ImageSet(images(), np.array([0, 2])).fingerprint()


def test_subset_takes_indices_in_order_or_a_mask_and_copies():
    base = ImageSet(images(4), np.array([3, 1, 2, 0]))
    by_index, by_mask = base.subset([2, 0]), base.subset(base.labels > 1)
    assert by_index.labels.tolist() == [2, 3]
    assert by_mask.labels.tolist() == [3, 2]
    np.testing.assert_array_equal(by_index.images, base.images[[2, 0]])
    by_index.images[:] = 0
    np.testing.assert_array_equal(base.images, images(4))
    assert len(base.subset([])) == 0


def test_grey_is_repeated_over_three_channels_and_unlabelled_by_default():
    grey = np.arange(2 * 64, dtype=np.uint8).reshape(2, 8, 8)
    made = ImageSet.from_grey(grey)
    assert all(np.array_equal(made.images[:, channel], grey) for channel in range(3))
    assert made.labels.tolist() == [UNLABELLED, UNLABELLED] == [-1, -1]


@pytest.mark.parametrize(
    ("pixels", "labels", "message"),
    [
        (
            images().astype(np.float32),
            np.arange(2),
            r"images must be a uint8 array .* got float32 \(2, 3, 8, 8\)",
        ),
        (images()[:, :1], np.arange(2), r"images must be .* got uint8 \(2, 1, 8, 8\)"),
        (images()[..., :7], np.arange(2), r"images must be .* got uint8 \(2, 3, 8, 7\)"),
        (images()[0], np.arange(2), "images must be"),
        (images(), np.arange(3), r"labels must be an int64 array \(2,\).* got int64 \(3,\)"),
        (images(), np.arange(2, dtype=np.int32), "labels must be .* got int32"),
    ],
)
def test_image_set_refuses(pixels, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(pixels, labels)


def test_quantisation_keeps_every_level_clips_and_rounds_half_to_even():
    levels = np.arange(256)
    np.testing.assert_array_equal(to_uint8(levels / 255), levels)
    # 0.5/255 and 1.5/255 lie half-way between levels.
    assert to_uint8(np.array([-0.2, 1.3, 0.5 / 255, 1.5 / 255, 2.5 / 255])).tolist() == [0, 255, 0, 2, 2]
