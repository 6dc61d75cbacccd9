"""Sets of images in folders, lists, tables and the mirror, a batch at a time."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from image_files import class_folders, flat, floats, pixels, png, scene
from PIL import Image

from benchmark.datasets.download import HubSplit
from benchmark.errors import DataError, UsageError
from benchmark.evaluation.pictures.classes import numbered
from benchmark.evaluation.pictures.sources import classes_of, open_listing, open_source


def opened(where, role="far", *, count=3, names=None, prepare=pixels):
    if role == "far":
        return open_source(where, title="a set", prepare=prepare, classes=None, role=role)
    listing = open_listing(where, role=role)
    return open_source(
        listing, title="a set", prepare=prepare, classes=classes_of(listing, names, count), role=role
    )


def read(source, size=4):
    batches = list(source.batches(size))
    names = tuple(name for batch in batches for name in batch.names)
    labels = [batch.labels for batch in batches]
    return names, None if labels[0] is None else torch.cat(labels).tolist(), batches


def broken(source):
    return {one["name"]: one["reason"] for one in source.card["broken"]["first"]}


def test_class_folders(tmp_path):
    source = opened(class_folders(tmp_path), "id_train", names=("owl", "cat", "dog"))
    names, labels, batches = read(source, 5)
    assert source.expected == 12
    assert [len(batch.names) for batch in batches] == [5, 5, 2]
    assert names[0] == "cat/000.png"
    assert names[-1] == "owl/003.png"
    assert labels == [1] * 4 + [2] * 4 + [0] * 4
    assert batches[0].images.shape == (5, 3, 16, 16)
    assert torch.equal(batches[0].images[0], pixels(scene(0)))
    assert batches[0].exact.dtype == batches[0].near.dtype == np.uint64
    card = source.card
    assert card["n"] == 12
    assert card["by_class"] == {"cat": 4, "dog": 4, "owl": 4}
    assert card["sizes"]["width"] == {"min": 40, "median": 40.0, "max": 40}
    assert card["kinds"] == {"colour": 12}
    assert card["broken"] == {"count": 0, "first": []}
    assert json.loads(json.dumps(card)) == card
    assert source.picture("dog/001.png").tobytes() == scene(101).tobytes()
    assert source.picture("nobody.png") is None


def test_the_order_is_that_of_names_whatever_the_batch(tmp_path):
    source = opened(class_folders(tmp_path), "id_test")
    first = read(source, 1)
    again = read(source, 100)
    assert first[:2] == again[:2]
    assert torch.equal(torch.cat([b.images for b in first[2]]), again[2][0].images)
    np.testing.assert_array_equal(np.concatenate([b.near for b in first[2]]), again[2][0].near)
    assert source.card["n"] == 12  # counted anew in each pass


def test_a_flat_folder_and_a_single_image(tmp_path):
    source = opened(flat(tmp_path, 1))
    names, labels, batches = read(source)
    assert (names, labels) == (("000.png",), None)
    assert batches[0].near.shape == (1,)


def test_an_id_folder_without_classes_has_no_labels(tmp_path):
    source = opened(flat(tmp_path), "id_test")
    assert read(source)[1] is None
    assert source.card["labelled"] is False
    assert "no labels" in source.card["notes"][0]


def test_ood_folders_may_be_mixed_and_deep(tmp_path):
    flat(tmp_path, 2)
    flat(tmp_path / "deep" / "deeper", 1)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_text("nothing")
    source = opened(tmp_path)
    assert read(source)[0] == ("000.png", "001.png", "deep/deeper/000.png")
    assert source.card["notes"] == ["1 files that are no images by their names were passed over"]
    with pytest.raises(DataError, match=r"2 loose images, such as 000.png, beside folders .*'deep'"):
        open_listing(tmp_path, role="id_train")


def test_nothing_to_find(tmp_path):
    (tmp_path / "a.docx").write_text("no image")
    with pytest.raises(DataError, match=r"has no images .*it has 1 × \.docx"):
        open_listing(tmp_path, role="far")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no files at all"):
        open_listing(tmp_path / "empty", role="far")
    with pytest.raises(UsageError, match=r"nowhere is not there; expected a folder, \.parquet"):
        open_listing(tmp_path / "nowhere", role="far")
    with pytest.raises(UsageError, match=r"ends in '\.docx'"):
        open_listing(tmp_path / "a.docx", role="far")
    with pytest.raises(UsageError, match="is not there"):
        open_listing("a\0b", role="far")
    with pytest.raises(UsageError, match="is no path"):
        open_listing("a" * 5000, role="far")


def test_broken_files_are_named_and_left_out(tmp_path):
    class_folders(tmp_path, each=3)
    (tmp_path / "cat" / "000.png").write_bytes(b"")
    (tmp_path / "dog" / "zzz.jpg").write_bytes(b"<html>")
    whole = png(scene(9))
    (tmp_path / "owl" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "owl" / "gone.png").symlink_to(tmp_path / "nothing")
    source = opened(tmp_path, "id_test")
    names, labels, batches = read(source, 4)
    assert len(names) == 8
    assert labels == [0, 0, 1, 1, 1, 2, 2, 2]
    assert max(len(batch.names) for batch in batches) <= 4
    assert source.expected == 12
    assert source.card["broken"]["count"] == 4
    assert broken(source)["cat/000.png"] == "is empty"
    assert "format" in broken(source)["dog/zzz.jpg"]
    assert "No such file" in broken(source)["owl/gone.png"]
    assert source.picture("owl/cut.png") is None


def test_of_many_broken_files_the_first_are_named(tmp_path):
    flat(tmp_path, 2)
    for index in range(30):
        (tmp_path / f"x{index:02}.png").write_bytes(b"nothing")
    source = opened(tmp_path)
    read(source)
    assert source.card["broken"]["count"] == 30
    assert len(source.card["broken"]["first"]) == 20


def test_all_broken_is_an_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"xx")
    with pytest.raises(DataError, match=r"a set: none of the 2 images can be used; a\.png: is empty; b\.png"):
        read(opened(tmp_path))


def test_preparation_that_fails(tmp_path):
    flat(tmp_path, 3)
    Image.new("RGB", (1, 1)).save(tmp_path / "tiny.png")

    def picky(image):
        if image.width < 8:
            raise ValueError("too small")
        return pixels(image)

    source = opened(tmp_path, prepare=picky)
    assert len(read(source)[0]) == 3
    assert broken(source) == {"tiny.png": "cannot be prepared: ValueError: too small"}
    with pytest.raises(DataError, match=r"expected images of one size"):
        read(opened(tmp_path, prepare=lambda image: torch.zeros(3, image.width, 4)))
    with pytest.raises(DataError, match="`prepare` gave str, expected a tensor"):
        read(opened(tmp_path, prepare=lambda image: "x"))
    with pytest.raises(UsageError, match="pictures cannot be given"):
        opened(tmp_path, prepare=None)
    assert read(opened(tmp_path, prepare=floats))[2][0].images.dtype == torch.float32


def test_hostile_names_do_no_harm(tmp_path):
    root = os.fsencode(tmp_path)
    for name in (
        b"a\nb.png",
        b"a b.png",
        b"\xff\xfe.png",
        b"<script>alert(1)<!--.png",
        b"\x1b[31m.png",
        b"-rf.png",
    ):
        Path(os.fsdecode(root + b"/" + name)).write_bytes(png(scene(1)))
    (tmp_path / "list.csv").write_bytes(b"path\n\xff\xfe.png\n")
    source = opened(tmp_path)
    names = read(source)[0]
    assert len(set(names)) == 6
    assert {"a b.png", "a b.png (2)", "\\xff\\xfe.png", "\\x1b[31m.png"} <= set(names)
    json.dumps(source.card)
    assert read(opened(tmp_path / "list.csv"))[0] == ("\\xff\\xfe.png",)
    for name in names:
        name.encode()
        assert source.picture(name).size == (40, 40)


def test_loops_of_links_end(tmp_path):
    class_folders(tmp_path, each=2)
    (tmp_path / "cat" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "elsewhere").symlink_to(class_folders(tmp_path.parent / "other"), target_is_directory=True)
    source = opened(tmp_path)
    names = read(source)[0]
    assert len(names) == 6 + 12  # a link at the top is followed, those below are not
    assert list(broken(source)) == ["self.png"]


def test_a_pipe_is_not_waited_for(tmp_path):
    flat(tmp_path, 1)
    os.mkfifo(tmp_path / "pipe.png")
    assert len(read(opened(tmp_path))[0]) == 1


def test_one_class_only_is_an_error(tmp_path):
    with pytest.raises(DataError, match="one class only"):
        opened(class_folders(tmp_path, ["cat"]), "id_train", count=1)


def listed(tmp_path, text, name="list.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_list_of_paths_and_labels(tmp_path):
    class_folders(tmp_path / "images")
    flat(tmp_path / "more", 1)
    last = f"owl,,{tmp_path}/more/000.png"
    text = f"label,note,image\ndog,x,images/dog/000.png\ncat,,images/cat/001.png\n\n{last}\n"
    source = opened(listed(tmp_path, text), "id_test", names=("cat", "dog", "owl"))
    names, labels, _ = read(source)
    assert names[:2] == ("images/dog/000.png", "images/cat/001.png")
    assert labels == [1, 0, 2]
    assert source.card["from"] == "CSV"
    for separator in ";\t":
        other = listed(tmp_path, "\ufeff" + text.replace(",", separator))
        assert read(opened(other, "id_test", names=("cat", "dog", "owl")))[1] == [1, 0, 2]


def test_numbers_in_a_list_are_the_models_own(tmp_path):
    flat(tmp_path)
    path = listed(tmp_path, "path,class\n000.png,7\n001.png,2\n002.png,2\n")
    assert read(opened(path, "id_test", count=8))[1] == [7, 2, 2]
    with pytest.raises(DataError, match=r"labels 2 to 7, and the model has 5 classes"):
        opened(path, "id_test", count=5)
    same = listed(tmp_path, "path,class\n000.png,2\n001.png,2\n")
    with pytest.raises(DataError, match="one class only"):
        opened(same, "id_test", count=5)


def test_missing_files_of_a_list_are_named(tmp_path):
    flat(tmp_path, 1)
    source = opened(listed(tmp_path, "file\n000.png\nnowhere/a.png\n"))
    assert read(source)[0] == ("000.png",)
    assert "No such file" in broken(source)["nowhere/a.png"]
    assert source.card["notes"] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"line 1: no column 'path', 'image', 'file'; it has nothing"),
        ("name,label\na,b\n", r"line 1: no column .*it has 'name', 'label'"),
        ("path,label\n", "lists no images"),
        ("path,label\na.png,x\nb.png\n", "line 3: 1 cells, expected 2"),
        ("path,label\na.png,x\n,y\n", "line 3: no path"),
        ("path,label\na.png,x\nb.png,\n", "line 3: no label, which others have"),
        ("path,label\na.png,x\nhttps://a/b.png,y\n", "line 3: 'https://a/b.png' is no path"),
        ("path,label\na.png,x\nb.png,y\na.png,y\n", r"line 4: 'a.png' is 'y', and on line 2 it is 'x'"),
        ('path,label\na.png,x\n"b.png,y\n', "line 3"),
        (b"path,label\na.png,x\nb.png,\xe9\n", r"line 3: label '.*xe9' is no UTF-8"),
        ("path\n" + "x" * 200_000 + "\n", "line 2"),
    ],
    ids=range(11),
)
def test_lists_that_are_wrong_say_where(tmp_path, text, says):
    with pytest.raises(DataError, match=says):
        open_listing(listed(tmp_path, text), role="id_train")


def test_repeated_lines_are_passed_over(tmp_path):
    flat(tmp_path, 1)
    source = opened(listed(tmp_path, "path\n000.png\n000.png\n"))
    assert read(source)[0] == ("000.png",)
    assert source.card["notes"] == ["1 lines repeat another one and were passed over"]


def table(path, images, **columns):
    cells = [None if image is None else {"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = pa.table({"image": pa.array(cells, kind), **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, row_group_size=3, write_page_checksum=True)
    return path


def test_a_parquet_file(tmp_path):
    images = [png(scene(index)) for index in range(8)]
    images[1], images[2], images[6] = None, b"", png(scene(6))[:50]
    path = table(tmp_path / "a.parquet", images, label=list(range(8)))
    source = opened(path, "id_test", count=8)
    names, labels, _ = read(source, 2)
    assert names == ("row 0", "row 3", "row 4", "row 5", "row 7")
    assert labels == [0, 3, 4, 5, 7]
    assert broken(source)["row 1"] == "has no bytes; a path to them is not followed"
    assert broken(source)["row 2"] == "is empty"
    assert source.picture("row 4").tobytes() == scene(4).tobytes()
    assert read(opened(path))[1] is None


def test_columns_of_other_names(tmp_path):
    made = pa.table({"photo": [png(scene(0)), png(scene(1))], "thumb": [b"", b""], "kind": ["owl", "cat"]})
    path = tmp_path / "a.parquet"
    pq.write_table(made, path)
    with pytest.raises(DataError, match=r"which column has the images\? name it with \?image=COLUMN"):
        open_listing(path, role="far")
    found = open_listing(f"{path}?image=photo&label=kind", role="id_test")
    assert found.class_names == ("cat", "owl")
    assert found.labels.tolist() == [1, 0]
    with pytest.raises(UsageError, match="'imgae'; did you mean 'image'"):
        open_listing(f"{path}?imgae=photo", role="far")
    with pytest.raises(DataError, match="no column 'foto'"):
        open_listing(f"{path}?image=foto", role="far")


def test_damaged_tables(tmp_path):
    path = table(tmp_path / "a.parquet", [png(scene(index)) for index in range(6)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        open_listing(path, role="far")
    place = whole.index(png(scene(4))[20:40])
    path.write_bytes(whole[:place] + b"garbage!" + whole[place + 8 :])
    source = opened(path)
    assert read(source)[0] == ("row 0", "row 1", "row 2")
    assert source.card["broken"]["count"] == 3
    assert "damaged" in broken(source)["row 3"]


def test_a_hub_set_from_the_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    images = [png(scene(index)) for index in range(4)]
    path = table(tmp_path / "some" / "birds" / "test.parquet", images, label=[0, 1, 2, 1])
    assert read(opened("hub:some/birds:test", "id_test"))[1] == [0, 1, 2, 1]
    source = opened("hub:some/birds@abc", "id_test")  # the only split
    read(source)
    assert "does not say which revision" in source.card["notes"][1]
    path.with_suffix(".json").write_text('{"revision": "abcdef"}')
    assert len(opened("hub:some/birds@abc", "id_test").card["notes"]) == 1
    with pytest.raises(DataError, match="is of revision abcdef, not 123"):
        open_listing("hub:some/birds@123:test", role="far")
    table(tmp_path / "some" / "birds" / "extra.parquet", images)
    with pytest.raises(UsageError, match=r"name a split, .*the mirror has extra, test"):
        open_listing("hub:some/birds", role="far")
    with pytest.raises(DataError, match="cannot be a path in the mirror"):
        open_listing("hub:../../etc:passwd", role="far")


def test_a_hub_set_that_is_not_in_the_mirror_is_fetched(tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path))
    asked = []

    def fetched(wanted, path, verify):
        asked.append(wanted)
        table(path, [png(scene(index)) for index in range(4)])
        assert verify(path) == 4
        path.with_suffix(".json").write_text('{"revision": "abc"}')

    monkeypatch.setattr("benchmark.evaluation.pictures.tables.fetch", fetched)
    for _ in range(2):
        assert len(open_listing("hub:some/birds@abc:test?config=large", role="far")) == 4
    assert asked == [HubSplit("some/birds", "large", "test", "abc")]
    assert (tmp_path / "some/birds/large/test.parquet").is_file()


def test_memory_is_flat_in_the_number_of_images(tmp_path):
    """Pictures of 3 MB each: never more than a few batches' worth of them."""
    big = png(Image.new("RGB", (1000, 1000), "red"))

    def peak(n):
        folder = tmp_path / str(n)
        folder.mkdir()
        for index in range(n):
            (folder / f"{index:03}.png").write_bytes(big)
        tracemalloc.start()
        count = sum(len(batch.names) for batch in opened(folder).batches(4))
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert count == n
        return most

    few, many = peak(12), peak(60)
    assert many < few + 3_000_000


def test_tensors_that_wait_are_a_few_batches(tmp_path):
    flat(tmp_path, 90)
    prepared, most, given = 0, 0, 0

    def counting(image):
        nonlocal prepared
        prepared += 1
        return pixels(image)

    for batch in opened(tmp_path, prepare=counting).batches(5):
        given += len(batch.names)
        most = max(most, prepared - given)
    assert given == 90
    assert most <= 5 + 4 * 8


def test_a_pass_that_is_left_leaves_no_threads(tmp_path):
    import threading

    flat(tmp_path, 40)
    batches = opened(tmp_path).batches(2)
    next(batches)
    batches.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]


def test_numbers_out_of_range_are_refused_before_anything_is_read(tmp_path):
    listing = open_listing(listed(tmp_path, "path,label\na.png,1\nb.png,9\n"), role="id_test")
    with pytest.raises(DataError, match="label 9: expected 0 to 2"):
        open_source(listing, title="t", prepare=pixels, classes=numbered(3), role="id_test")
