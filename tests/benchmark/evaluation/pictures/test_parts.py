"""ID images for fitting, thresholds and testing."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_files import class_folders, flat, pixels, png, scene

from benchmark.errors import DataError
from benchmark.evaluation.pictures.parts import classes_of_parts, list_parts, open_parts, sample
from benchmark.evaluation.pictures.sources import open_listing


def names(parts):
    return set(parts.train.names), set(parts.val.names), set(parts.test.names)


def read(source):
    return [name for batch in source.batches(8) for name in batch.names]


def test_one_folder_is_divided_class_by_class(tmp_path):
    parts = list_parts(class_folders(tmp_path, each=10))
    train, val, test = names(parts)
    assert len(train | val | test) == 30
    assert len(train) + len(val) + len(test) == 30
    for listing, each in ((parts.train, 6), (parts.val, 2), (parts.test, 2)):
        assert np.bincount(listing.labels).tolist() == [each] * 3
        assert list(listing.names) == sorted(listing.names)
    assert "18 images for fitting, 6 for thresholds, 6 for testing" in parts.notes[0]
    assert names(list_parts(tmp_path)) == (train, val, test)
    assert names(list_parts(tmp_path, seed=1)) != (train, val, test)


def test_another_file_moves_few_others(tmp_path):
    class_folders(tmp_path, each=25)
    before = names(list_parts(tmp_path))
    for index in range(5):
        scene(5000 + index).save(tmp_path / "cat" / f"new{index}.png")
        after = names(list_parts(tmp_path))
        moved = sum(len(old - new) for old, new in zip(before, after, strict=True))
        assert moved <= 2
        before = after


def test_small_classes(tmp_path):
    for name, n in (("one", 1), ("two", 2), ("three", 3)):
        flat(tmp_path / name, n)
    parts = list_parts(tmp_path)
    counts = [np.bincount(part.labels, minlength=3).tolist() for part in (parts.train, parts.val, parts.test)]
    assert counts == [[1, 1, 1], [0, 1, 0], [0, 1, 1]]  # one, three, two
    with pytest.raises(DataError, match="2 ID images of 1 classes cannot be divided"):
        list_parts(flat(tmp_path / "other", 2))


def test_flat_folders_can_be_divided_too(tmp_path):
    parts = list_parts(flat(tmp_path, 10))
    assert [len(part) for part in names(parts)] == [6, 2, 2]
    assert parts.train.labels is None


@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_folders_that_are_parts(tmp_path, val):
    class_folders(tmp_path / "train", each=3)
    class_folders(tmp_path / val, each=1, first=1000)
    class_folders(tmp_path / "test", ["dog", "owl"], each=2, first=2000)
    (tmp_path / "README.md").write_text("not a part")
    parts = list_parts(tmp_path)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [9, 3, 4]
    assert parts.test.class_names == parts.train.class_names == ("cat", "dog", "owl")
    assert parts.test.labels.tolist() == [1, 1, 2, 2]
    assert "1 of the 3 classes are not here" in parts.test.notes


@pytest.mark.parametrize("there", ["val", "test"])
def test_thresholds_need_images_of_their_own(tmp_path, there):
    class_folders(tmp_path / "train", each=10)
    class_folders(tmp_path / there, each=2, first=1000)
    parts = list_parts(tmp_path)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [24, 6, 6]
    assert f"'{there}' is for testing" in parts.notes[0]


def test_a_part_without_labels(tmp_path):
    flat(tmp_path / "train", 5)
    class_folders(tmp_path / "test", each=2)
    parts = list_parts(tmp_path)
    classes = classes_of_parts(parts, None, 3)
    train, _, test = open_parts(parts, title="mine", prepare=pixels, classes=classes)
    assert next(iter(train.batches(9))).labels is None
    assert next(iter(test.batches(9))).labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_splits_of_the_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    (tmp_path / "some" / "birds").mkdir(parents=True)
    for name, n in (("train", 6), ("validation", 3), ("test", 4)):
        made = pa.table({"img": [png(scene(i)) for i in range(n)], "label": [i % 3 for i in range(n)]})
        pq.write_table(made, tmp_path / "some" / "birds" / f"{name}.parquet")
    parts = list_parts("hub:some/birds")
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == [6, 3, 4]
    with pytest.raises(
        DataError, match=r"6 ID images of 3 classes cannot be divided .* at least 3 of a class"
    ):
        list_parts("hub:some/birds:train")


def test_parts_that_do_not_suffice(tmp_path):
    class_folders(tmp_path / "val")
    with pytest.raises(DataError, match="has 'val' alone; expected 'train'"):
        list_parts(tmp_path)


def test_a_class_called_train_is_no_part(tmp_path):
    class_folders(tmp_path, ["train", "tractor"], each=5)
    assert list_parts(tmp_path).train.class_names == ("tractor", "train")


def test_no_part_repeats_the_pixels_of_another(tmp_path):
    class_folders(tmp_path / "train", each=4)
    class_folders(tmp_path / "val", each=3, first=1000)
    class_folders(tmp_path / "test", each=3, first=2000)
    shutil.copy(tmp_path / "train/cat/000.png", tmp_path / "val/cat/copy.png")
    shutil.copy(tmp_path / "train/cat/001.png", tmp_path / "test/owl/copy.png")
    shutil.copy(tmp_path / "val/dog/000.png", tmp_path / "test/dog/copy.png")
    shutil.copy(tmp_path / "test/dog/000.png", tmp_path / "test/dog/again.png")  # in one part it may be twice
    parts = list_parts(tmp_path)
    classes = classes_of_parts(parts, ("owl", "dog", "cat"), 3)
    assert classes.to_model == (2, 1, 0)
    train, val, test = open_parts(parts, title="mine", prepare=pixels, classes=classes)
    assert len(read(train)) == 12
    assert "cat/copy.png" not in read(val)
    left = read(test)
    assert len(left) == 10
    assert {"dog/again.png", "dog/000.png"} <= set(left)
    assert any(note.startswith("2 images are in another part") for note in test.card["notes"])
    assert len(read(train)) == 12  # once more, and the same
    assert "parts as their names say" in train.card["notes"]
    shutil.rmtree(tmp_path / "val")
    shutil.copytree(tmp_path / "train", tmp_path / "val")
    train, val, _ = open_parts(list_parts(tmp_path), title="mine", prepare=pixels, classes=classes)
    read(train)
    with pytest.raises(DataError, match="mine, val: all 12 images are in another part"):
        read(val)


def test_a_sample_has_as_many_of_each_class(tmp_path):
    class_folders(tmp_path, each=10)
    flat(tmp_path / "rare", 2)
    listing = open_listing(tmp_path, role="id_train")
    some = sample(listing, 14)
    assert np.bincount(some.labels).tolist() == [4, 4, 4, 2]
    assert set(sample(listing, 9).names) <= set(some.names)
    assert list(some.names) == sorted(some.names)
    assert sample(listing, 99) is listing
    assert "14 of 32 images" in some.notes[-1]
