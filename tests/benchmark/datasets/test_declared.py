"""Datasets that a leaderboard file declares: folders, Parquet files, repositories of the Hub."""

import numpy as np
import pytest
from hub_files import encode, noise, write_split

from benchmark.datasets import HubDataset, UnknownDatasetError
from benchmark.datasets.declared import datasets_of
from benchmark.datasets.files import DataMissing
from benchmark.errors import DataError, SpecError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.plan.sources import chosen_classes
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.images import ImageSource
from benchmark.spec.load import load_spec

ABOUT = "title: Pets, source: my camera, licence: CC0, citation: me"
PETS = f"  pets: {{kind: folder, path: pets, {ABOUT}}}"
ODD = f"  odd: {{kind: folder, path: odd, {ABOUT}}}"
TABLE = f"  table: {{kind: parquet, path: table.parquet, label_column: label, {ABOUT}}}"
HUB = (
    f"  insects: {{kind: hub, repository: us/insects, splits: {{test: 6}}, label_column: label, "
    f"class_names: [ant, bee, cat], {ABOUT}}}"
)


@pytest.fixture
def declare(small):
    """Write the small leaderboard with datasets of its own, and read it."""

    def write(*lines, edit=()):
        text = small.read_text()
        for old, new in edit:
            assert old in text, old
            text = text.replace(old, new)
        small.write_text(text.replace("tracks:\n", "datasets:\n" + "\n".join(lines) + "\ntracks:\n", 1))
        return load_spec(small)

    return write


def picture(path, seed, side=9):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(noise(side, side + 3, seed=seed)))


@pytest.fixture
def pets(small):
    """Class folders: two dogs, one of them in a folder of its own, three cats, and what is no image."""
    folder = small.parent / "pets"
    for seed, name in enumerate(["cat/1.png", "cat/2.PNG", "cat/3.png", "dog/old/1.png", "dog/9.png"]):
        picture(folder / name, seed)
    (folder / "dog" / "notes.txt").write_text("a good dog")
    (folder / ".DS_Store").write_bytes(b"x")
    picture(folder / "dog" / "._9.png", 77)
    (folder / "empty").mkdir()
    return folder


# ---- folders


def test_folders_are_classes_in_the_order_of_the_alphabet(declare, pets):
    entry = datasets_of(declare(PETS))["pets"]
    assert (entry.card.class_names, entry.card.size) == (("cat", "dog"), 5)
    images = entry.build(9, None, 0)
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.images.shape == (5, 3, 9, 9)
    assert entry.check("all") == []


def test_the_order_of_the_classes_can_be_said_and_some_left_out(declare, pets):
    spec = declare(
        PETS[:-1] + ", class_names: [dog, cat]}",
        PETS.replace("pets:", "dogs:")[:-1] + ", class_names: [dog]}",
    )
    assert datasets_of(spec)["pets"].build(9, None, 0).labels.tolist() == [0, 0, 1, 1, 1]
    assert len(datasets_of(spec)["dogs"].build(9, None, 0)) == 2


def test_loose_images_have_no_classes(declare, pets):
    for i in range(3):
        picture(pets.parent / "odd" / f"{i}.jpg", i)
    entry = datasets_of(declare(ODD))["odd"]
    assert not entry.card.labelled
    assert entry.build(9, None, 0).labels.tolist() == [-1, -1, -1]


def test_several_splits_are_several_folders(declare, pets):
    picture(pets.parent / "more" / "cat" / "7.png", 7)
    picture(pets.parent / "more" / "dog" / "7.png", 8)
    entry = datasets_of(declare(PETS.replace("path: pets", "path: {test: pets, train: more}")))["pets"]
    assert entry.splits == {"test": 5, "train": 2}
    assert len(entry.build(9, None, 0, split="train")) == 2
    assert entry.digest("test") != entry.digest("train")


def test_a_digest_is_of_names_and_contents(declare, pets):
    def digest():
        return datasets_of(load_spec(pets.parent / "leaderboard.yaml"))["pets"].digest("all")

    declare(PETS)
    before = digest()
    (pets / "dog" / "notes.txt").write_text("a very good dog")
    assert digest() == before
    (pets / "dog" / "9.png").rename(pets / "dog" / "8.png")
    moved = digest()
    picture(pets / "dog" / "8.png", 99)
    assert len({before, moved, digest()}) == 3


def test_a_broken_image_is_named(declare, pets):
    (pets / "dog" / "9.png").write_bytes(b"no image")
    entry = datasets_of(declare(PETS))["pets"]
    with pytest.raises(DataError, match=r"pets/dog/9\.png cannot be decoded"):
        entry.build(9, None, 0)
    (fault,) = entry.check("all")
    assert "pets/dog/9.png cannot be decoded" in fault


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pets: picture(pets / "loose.png", 1), r"1 loose images, such as loose\.png, beside folders"),
        (
            lambda pets: [p.unlink() for p in pets.rglob("*.[pP]*")],
            r"has no images \(.*\), expected some; it has",
        ),
    ],
)
def test_what_is_no_folder_of_images_is_refused_with_its_place(declare, pets, change, message):
    change(pets)
    with pytest.raises(DataError, match=r"leaderboard\.yaml:3: datasets\.pets: .*" + message):
        datasets_of(declare(PETS))["pets"]


def test_a_class_without_images_is_refused(declare, pets):
    spec = declare(PETS[:-1] + ", class_names: [cat, dogs]}")
    with pytest.raises(DataError, match=r"no images of class 'dogs'; did you mean 'dog'"):
        datasets_of(spec)["pets"]


def test_a_file_is_no_folder_and_a_folder_no_file(declare, pets):
    (pets.parent / "file").write_text("")
    spec = declare(PETS.replace("path: pets", "path: file"), TABLE.replace("table.parquet", "pets"))
    with pytest.raises(DataError, match=r"datasets\.pets: .*/file is a file; expected kind folder"):
        datasets_of(spec)["pets"]
    with pytest.raises(DataError, match=r"datasets\.table: .*/pets is a folder; expected kind parquet"):
        datasets_of(spec)["table"]


# ---- Parquet and the Hub


def test_a_parquet_file_says_what_its_classes_are_called(declare, small):
    write_split(small.parent / "table.parquet", [encode(noise(seed=i)) for i in range(6)], [0, 1, 2] * 2)
    entry = datasets_of(declare(TABLE))["table"]
    assert entry.card.class_names == ("ant", "bee", "cat")
    assert entry.build(8, None, 0).labels.tolist() == [0, 1, 2] * 2


def test_a_parquet_file_that_does_not_needs_names(declare, small):
    from hub_files import images_column, write_raw

    write_raw(
        small.parent / "table.parquet",
        image=images_column([encode(noise(seed=i)) for i in range(4)]),
        label=[0, 1, 0, 1],
    )
    spec = declare(TABLE, TABLE.replace("table:", "named:")[:-1] + ", class_names: [a, b]}")
    with pytest.raises(DataError, match="does not say what the classes in column 'label' are called"):
        datasets_of(spec)["table"]
    assert datasets_of(spec)["named"].card.class_names == ("a", "b")


def test_a_repository_of_the_hub_is_read_from_the_mirror(declare, small, tmp_path, monkeypatch):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    entry = datasets_of(declare(HUB))["insects"]
    assert isinstance(entry, HubDataset)
    with pytest.raises(DataMissing, match="get it with: oodbench data get insects"):
        entry.build(8, None, 0)
    write_split(entry.place("test"), [encode(noise(seed=i)) for i in range(6)], [0, 1, 2] * 2)
    assert len(entry.build(8, None, 0)) == 6


def test_names_of_the_catalog_are_taken(declare):
    with pytest.raises(SpecError, match=r"datasets\.digits: .*'digits' is in the catalog already"):
        make_plan(declare(PETS.replace("pets:", "digits:")), Selection())


def test_an_unknown_name_is_answered_with_the_files_own(declare):
    with pytest.raises(UnknownDatasetError, match="did you mean 'pets'"):
        datasets_of(declare(PETS))["pet"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (PETS.replace("licence: CC0, ", ""), r"datasets\.pets\.licence"),
        (PETS.replace("kind: folder", "kind: zip"), r"datasets\.pets"),
        (PETS.replace("pets:", "my-pets:"), r"datasets\.my-pets"),
        (PETS[:-1] + ", part_of: [pets]}", "no part of itself"),
        (
            TABLE.replace("label_column: label", "class_names: [a]"),
            "class_names: got some without a label_column",
        ),
        (HUB.replace("class_names: [ant, bee, cat], ", ""), "expected both or none"),
        (HUB.replace("us/insects", "../insects"), r"datasets\.insects\.repository"),
    ],
)
def test_mistakes_are_told_with_their_place(declare, line, message):
    with pytest.raises(SpecError, match=message):
        declare(line)


# ---- which classes


@pytest.mark.parametrize(
    ("source", "chosen"),
    [
        ({}, None),
        ({"classes": [2, 0]}, [2, 0]),
        ({"classes": ["cat", 0]}, [2, 0]),
        ({"without": ["bee"]}, [0, 2]),
        ({"without": [0, "cat"]}, [1]),
    ],
)
def test_classes_are_chosen_by_number_or_name(source, chosen):
    assert chosen_classes(ImageSource(dataset="x", **source), ("ant", "bee", "cat")) == chosen


def test_classes_and_without_exclude_each_other():
    with pytest.raises(ValueError, match="got some beside `classes`; expected one of both"):
        ImageSource(dataset="x", classes=[0], without=[1])


# ---- a track of one's own


TRACK = (
    ("id: {dataset: digits, classes: [0, 1, 2]}", "id: {dataset: shapes}"),
    ("threes: {dataset: digits, classes: [3]}", "odd: {dataset: odd, without: [small]}"),
)
SHAPES = f"  shapes: {{kind: folder, path: shapes, {ABOUT}}}"


@pytest.fixture
def own_track(declare, small):
    """A track of images in folders: three shades in the middle of noise, against others."""
    for label in range(3):
        for i in range(30):
            shade = np.full((20, 20, 3), 40 + 80 * label, dtype=np.uint8)
            shade[:4] = noise(4, 20, seed=100 * label + i)
            path = small.parent / "shapes" / f"shade{label}" / f"{i:02}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode(shade))
    for i in range(8):
        picture(small.parent / "odd" / "large" / f"{i}.png", i, side=30)
        picture(small.parent / "odd" / "small" / f"{i}.png", 50 + i)
    return lambda: declare(SHAPES, ODD, edit=TRACK)


def test_a_track_of_ones_own_images_needs_no_code(own_track, tmp_path):
    spec = own_track()
    plan = make_plan(spec, Selection())
    failed = []
    run_plan(
        plan,
        cache=tmp_path / "cache",
        results=tmp_path / "results",
        workers=1,
        on_event=lambda event, job, message: failed.append(message) if event == "failed" else None,
    )
    assert not failed
    records = [record for file in read_all(tmp_path / "results") for record in file.records]
    assert {record.status for record in records} == {"measured"}
    measured = [record for record in records if "detection.odd.n_out" in record.numbers]
    assert measured
    assert {record.numbers["detection.odd.n_out"] for record in measured} == {8.0}
    assert {record.made_of["sets"]["odd"]["without"][0] for record in measured} == {"small"}


def test_where_the_files_lie_is_no_part_of_a_key(own_track, small):
    before = make_plan(own_track(), Selection())
    (small.parent / "shapes").rename(small.parent / "elsewhere")
    small.write_text(small.read_text().replace("path: shapes", "path: elsewhere"))
    after = make_plan(load_spec(small), Selection())
    assert after.jobs.keys() == before.jobs.keys()
    picture(small.parent / "elsewhere" / "shade0" / "00.png", 1)
    changed = make_plan(load_spec(small), Selection())
    fresh = [changed.jobs[key] for key in changed.jobs.keys() - before.jobs.keys()]
    assert sum(job.kind == Kind.DATA for job in fresh) == 1


def test_a_track_whose_folders_are_not_here_is_left_out(own_track, small):
    own_track()
    (small.parent / "odd").rename(small.parent / "gone")
    with pytest.raises(DataMissing, match=r"datasets\.odd\.path: dataset odd: .*/odd does not exist"):
        make_plan(load_spec(small), Selection())
