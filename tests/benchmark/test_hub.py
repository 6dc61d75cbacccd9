"""Datasets of the Hub: what they give from the mirror, how they get there, and what is wrong with them."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import numpy as np
import pyarrow.parquet as pq
import pytest
from hub_files import CLASSES, encode, hub_dataset, images_column, noise, write_raw, write_split
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from benchmark.datasets import UNLABELLED, DataMissing, HubDataset, dataset, dataset_names
from benchmark.errors import DataError, StorageError

SHARED = Path(__file__).parents[3] / "shared" / "data"
HUB = [name for name in dataset_names() if isinstance(dataset(name), HubDataset)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def mirror(monkeypatch, tmp_path):
    """An empty mirror, and no network."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*_, **__):
        raise AssertionError("a test must not use the network")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    return tmp_path / "mirror"


def fill(entry, split="test", rows=None, size=(8, 8)):
    """Put a split into the mirror, its classes in turn; returns the pixels (N, H, W, 3)."""
    rows = rows or entry.splits[split]
    pixels = [noise(*size, seed=i) for i in range(rows)]
    labels = [i % 3 for i in range(rows)] if entry.card.labelled else None
    write_split(entry.place(split), [encode(p) for p in pixels], labels)
    return np.stack(pixels)


# What the catalog has


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
    assert entry.module == "benchmark.datasets.pixels"


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
        HubDataset(card, "a/b", {"test": 1}, label_column="label")
    with pytest.raises(ValueError, match="label_column must be given exactly if labelled"):
        HubDataset(card, "a/b", {"test": 10_000})


# Reading


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
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"},
    )  # fmt: skip
    assert int(done.stdout) < 75_000  # KiB: 500 encoded images and what is read ahead


# Getting


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """A folder that `datasets` reads in place of the Hub's repository, and what it was asked for."""
    folder, asked = tmp_path / "repository", []
    real = datasets.load.load_dataset

    def local(name, config, *, revision, **options):
        asked.append((name, config, options["split"], revision))
        return real(str(folder), config, **options, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", local)
    return folder, asked


def publish(folder, rows=250, splits=("test", "train"), **options):
    """Write splits as the Hub has them; returns the encoded images of each, JPEG and PNG by turns."""
    published = {}
    for number, split in enumerate(splits):
        published[split] = [
            encode(noise(9, 8, seed=1000 * number + i), ("JPEG", "PNG")[i % 2]) for i in range(rows)
        ]
        path = folder / "data" / f"{split}-00000-of-00001.parquet"
        write_split(path, published[split], [i % 3 for i in range(rows)], **options)
    return published


def test_a_split_is_fetched_with_its_bytes_as_they_are(repository, mirror):
    folder, asked = repository
    published = publish(folder)
    entry = hub_dataset(rows=250, revision=COMMIT)
    told = []
    entry.download("test", told.append)
    assert asked == [("us/insects", None, "test", COMMIT)]
    assert told == [100, 200, 250]
    stored = pq.read_table(entry.path("test"))
    assert [row["bytes"] for row in stored["image"].to_pylist()] == published["test"]
    assert entry.check("test") == []
    assert entry.build(8, None, 0, split="test").labels.tolist() == [i % 3 for i in range(250)]
    assert sorted(path.name for path in (mirror / "us" / "insects").iterdir()) == [
        "test.json",
        "test.parquet",
    ]
    # Another reader knows an image and the names of the classes when it sees them.
    features = datasets.Features.from_arrow_schema(stored.schema)
    assert features == {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}


def test_names_that_only_the_repositorys_page_knows_are_kept(repository):
    folder, _ = repository
    data = images_column([encode(noise(seed=i)) for i in range(6)])
    write_raw(folder / "data" / "test-00000-of-00001.parquet", image=data, label=[0, 1, 2] * 2)
    (folder / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - {name: image, dtype: image}\n"
        "  - name: label\n    dtype: {class_label: {names: {'0': ant, '1': bee, '2': cat}}}\n---\n"
    )
    entry = hub_dataset(revision=COMMIT)
    entry.download("test")
    features = datasets.Features.from_arrow_schema(pq.read_schema(entry.path("test")))
    assert features == {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(CLASSES))}


def test_the_file_beside_it_says_where_it_is_from(repository):
    publish(repository[0], rows=6)
    entry = hub_dataset(revision=COMMIT)
    entry.download("test")
    origin = json.loads(entry.path("test").with_suffix(".json").read_text())
    assert origin.pop("date").startswith("20")
    assert origin == {
        "repository": "us/insects",
        "revision": COMMIT,
        "sha256": entry.digest("test"),
        "rows": 6,
    }


def test_without_a_pinned_revision_the_newest_is_resolved_and_recorded(repository, monkeypatch):
    folder, asked = repository
    publish(folder, rows=6)
    newest = type("Info", (), {"sha": COMMIT})
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda _, name: newest)
    entry = hub_dataset()
    entry.download("test")
    assert asked == [("us/insects", None, "test", COMMIT)]
    assert json.loads(entry.path("test").with_suffix(".json").read_text())["revision"] == COMMIT


def test_a_configuration_has_a_folder_of_its_own(repository, mirror):
    folder, asked = repository
    publish(folder / "small", rows=6)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: small\n  data_files:\n"
        "  - {split: test, path: small/data/test-*}\n  - {split: train, path: small/data/train-*}\n"
        "- config_name: large\n  data_files: nothing/*\n---\n"
    )
    entry = hub_dataset(revision=COMMIT, config="small")
    entry.download("test")
    assert asked[0][1] == "small"
    assert entry.path("test") == mirror / "us" / "insects" / "small" / "test.parquet"
    assert entry.check("test") == []


def test_only_the_split_that_is_asked_for_is_read(repository):
    """ImageNet's validation set is 7 GB, its training set 140. Of other files only the schema is read."""
    publish(repository[0], rows=6)
    other = repository[0] / "data" / "train-00000-of-00001.parquet"
    whole = other.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    other.write_bytes(b"PAR1" + bytes(len(whole) - footer - 4) + whole[-footer:])
    entry = hub_dataset(revision=COMMIT)
    entry.download("test")
    assert entry.check("test") == []


def nothing_left(mirror):
    return not [path for path in mirror.rglob("*") if path.is_file()]


def test_what_is_not_as_the_catalog_has_it_is_not_kept(repository, mirror):
    folder, _ = repository
    publish(folder, rows=7)
    with pytest.raises(DataError, match=r"as fetched: .* has 7 rows, expected 6"):
        hub_dataset(revision=COMMIT).download("test")
    publish(folder, rows=6, names=("bee", "ant", "cat"))
    with pytest.raises(DataError, match="classes in another order: bee, ant"):
        hub_dataset(revision=COMMIT).download("test")
    publish(folder, rows=6, names=(*CLASSES, "dog"))
    with pytest.raises(DataError, match="4 classes, expected 3"):
        hub_dataset(revision=COMMIT).download("test")
    publish(folder, rows=6, image="picture")
    with pytest.raises(DataError, match="no column 'image'"):
        hub_dataset(revision=COMMIT).download("test")
    assert nothing_left(mirror)


def test_a_class_may_be_spelt_otherwise(repository):
    publish(repository[0], rows=6, names=("ant", "bee", "kat"))
    entry = hub_dataset(revision=COMMIT)
    entry.download("test")
    assert entry.check("test") == []


def test_a_failure_keeps_the_old_file_and_leaves_no_other(repository, mirror, monkeypatch):
    folder, _ = repository
    publish(folder, rows=250)
    entry = hub_dataset(rows=250, revision=COMMIT)
    entry.download("test")
    before = entry.path("test").read_bytes()

    def stop(rows):
        if rows > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        entry.download("test", stop)
    assert entry.path("test").read_bytes() == before
    assert entry.check("test") == []
    assert sorted(path.name for path in (mirror / "us" / "insects").iterdir()) == [
        "test.json",
        "test.parquet",
    ]


def test_a_split_that_the_repository_does_not_have(repository, mirror):
    publish(repository[0], rows=6)
    with pytest.raises(
        DataError, match=r"split 'valid' of https://\S+/us/insects is not there: .*\['train', 'test'\]"
    ):
        hub_dataset(splits={"valid": 6}, revision=COMMIT).download("valid")
    assert nothing_left(mirror)


def test_a_configuration_that_the_repository_does_not_have(repository):
    publish(repository[0], rows=6)
    with pytest.raises(DataError, match=r"config 'huge' is not there: .*huge"):
        hub_dataset(revision=COMMIT, config="huge").download("test")


def answer(kind, status=404):
    """An error of the Hub's client with the answer that it came from."""
    request = SimpleNamespace(method="GET", url="https://huggingface.co/api/datasets/us/insects")
    response = SimpleNamespace(status_code=status, headers={}, request=request)
    return kind(f"{status} Client Error", response=response)


class ConnectError(Exception):
    """As the HTTP client that `huggingface_hub` brings along has it; which one differs by version."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            answer(GatedRepoError, 403),
            "may not be read: .*accept its terms on .*hf auth login.* or set HF_TOKEN",
        ),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'us/insects' is a gated dataset on the Hub."),
            "may not be read: .*accept its terms on https://huggingface.co/datasets/us/insects",
        ),
        (answer(RepositoryNotFoundError), "is not there: .*may have moved, or be private"),
        (answer(RevisionNotFoundError), f"there is no revision '{COMMIT}'"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'us/insects' doesn't exist"), "is not there: "),
        (ConnectError("Name or service not known"), "cannot be reached: .*check the network"),
        (ConnectionError("Couldn't reach 'us/insects' on the Hub"), "cannot be reached: "),
        (huggingface_hub.errors.OfflineModeIsEnabled("offline"), "cannot be reached: .*HF_HUB_OFFLINE"),
        (TimeoutError("timed out"), "cannot be reached: "),
        (MemoryError("too large"), "cannot be fetched: MemoryError: too large"),
    ],
)
@pytest.mark.parametrize("pinned", [True, False])
def test_a_refusal_says_what_to_do(monkeypatch, mirror, error, message, pinned):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    if not pinned:
        message = message.replace(COMMIT, "None").replace("'None'", "None")
    with pytest.raises(DataError, match=message) as caught:
        hub_dataset(revision=COMMIT if pinned else None).download("test")
    assert "split 'test' of https://huggingface.co/datasets/us/insects" in str(caught.value)
    assert nothing_left(mirror)


def test_a_set_that_no_one_hosts_says_where_to_get_it(mirror):
    entry = hub_dataset(repository="local/insects", labelled=False)
    assert not entry.on_hub("test")
    with pytest.raises(DataError, match=r"https://example\.org/insects and put it there as \S+test\.parquet"):
        entry.download("test")
    entry = hub_dataset(local_splits=frozenset({"train"}))
    assert [entry.on_hub(split) for split in ("test", "train")] == [True, False]
    with pytest.raises(DataError, match=r"on no Hub repository.*and 'label', integers from 0"):
        entry.download("train")


def test_a_mirror_that_cannot_be_written(repository, mirror):
    publish(repository[0], rows=6)
    mirror.mkdir()
    (mirror / "us").write_text("a file where a folder must be")
    with pytest.raises(StorageError, match=r"a part of the path is a file|there is a file of that name"):
        hub_dataset(revision=COMMIT).download("test")


def test_a_disk_that_fills_up(repository, monkeypatch, small_disk):
    publish(repository[0], rows=2500)
    disk = small_disk("size=300k")
    monkeypatch.setenv("OODBENCH_MIRROR", str(disk / "mirror"))
    with pytest.raises(StorageError, match="free some space"):
        hub_dataset(rows=2500, revision=COMMIT).download("test")
    assert nothing_left(disk)


def test_two_at_once_leave_one_whole_file(repository):
    publish(repository[0], rows=250)
    entry = hub_dataset(rows=250, revision=COMMIT)
    threads = [threading.Thread(target=entry.download, args=("test",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert entry.check("test") == []


# Checking


def test_a_good_file_has_nothing_wrong():
    entry = hub_dataset()
    fill(entry)
    assert entry.check("test") == []


def test_a_missing_file_is_wrong():
    (fault,) = hub_dataset().check("test")
    assert fault.endswith("oodbench data get insects:test")
    with pytest.raises(DataError, match="no split 'tests'"):
        hub_dataset().check("tests")


def test_a_checksum_that_differs_is_wrong():
    entry = hub_dataset()
    fill(entry)
    side = entry.path("test").with_suffix(".json")
    side.write_text(json.dumps({"sha256": entry.digest("test")}))
    assert entry.check("test") == []
    side.write_text(json.dumps({"sha256": "0" * 64}))
    (fault,) = entry.check("test")
    assert entry.digest("test") in fault
    assert "expected 0000" in fault


@pytest.mark.parametrize("text", ["", "[]", "{}", "7"])
def test_a_broken_file_beside_it_is_wrong(text):
    entry = hub_dataset()
    fill(entry)
    entry.path("test").with_suffix(".json").write_text(text)
    (fault,) = entry.check("test")
    assert "test.json cannot be read" in fault


def test_all_that_is_wrong_is_told_at_once():
    entry = hub_dataset(rows=40)
    encoded = [encode(noise())] * 5 + [b"no image"] * 20
    write_raw(entry.place("test"), image=images_column(encoded), label=[0] * 24 + [9])
    faults = entry.check("test")
    assert "has 25 rows, expected 40" in faults[0]
    assert "row 24 has label 9" in faults[1]
    assert [f"row {5 + i} cannot be decoded" in fault for i, fault in enumerate(faults[2:12])] == [True] * 10
    assert "10 more images cannot be decoded" in faults[12]
    assert len(faults) == 13


def test_a_cut_file_is_wrong():
    entry = hub_dataset()
    fill(entry)
    path = entry.path("test")
    path.write_bytes(path.read_bytes()[:-30])
    (fault,) = entry.check("test")
    assert "cannot be read" in fault


# The real thing


@pytest.fixture
def shared(monkeypatch):
    if not SHARED.is_dir():
        pytest.skip(f"the local mirror of CIFAR and MNIST is not here: {SHARED}")
    monkeypatch.setenv("OODBENCH_MIRROR", str(SHARED))


def test_cifar10(shared):
    images = dataset("cifar10").build(32, None, 0, split="test")
    assert images.images.shape == (10_000, 3, 32, 32)
    assert np.bincount(images.labels).tolist() == [1000] * 10
    mean = images.images.mean(axis=(0, 2, 3)) / 255
    np.testing.assert_allclose(mean, (0.4942, 0.4851, 0.4504), atol=1e-4)
    subset = dataset("cifar10").build(32, 500, 3, split="test")
    assert np.bincount(subset.labels).tolist() == [50] * 10


def test_mnist_and_cifar100(shared):
    digits = dataset("mnist").build(28, 1000, 0, split="test")
    assert (digits.images[:, 0] == digits.images[:, 2]).all()
    assert np.bincount(digits.labels).tolist() == [100] * 10
    objects = dataset("cifar100").build(32, 200, 0, split="train_375_per_class")
    assert np.bincount(objects.labels).tolist() == [2] * 100
    assert dataset("cifar100").digest("test").startswith("b75b4e8fcee0394d")
