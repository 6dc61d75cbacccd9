"""Datasets of the Hub: how they get into the mirror, and what is refused."""

import json
import threading
from types import SimpleNamespace

import datasets
import huggingface_hub
import pyarrow.parquet as pq
import pytest
from hub_files import CLASSES, encode, hub_dataset, images_column, noise, write_raw, write_split
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

from benchmark.errors import DataError, StorageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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
