"""A new dataset: what can be read of its files is written, its card and its count are left to a person."""

import io
import runpy

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from small_checkout import checkout_in

from benchmark.datasets.declared import datasets_of
from benchmark.errors import DataError, UsageError
from benchmark.scaffold.dataset import new_dataset
from benchmark.spec.load import load_spec

CARD = ("title", "source", "licence", "citation")


def png(grey=0):
    written = io.BytesIO()
    Image.new("RGB", (8, 8), (grey,) * 3).save(written, "png")
    return written.getvalue()


def images(folder, **counts):
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"{i}.png").write_bytes(png(i))


def table(path, column="image", labels=None, features=None):
    rows = labels or [0, 0, 0]
    columns = {column: [{"bytes": png(i), "path": None} for i in range(len(rows))]}
    found = pa.table(columns | ({} if labels is None else {"label": labels}))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(found.replace_schema_metadata(features), path)
    return path


def begun(checkout, **source):
    """The addition, written, and what leaderboard.yaml says of it."""
    addition = new_dataset(checkout, "toy_new", **source)
    checkout.write(addition)
    spec = load_spec(checkout.leaderboard)
    return addition, spec, spec.datasets["toy_new"]


def test_a_folder_of_classes(checkout):
    images(checkout.root / "birds", robin=2, wren=1)
    addition, spec, declared = begun(checkout, folder=checkout.root / "birds")
    assert (declared.kind, declared.path) == ("folder", "birds")
    assert all(getattr(declared, key).startswith("TODO") for key in CARD)
    assert datasets_of(spec)["toy_new"].splits == {"all": 3}
    assert datasets_of(spec)["toy_new"].card.class_names == ("robin", "wren")
    test = "tests/benchmark/datasets/declared/test_toy_new.py"
    assert list(addition.files) == [test]
    assert addition.keys == ("datasets.toy_new",)
    assert addition.commands == (
        f"$EDITOR leaderboard.yaml {test}",
        "oodbench check toy_new",
        "oodbench show toy_new",
    )


def test_a_folder_of_splits(checkout):
    images(checkout.root / "birds" / "train", robin=2, wren=2)
    images(checkout.root / "birds" / "test", robin=1, wren=1)
    _, spec, declared = begun(checkout, folder=checkout.root / "birds")
    assert declared.path == {"train": "birds/train", "test": "birds/test"}
    assert datasets_of(spec)["toy_new"].splits == {"train": 4, "test": 2}


def test_a_path_is_relative_beside_the_checkout_and_whole_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "checkout").mkdir()
    checkout = checkout_in(tmp_path / "home" / "checkout", monkeypatch)
    images(tmp_path / "home" / "birds", robin=1)
    images(tmp_path / "birds", robin=1)
    near = new_dataset(checkout, "toy_new", folder=tmp_path / "home" / "birds")
    far = new_dataset(checkout, "toy_new", folder=tmp_path / "birds")
    assert "    path: ../birds\n" in near.leaderboard
    assert f"    path: {(tmp_path / 'birds').resolve()}\n" in far.leaderboard


NAMED = {"huggingface": '{"info": {"features": {"label": {"names": ["a", "b", "c"]}}}}'}


@pytest.mark.parametrize(
    ("column", "labels", "features", "expected"),
    [
        ("image", None, None, ("image", None, None)),
        ("img", None, None, ("img", None, None)),
        ("image", [0, 2, 1], NAMED, ("image", "label", ["a", "b", "c"])),
        ("img", [0, 1], None, ("img", "label", ["TODO class 0", "TODO class 1"])),
    ],
)
def test_a_parquet_file(checkout, column, labels, features, expected):
    path = table(checkout.root / "toy.parquet", column, labels, features)
    _, spec, declared = begun(checkout, parquet=path)
    assert (declared.image_column, declared.label_column, declared.class_names) == expected
    assert datasets_of(spec)["toy_new"].splits == {"all": len(labels or [0, 0, 0])}


def test_a_repository_that_is_in_the_mirror_already(checkout, monkeypatch):
    mirror = checkout.root / "mirror"
    for split, labels in {"train": [0, 1, 1], "test": [0, 1]}.items():
        table(mirror / "owner" / "toy" / f"{split}.parquet", labels=labels, features=NAMED)
    monkeypatch.setenv("OODBENCH_MIRROR", str(mirror))
    addition, spec, declared = begun(checkout, hub="owner/toy")
    assert (declared.splits, declared.revision) == ({"train": 3, "test": 2}, None)
    assert datasets_of(spec)["toy_new"].card.class_names == ("a", "b", "c")
    assert addition.commands[-1] == "oodbench data get toy_new"


def test_of_another_repository_nothing_is_known(checkout, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(checkout.root / "mirror"))
    _, _, declared = begun(checkout, hub="owner/toy")
    assert declared.repository == "owner/toy"
    assert declared.revision.startswith("TODO")


def test_where_datasets_are_declared_already_it_is_the_last(checkout):
    images(checkout.root / "birds", robin=1)
    checkout.write(new_dataset(checkout, "first", folder=checkout.root / "birds"))
    again = type(checkout)(checkout.leaderboard)
    again.write(new_dataset(again, "second", folder=checkout.root / "birds"))
    assert [*load_spec(checkout.leaderboard).datasets] == ["first", "second"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({}, "expected one of --folder, --parquet and --hub"),
        ({"hub": "a/b", "folder": "x"}, "expected one of --folder, --parquet and --hub"),
        ({"folder": "nowhere"}, "--folder .*nowhere: is no folder"),
        ({"folder": "methods"}, "has no images"),
        ({"parquet": "nowhere"}, "nowhere: cannot be read: .*; expected a Parquet file"),
        ({"parquet": "leaderboard.yaml"}, "leaderboard.yaml: cannot be read: it is no Parquet file"),
        ({"parquet": "numbers.parquet"}, "numbers.parquet: no column has encoded images; there are: label"),
        ({"hub": "toy"}, "--hub 'toy': expected OWNER/NAME"),
        ({"hub": "../../etc"}, "--hub '../../etc': expected OWNER/NAME"),
        ({"hub": "https://huggingface.co/a/b"}, "expected OWNER/NAME"),
    ],
)
def test_what_is_no_source_is_refused(checkout, source, complaint):
    pq.write_table(pa.table({"label": [1]}), checkout.root / "numbers.parquet")
    given = {key: value if key == "hub" else checkout.root / value for key, value in source.items()}
    with pytest.raises((UsageError, DataError), match=complaint):
        new_dataset(checkout, "toy_new", **given)


def test_a_name_that_is_taken_is_refused(checkout):
    with pytest.raises(UsageError, match="'cifar10' is taken, by a dataset"):
        new_dataset(checkout, "cifar10", hub="a/b")


def test_its_test_waits_for_the_card_and_the_count(checkout, monkeypatch):
    images(checkout.root / "birds", robin=2)
    addition, *_ = begun(checkout, folder=checkout.root / "birds")
    path = checkout.root / next(iter(addition.files))
    monkeypatch.setattr("places.SHIPPED", checkout.leaderboard)
    tests = runpy.run_path(str(path))
    with pytest.raises(AssertionError, match=r"datasets\.toy_new: fill in title, source, licence, citation"):
        tests["test_the_card"]()
    with pytest.raises(AssertionError, match="fill in IMAGES"):
        tests["test_the_images"]()
    text = checkout.leaderboard.read_text()
    checkout.leaderboard.write_text(text.replace("TODO: ", ""))
    (empty,) = addition.files.values()
    for count, passes in ((2, True), (3, False)):
        path.write_text(empty.replace("= None", f'= {{"all": {count}}}'))
        tests = runpy.run_path(str(path))
        tests["test_the_card"]()
        if passes:
            tests["test_the_images"]()
        else:
            with pytest.raises(AssertionError):
                tests["test_the_images"]()
    (checkout.root / "birds").rename(checkout.root / "gone")
    with pytest.raises(pytest.skip.Exception, match="does not exist"):
        tests["test_the_images"]()
