"""Images for whoever has no OOD images, and corrupted ID images."""

import numpy as np
import pytest
import torch
from image_files import class_folders, floats, pixels

from benchmark.datasets.shifts import KINDS, ShiftScale, shift
from benchmark.errors import UsageError
from benchmark.evaluation.pictures.classes import numbered
from benchmark.evaluation.pictures.derived import MADE, Blended, Corrupted, Shuffled, why_not_corrupted
from benchmark.evaluation.pictures.sources import classes_of, open_listing, open_source
from benchmark.evaluation.pictures.standins import WARNING, standins
from benchmark.seeds import derive_seed

NAMES = ("cat", "dog", "owl")


def id_test(folder, prepare=pixels):
    listing = open_listing(folder, role="id_test")
    classes = classes_of(listing, NAMES, 3)
    return open_source(listing, title="mine", prepare=prepare, classes=classes, role="id_test")


def read(source, size=7):
    batches = list(source.batches(size))
    return torch.cat([batch.images for batch in batches]), [name for b in batches for name in b.names]


def test_every_stand_in(tmp_path):
    found = standins(id_test(class_folders(tmp_path, each=8)), pixels, n=70)
    assert {one.name: one.group for one in found} == {
        "blended": "near",
        "shuffled": "near",
        "glyphs": "far",
        "photo_patches": "far",
        "dead_leaves": "far",
        "fractals": "far",
        "gaussian_noise": "far",
        "uniform_noise": "far",
    }
    assert "cannot show" in WARNING
    for one in found:
        assert one.warning
        images, names = read(one.source)
        assert images.dtype == torch.uint8
        assert images.shape[1:] == (3, 16, 16)
        assert len(set(names)) == len(images) == one.source.card["n"]
        assert one.group == "near" or len(images) == 70
        again, same = read(one.source, 70)
        assert names == same
        assert torch.equal(images, again)
        assert one.source.picture(names[-1]).mode == "RGB"
        assert one.source.picture("nobody 999") is None


def test_without_pictures_those_of_id_images_are_left(tmp_path):
    class_folders(tmp_path)
    assert [one.name for one in standins(id_test(tmp_path), None)] == ["blended", "shuffled"]
    with pytest.raises(UsageError, match="fails: no"):
        standins(id_test(tmp_path), lambda image: (_ for _ in ()).throw(ValueError("no")))


def test_blends_are_half_of_two_classes(tmp_path):
    source = id_test(class_folders(tmp_path, each=8))
    by_name = dict(zip(*reversed(read(source)), strict=True))
    images, names = read(Blended(source, "blends", 500, 0))
    assert len(images) > 12
    for image, name in zip(images, names, strict=True):
        one, other = name.split(" + ")
        assert one.split("/")[0] != other.split("/")[0]
        half = (by_name[one].int() + by_name[other].int() + 1) // 2
        assert torch.equal(image.int(), half)


def test_shuffled_patches_are_those_of_the_image(tmp_path):
    source = id_test(class_folders(tmp_path))
    by_name = dict(zip(*reversed(read(source)), strict=True))
    made = Shuffled(source, "shuffled", 500, 0)
    images, names = read(made)

    def patches(image):
        tiles = image.reshape(3, 4, 4, 4, 4).permute(1, 3, 0, 2, 4).reshape(16, -1)
        return sorted(map(tuple, tiles.tolist()))

    assert len(images) == 12
    for image, name in zip(images, names, strict=True):
        original = by_name[name.removesuffix(", shuffled")]
        assert patches(image) == patches(original)
        assert not torch.equal(image, original)
    assert made.card["kinds"] == {MADE: 12}


def test_a_side_that_four_does_not_divide():
    images = torch.arange(2 * 3 * 9 * 7, dtype=torch.float32).reshape(2, 3, 9, 7)
    from benchmark.evaluation.pictures.derived import _shuffled

    moved = _shuffled(images, np.random.default_rng(0))
    assert moved.shape == images.shape
    assert torch.equal(moved.flatten().sort().values, images.flatten())
    assert torch.equal(moved[:, :, 8:], images[:, :, 8:])


def test_not_more_than_asked_for_and_evenly_spread(tmp_path):
    source = id_test(class_folders(tmp_path, each=20))
    _, names = read(Shuffled(source, "some", 15, 0))
    assert len(names) == 15
    assert {name.split("/")[0]: 0 for name in names}.keys() == set(NAMES)


def test_floats_and_loaders_without_labels(tmp_path):
    tensors = torch.randn(10, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    source = open_source(list(tensors), title="t", prepare=None, classes=numbered(3), role="id_test")
    made = Blended(source, "blends", 500, 0)
    images, names = read(made)
    assert len(images) == 10
    assert all(one != other for one, other in (name.split(" + ") for name in names))
    assert made.picture(names[0]) is None


def test_corruptions_are_those_of_the_tree(tmp_path):
    source = id_test(class_folders(tmp_path))
    clean, names = read(source)
    for kind in KINDS:
        batches = list(Corrupted(source, kind, 3).batches(5))
        images = torch.cat([batch.images for batch in batches])
        rng = np.random.default_rng(derive_seed("corrupted", kind, 3, 0))
        expected = shift(clean.numpy(), kind, 3, ShiftScale.CIFAR_C, rng)
        np.testing.assert_array_equal(images.numpy(), expected)
        assert [name for batch in batches for name in batch.names] == names
        assert torch.cat([batch.labels for batch in batches]).tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_what_cannot_be_corrupted(tmp_path):
    class_folders(tmp_path)
    assert why_not_corrupted(pixels) == ""
    assert "takes no pictures" in why_not_corrupted(None)
    assert "torch.float32" in why_not_corrupted(floats)
    assert "(3, 8, 16)" in why_not_corrupted(lambda image: pixels(image)[:, :8])
    assert "cannot be prepared: no" in why_not_corrupted(
        lambda image: (_ for _ in ()).throw(ValueError("no"))
    )
    with pytest.raises(UsageError, match="uint8 pixels"):
        read(Corrupted(id_test(tmp_path, floats), "fog", 1))
    with pytest.raises(UsageError, match="unknown ShiftKind 'rain'"):
        Corrupted(id_test(tmp_path), "rain", 1)
    with pytest.raises(UsageError, match="severity is 6"):
        Corrupted(id_test(tmp_path), "fog", 6)
