"""What is found of overlaps between sets, and what is taken for one by mistake."""

import io
import os

import numpy as np
import pytest
import torch
from image_files import pixels, scene
from PIL import Image

from benchmark.datasets.mirror import Columns, MirrorFile, mirror_folder
from benchmark.evaluation.pictures.decoding import decode
from benchmark.evaluation.pictures.duplicates import DISTANCE, matched, overlapping, usable_distance
from benchmark.evaluation.pictures.hashes import (
    exact_of_image,
    exact_of_tensor,
    grid_of_image,
    grids_of_tensors,
    near_of,
)


def hashes(images):
    exact = np.array([exact_of_image(image) for image in images], dtype=np.uint64)
    return exact, near_of(np.stack([grid_of_image(image) for image in images]), exact)


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def scaled(image, factor):
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


CHANGES = {
    "the same": lambda image: image.copy(),
    "re-encoded": lambda image: jpeg(image, 75),
    "larger": lambda image: scaled(image, 2.0),
    "smaller": lambda image: scaled(image, 0.75),
    "brighter": lambda image: image.point([min(255, round(40 + 0.8 * v)) for v in range(256)] * 3),
}
# Of coarse and fine structure, as photographs: docs/evaluate_images.md says what is lost of smooth ones.
SCENES = [scene(seed, (64, 64)) for seed in range(200)]


@pytest.mark.parametrize("change", CHANGES)
def test_copies_are_found(change):
    copies = [CHANGES[change](image) for image in SCENES]
    found = matched(hashes(SCENES), hashes(copies))
    assert (found == np.arange(len(SCENES))).mean() > 0.98


def test_other_pictures_are_not():
    others = [scene(seed, (64, 64)) for seed in range(1000, 1400)]
    assert not overlapping(hashes(SCENES), hashes(others)).any()
    assert usable_distance(hashes(SCENES)) == DISTANCE


def test_exact_alone():
    copies = [SCENES[3].copy(), jpeg(SCENES[4], 75), Image.new("RGB", (64, 64))]
    assert matched(hashes(SCENES), hashes(copies), -1).tolist() == [3, -1, -1]


def test_plain_pictures_are_alike_only_if_they_are_equal():
    plain = [Image.new("RGB", (32, 32), (v, v, v)) for v in range(0, 250, 5)]
    faint = [
        Image.fromarray((np.indices((32, 32)).sum(0) % 2 + v).astype(np.uint8)).convert("RGB")
        for v in (9, 99)
    ]
    known = hashes([*plain, *faint])
    assert overlapping(known, known).all()
    one, rest = hashes(plain[:1]), hashes([*plain[1:], *faint])
    assert not overlapping(one, rest).any()
    assert usable_distance(known) == DISTANCE


def test_size_and_pixels_both_count():
    assert exact_of_image(Image.new("RGB", (4, 8))) != exact_of_image(Image.new("RGB", (8, 4)))
    assert exact_of_image(scene(1).convert("L").convert("RGB")) == exact_of_image(
        decode(_png(scene(1).convert("L"))).image
    )


def _png(image):
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_tensors_have_the_hashes_of_their_pictures():
    image = scene(5)
    tensor = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    assert exact_of_tensor(tensor) == exact_of_image(image)
    exact = np.zeros(1, dtype=np.uint64)
    of_picture = near_of(grid_of_image(image)[None], exact)
    of_pixels = near_of(grids_of_tensors(tensor[None]), exact)
    normalised = (tensor.float() / 255 - 0.45) / 0.22
    of_floats = near_of(grids_of_tensors(normalised[None]), exact)
    for found in (of_pixels, of_floats):
        assert int(of_picture[0] ^ found[0]).bit_count() <= DISTANCE
    assert exact_of_tensor(normalised) != exact_of_tensor(tensor)


@pytest.mark.parametrize(
    ("distance", "bits"), [(0, 12), (1, 16), (3, 24), (4, 24), (7, 33), (9, 33)], ids=str
)
def test_the_search_finds_what_comparing_all_pairs_finds(distance, bits):
    """So many bits, spread over the code, that some of them are close to others by chance, and some not."""
    rng = np.random.default_rng(distance)
    keep = np.uint64(sum(1 << int(place) for place in rng.choice(64, bits, replace=False)))
    known, other = (rng.integers(0, 2**64, size=n, dtype=np.uint64) & keep for n in (400, 300))
    close = np.array([[int(a ^ b).bit_count() <= distance for a in known.tolist()] for b in other.tolist()])
    unequal = np.arange(400, dtype=np.uint64), np.arange(1000, 1300, dtype=np.uint64)
    found = overlapping((unequal[0], known), (unequal[1], other), distance)
    np.testing.assert_array_equal(found, close.any(axis=1))
    assert 0 < found.sum() < 300


def test_nothing_known_or_asked():
    none, some = (np.empty(0, dtype=np.uint64),) * 2, (np.arange(3, dtype=np.uint64),) * 2
    assert overlapping(none, some).tolist() == [False] * 3
    assert overlapping(some, none).tolist() == []
    assert usable_distance(none) == DISTANCE


def test_equal_codes_by_the_thousand_cost_no_more_memory(monkeypatch):
    """One code many times is looked up once, and a block of candidates is never exceeded by much."""
    monkeypatch.setattr("benchmark.evaluation.pictures.duplicates._BLOCK", 1000)
    rng = np.random.default_rng(0)
    low = rng.integers(0, 2**20, size=3000, dtype=np.uint64)  # the upper parts are all the same
    exact = np.arange(6000, dtype=np.uint64)
    found = matched((exact[:3000], low), (exact[3000:], low), 0)
    np.testing.assert_array_equal(low[found], low)


def test_a_set_whose_pictures_all_look_alike_is_compared_exactly():
    """A stroke at the same place on black: to the hash they are one picture."""
    base = np.zeros((32, 32), dtype=np.uint8)
    base[8:24, 14:18] = 255
    strokes = [Image.fromarray(np.maximum(base, v)).convert("RGB") for v in range(40)]
    assert usable_distance(hashes(strokes)) == -1


@pytest.mark.long
def test_real_photographs():
    """The figures of docs/evaluate_images.md, on a part of the sets."""
    one, other = (mirror_folder() / f"uoft-cs/cifar{n}/test.parquet" for n in (10, 100))
    if not (one.is_file() and other.is_file()):
        pytest.skip(
            f"{one} and {other} are not both there: OODBENCH_MIRROR is {os.environ.get('OODBENCH_MIRROR')}"
        )

    def read(path):
        rows = np.arange(2000)
        return [decode(data).image for _, data in MirrorFile(path, Columns("img", None)).images(rows)]

    pictures = read(one)
    known = hashes(pictures)
    assert overlapping(known, hashes(read(other))).mean() < 0.001
    for change in (
        lambda image: jpeg(image, 50),
        lambda image: scaled(image, 0.5),
        lambda image: scaled(image, 2),
    ):
        assert overlapping(known, hashes([change(image) for image in pictures])).mean() > 0.99


def test_what_the_model_takes_is_not_what_is_hashed():
    """Pictures that differ are the same once they are prepared for a small model: they are no duplicates."""
    image = scene(1, (64, 64))
    changed = image.copy()
    changed.putpixel((0, 0), (255, 0, 255))
    assert pixels(image).shape == (3, 16, 16)
    assert exact_of_image(image) != exact_of_image(changed)
