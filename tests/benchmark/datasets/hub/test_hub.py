"""Datasets of the Hub: their cards, and what they give from the mirror."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_examples import fill
from hub_files import encode, hub_dataset, images_column, noise, write_raw, write_split
from places import ROOT

from benchmark.datasets import UNLABELLED, DataMissing, HubDataset, dataset, dataset_names
from benchmark.errors import DataError

HUB = [name for name in dataset_names() if isinstance(dataset(name), HubDataset)]


@pytest.mark.parametrize("name", HUB)
def test_a_card_says_what_a_reader_must_know(name):
    entry = dataset(name)
    card = entry.card
    assert all((card.title, card.description, card.licence, card.citation))
    assert card.source.startswith("http")
    assert card.size == next(iter(entry.splits.values()))
    assert (
        len(set(card.class_names)) >= len(card.class_names) - 2
    )  # ImageNet has two cranes, and two maillots
    assert entry.revision is None or len(entry.revision) == 40
    assert all(entry.place(split).suffix == ".parquet" for split in entry.splits)
    assert entry.definitions == ("benchmark.datasets.hub:HubDataset",)


def test_what_is_on_the_hub_is_pinned():
    assert [name for name in HUB if dataset(name).repository.startswith("local/")] == [
        "inaturalist",
        "ninco",
        "openimage_o",
        "places365",
        "ssb_hard",
    ]
    assert all(dataset(n).revision for n in HUB if not dataset(n).repository.startswith("local/"))


def test_classes_of_the_catalog():
    counts = {name: len(dataset(name).card.class_names) for name in HUB if dataset(name).card.labelled}
    assert counts == {
        "cifar10": 10,
        "cifar100": 100,
        "imagenet1k": 1000,
        "mnist": 10,
        "svhn": 10,
        "textures": 47,
        "tiny_imagenet": 200,
    }
    names = dataset("imagenet1k").card.class_names
    assert (names[0], names[207], names[999]) == (
        "tench, Tinca tinca",
        "golden retriever",
        "toilet tissue, toilet paper, bathroom tissue",
    )


def test_a_size_or_a_label_column_that_does_not_fit_the_card_is_refused():
    card = dataset("cifar10").card
    with pytest.raises(ValueError, match="size must be that of the first split"):
        HubDataset(card, {"test": 1}, repository="a/b", label_column="label")
    with pytest.raises(ValueError, match="label_column must be given exactly if labelled"):
        HubDataset(card, {"test": 10_000}, repository="a/b")


def test_all_images_in_the_order_of_the_file():
    entry = hub_dataset(rows=7)
    pixels = fill(entry)
    images = entry.build(8, None, 0, split="test")
    np.testing.assert_array_equal(images.images, pixels.transpose(0, 3, 1, 2))
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert images.labels.dtype == np.int64
    assert entry.build(8, None, 99, split="test").fingerprint() == images.fingerprint()


def test_a_stream_gives_batches_of_500_and_their_concatenation_is_the_set():
    entry = hub_dataset(rows=1203)
    fill(entry)
    count, batches = entry.stream(8, None, 0, split="test")
    parts = list(batches)
    assert (count, [len(part) for part in parts]) == (1203, [500, 500, 203])
    whole = entry.build(8, None, 0, split="test")
    np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), whole.images)
    np.testing.assert_array_equal(np.concatenate([part.labels for part in parts]), whole.labels)


def test_a_subset_is_balanced_and_has_the_right_pixels():
    entry = hub_dataset(rows=60)
    pixels = fill(entry).transpose(0, 3, 1, 2)
    whole = {image.tobytes(): row for row, image in enumerate(pixels)}
    chosen = entry.build(8, 10, 0, split="test")
    rows = [whole[image.tobytes()] for image in chosen.images]
    assert rows == sorted(set(rows))
    assert chosen.labels.tolist() == [row % 3 for row in rows]
    assert sorted(np.bincount(chosen.labels)) == [3, 3, 4]
    assert entry.stream(8, 10, 0, split="test")[0] == 10
    assert entry.build(8, 10, 0, split="test").fingerprint() == chosen.fingerprint()
    assert entry.build(8, 10, 1, split="test").fingerprint() != chosen.fingerprint()


def test_images_without_classes():
    entry = hub_dataset(rows=20, labelled=False)
    fill(entry)
    assert entry.build(8, None, 0, split="test").labels.tolist() == [UNLABELLED] * 20
    assert len(entry.build(8, 6, 0, split="test")) == 6


def test_size_and_crop():
    entry = hub_dataset()
    pixels = fill(entry, size=(20, 30))
    images = entry.build(10, None, 0, split="test", crop=0.5)
    np.testing.assert_array_equal(images.images, pixels.transpose(0, 3, 1, 2)[:, :, 5:15, 10:20])
    assert entry.build(10, None, 0, split="test").images.shape == (6, 3, 10, 10)
    assert entry.build(10, None, 0, split="test").fingerprint() != images.fingerprint()


def test_the_only_split_need_not_be_named_one_of_several_must():
    entry = hub_dataset(splits={"test": 6})
    fill(entry)
    assert len(entry.build(8, None, 0)) == 6
    with pytest.raises(DataError, match="several splits: name one with `split`; there are: test, train"):
        hub_dataset().build(8, None, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 7}, "image_size must be at least 8 pixels, got 7"),
        ({"n": 0}, "n must be at least 1, or None for all, got 0"),
        ({"crop": 0.0}, "crop must be above 0 and at most 1, got 0.0"),
        ({"crop": 1.5}, "got 1.5"),
        ({"crop": float("nan")}, "got nan"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    entry = hub_dataset()
    fill(entry)
    with pytest.raises(ValueError, match=message):
        entry.build(**{"image_size": 8, "n": None, "seed": 0, "split": "test", **arguments})


def test_more_images_than_there_are():
    entry = hub_dataset()
    fill(entry)
    with pytest.raises(DataError, match="n is 7, but split 'test' has 6 images; lower n"):
        entry.stream(8, 7, 0, split="test")


def test_a_split_that_is_not_here_names_the_command_that_gets_it():
    for entry, name in ((hub_dataset(), "insects:test"), (hub_dataset(splits={"test": 6}), "insects")):
        for use in (entry.path, entry.digest, lambda split, e=entry: e.build(8, None, 0, split=split)):
            with pytest.raises(DataMissing, match=f"oodbench data get {name}$") as caught:
                use("test")
            assert str(entry.place("test")) in str(caught.value)
    assert issubclass(DataMissing, DataError)


def test_an_unknown_split_suggests_the_nearest():
    with pytest.raises(DataError, match=r"no split 'tests'; did you mean 'test'\? there are: test, train"):
        hub_dataset().path("tests")


def test_digest_is_the_files_checksum():
    entry = hub_dataset()
    fill(entry)
    assert entry.digest("test") == hashlib.sha256(entry.path("test").read_bytes()).hexdigest()
    first = entry.digest("test")
    fill(entry, rows=7)
    assert entry.digest("test") != first


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_refused_before_any_image_is_read(label):
    entry = hub_dataset()
    write_raw(entry.place("test"), image=images_column([b"no image"] * 3), label=[0, label, label])
    with pytest.raises(DataError, match=rf"row 1 has label {label} .*expected 0 to 2; 2 of 3 labels"):
        entry.stream(8, None, 0, split="test")


def test_a_bad_image_is_named_when_its_batch_is_reached():
    entry = hub_dataset(rows=501)
    encoded = [encode(noise())] * 500 + [b"no image"]
    write_split(entry.place("test"), encoded, [0] * 501)
    count, batches = entry.stream(8, None, 0, split="test")
    assert (count, len(next(batches))) == (501, 500)
    with pytest.raises(DataError, match=r"test\.parquet: row 500 cannot be decoded"):
        next(batches)


def test_memory_stays_flat_whatever_the_size_of_the_file():
    """150 MB of images in one group of rows, streamed within half of that."""
    entry = hub_dataset(rows=2500)
    stuffing = noise(1, 60_000, 1).tobytes()
    encoded = [encode(noise()) + stuffing[i:] for i in range(2500)]  # Pillow reads no further than the image
    path = write_raw(entry.place("test"), image=images_column(encoded), label=[0] * 2500)
    assert path.stat().st_size > 140e6
    assert pq.ParquetFile(path).num_row_groups == 1
    script = (
        "import resource, numpy, pyarrow.parquet, PIL.Image\n"
        "from hub_files import hub_dataset\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for _ in hub_dataset(rows=2500).stream(8, None, 0, split='test')[1]: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests' / 'helpers'}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert int(done.stdout) < 75_000  # KiB: 500 encoded images and what is read ahead
