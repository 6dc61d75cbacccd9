"""The files that say how networks were trained: what a run writes, keeps, refuses and draws."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.errors import DataError
from benchmark.jobs.job import Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.records.collect import Collected
from benchmark.records.files import read_records
from benchmark.records.finished import Finished
from benchmark.records.record import TRAININGS
from benchmark.records.results import read_all
from benchmark.records.text import record_path
from benchmark.records.trainings import picture_of
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store

LEADERBOARD = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 4, val_per_class: 4}
    near:
      threes: {dataset: digits, classes: [3]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    outliers:
      strokes: {dataset: strokes, n: 6}
    training: {epochs: 3, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp, knn, exposed, ssd]
backbones:
  tiny: {architecture: test_efficientnet}
inits:
  scratch: {source: scratch}
objectives:
  shown_strokes: {objective: outlier_exposure, outliers: [strokes], epochs: 2}
entries:
  msp: {detector: msp}
  knn: {detector: knn, hyperparameters: {k: 2}}
  exposed: {detector: msp, objective: shown_strokes}
  ssd: {detector: knn, objective: ssd, hyperparameters: {k: 2}}
"""


class Folder:
    """A leaderboard, its cache and its results."""

    def __init__(self, path):
        self.path = path
        self.results, self.cache = path / "results", path / "cache"
        self.store = Store(self.cache)

    def plan(self, *replaced, **selection):
        text = LEADERBOARD
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        (self.path / "leaderboard.yaml").write_text(text)
        return make_plan(load_spec(self.path / "leaderboard.yaml"), Selection(**selection))

    def run(self, *replaced, on_event=lambda *_: None, **selection):
        plan = self.plan(*replaced, **selection)
        return run_plan(plan, cache=self.cache, results=self.results, workers=1, on_event=on_event)

    def file(self, objective="cross_entropy"):
        return record_path(self.results, "small", objective, TRAININGS)

    def state(self):
        return {
            p: (p.read_bytes(), p.stat().st_mtime_ns) for p in self.results.rglob("*.json") if p.is_file()
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One run of it all; never changed."""
    folder = Folder(tmp_path_factory.mktemp("run"))
    done = folder.run()
    assert {record.status for record in done.records.values()} == {"measured"}
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of it."""
    shutil.copytree(made.cache, tmp_path / "cache")
    shutil.copytree(made.results, tmp_path / "results")
    return Folder(tmp_path)


def test_a_network_has_one_record_however_many_cells_share_it(made):
    assert sorted(p.name for p in made.file().parent.iterdir()) == [
        "cross_entropy.json",
        "shown_strokes.json",
        "ssd.json",
    ]
    assert made.file().parent == made.results / "small" / "trainings"
    files = read_all(made.results, TRAININGS)
    assert [file.row for file in files] == ["cross_entropy", "shown_strokes", "ssd"]
    for file in files:
        assert file.track == "small"
        assert [record.cell for record in file.records] == [
            ("tiny", "scratch", 0, ""),
            ("tiny", "scratch", 1, ""),
        ]
    keys = {cell.chain[Kind.TRAIN] for cell in made.plan().cells}
    assert {record.key for file in files for record in file.records} == keys
    assert len(keys) == 6


def test_the_lists_are_the_history_of_the_network_an_entry_an_epoch(made):
    def rounded(values):
        return [float(f"{value:.4g}") for value in values]

    for file in read_all(made.results, TRAININGS):
        for record in file.records:
            artifact = made.store.open(record.key)
            history = artifact.json("history")
            assert len(history) == (2 if file.row == "shown_strokes" else 3)
            notes = history[0]["notes"]
            assert record.series == {
                **{
                    name: rounded(epoch[name] for epoch in history)
                    for name in ("loss", "val_accuracy", "val_nll")
                },
                **{f"notes.{name}": rounded(epoch["notes"][name] for epoch in history) for name in notes},
            }
            assert record.cost.train_seconds >= rounded([artifact.manifest["made"]["seconds"]])[0]
            assert bool(notes) == (file.row == "ssd")
            assert not record.pictures
            first = record.provenance.first_weights
            if file.row == "shown_strokes":  # it starts from the network of cross_entropy
                assert first == {"loaded": len(artifact.tensors("model")), "fresh": [], "unused": 0}
            else:
                assert first is None


def test_a_record_says_how_its_network_was_trained(made):
    cross_entropy, exposed, ssd = ([r.training for r in f.records] for f in read_all(made.results, TRAININGS))
    recipe = {"epochs": 3, "batch_size": 6, "lr": 0.003, "weight_decay": 0.01}
    for plain, fine, other in zip(cross_entropy, exposed, ssd, strict=True):
        assert (plain.objective, plain.outliers, plain.starts_from) == ("cross_entropy", {}, None)
        assert plain.recipe.items() >= recipe.items()
        assert (fine.objective, fine.outliers) == ("outlier_exposure", {"strokes": None})
        assert fine.recipe == plain.recipe | {"epochs": 2}
        assert fine.starts_from == plain
        assert fine.epochs == 5
        assert (other.objective, other.starts_from) == ("ssd", None)


def test_a_second_run_changes_no_file(folder):
    before = folder.state()
    assert len(before) == 4 + 3 + 3  # entries, trainings, networks
    assert folder.run().written == []
    assert folder.state() == before


def test_lost_files_are_written_again_from_the_cache(folder):
    before = {path: text for path, (text, _) in folder.state().items()}
    shutil.rmtree(folder.file().parent)
    assert {path.name for path in folder.run().written} == {
        "cross_entropy.json",
        "shown_strokes.json",
        "ssd.json",
    }
    assert {path: text for path, (text, _) in folder.state().items()} == before


def test_a_network_with_another_key_replaces_its_record_and_no_other(folder):
    before = {file.row: file for file in read_all(folder.results, TRAININGS)}
    done = folder.run(("lr: 0.003", "lr: 0.1"), entries=("msp",), seeds=(1,))
    assert folder.file() in done.written
    after = {file.row: file for file in read_all(folder.results, TRAININGS)}
    assert after["ssd"] == before["ssd"]
    assert after["shown_strokes"] == before["shown_strokes"]
    first, second = after["cross_entropy"].records
    assert first == before["cross_entropy"].records[0]
    old = before["cross_entropy"].records[1]
    assert second.cell == old.cell
    assert second.key != old.key
    assert second.series["loss"] != old.series["loss"]


def test_the_same_key_computed_afresh_keeps_its_record(folder):
    """Its seconds may differ; nothing else can."""
    path = folder.file()
    changed = json.loads(path.read_text())
    changed["records"][0]["cost"][1] = 12340.0
    path.write_text(json.dumps(changed))
    folder.run()
    assert read_records(path).records[0].cost.train_seconds == 12340.0


@pytest.mark.parametrize("how", ["absent", "damaged"])
def test_a_network_that_is_not_whole_has_no_new_record(folder, how):
    plan = folder.plan(entries=("exposed",), seeds=(0,))
    key = plan.cells[0].chain[Kind.TRAIN]
    if how == "absent":
        shutil.rmtree(folder.store.folder(key))
    else:
        (folder.store.folder(key) / "history.json").write_text("[]")
    folder.file("shown_strokes").unlink()
    found = Collected(plan, Finished(folder.store, plan.jobs), {})
    assert found.write(folder.results).written == []
    assert not folder.file("shown_strokes").exists()


WRONG = [
    pytest.param(lambda text: text[: len(text) // 2], "the file: ", id="truncated"),
    pytest.param(lambda text: "", "the file: ", id="empty"),
    pytest.param(lambda text: "[]", "the file: expected an object", id="a list"),
    pytest.param(lambda text: '{"a": 1}', "schema_version: got None", id="foreign"),
    pytest.param(
        lambda text: text.replace('"schema_version":3', '"schema_version":4'),
        "schema_version: got 4",
        id="another schema",
    ),
    pytest.param(
        lambda text: text.replace('"loss"', '"loss_"', 1),
        "tiny scratch 0: series.loss: expected a value for each epoch",
        id="no loss",
    ),
    pytest.param(
        lambda text: text.replace('"seed"', '"own": 1, "seed"', 1),
        "tiny scratch 0: own: Extra inputs are not permitted",
        id="a key too many",
    ),
    pytest.param(
        lambda text: _with_loss(text, float("nan")),
        "the file: ",
        id="NaN",
    ),
]


def _with_loss(text, value):
    changed = json.loads(text)
    changed["records"][1]["series"]["loss"][0] = value
    return json.dumps(changed)


@pytest.mark.parametrize(("change", "complaint"), WRONG)
def test_a_file_that_cannot_be_read_is_named_with_the_place(made, tmp_path, change, complaint):
    text = made.file().read_text()
    path = record_path(tmp_path, "small", "cross_entropy", TRAININGS)
    path.parent.mkdir(parents=True)
    path.write_text(change(text))
    assert path.read_text() != text
    with pytest.raises(DataError) as caught:
        read_records(path)
    assert str(caught.value).startswith(f"{path}: {complaint}")
    assert "expected records of schema 3" in str(caught.value)
    with pytest.raises(DataError, match=r"cross_entropy\.json"):
        read_all(tmp_path, TRAININGS)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read: No such file"):
        read_records(tmp_path / "none.json")


def test_a_run_refuses_a_damaged_file_and_leaves_it(folder):
    folder.file("ssd").write_text("{")
    with pytest.raises(DataError, match=r"ssd\.json: the file: "):
        folder.run()
    assert folder.file("ssd").read_text() == "{"


def test_a_damaged_file_is_refused_before_anything_is_computed(tmp_path):
    folder = Folder(tmp_path)
    folder.file().parent.mkdir(parents=True)
    folder.file().write_text("{")

    class Computed(Exception):
        pass

    def on_event(*_):
        raise Computed

    with pytest.raises(DataError, match=r"cross_entropy\.json"):
        folder.run(entries=("msp",), seeds=(0,), on_event=on_event)


@pytest.mark.parametrize(
    ("track", "objective"),
    [
        ("..", "cross_entropy"),
        ("small", "../cross_entropy"),
        ("small/deeper", "x"),
        ("small", "/etc/passwd"),
        ("", "x"),
        ("small", ""),
        ("small", ".hidden"),
        ("small", "x\n"),
        ("small", "x\0"),
    ],
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, track, objective):
    with pytest.raises(ValueError, match="cannot be part of a path"):
        record_path(tmp_path, track, objective, TRAININGS)


def pixels(picture):
    with Image.open(io.BytesIO(base64.b64decode(picture, validate=True))) as image:
        assert image.format == "PNG"
        assert image.mode == "RGB"
        return np.asarray(image)


@pytest.mark.parametrize(
    ("count", "rows", "beside"), [(4, 1, 4), (8, 2, 4), (10, 2, 4), (1, 1, 1), (3, 1, 3)]
)
def test_samples_become_a_picture_four_beside_each_other(count, rows, beside):
    samples = torch.randint(256, (count, 3, 5, 7), dtype=torch.uint8)
    found = pixels(picture_of(samples))
    assert found.shape == (5 * rows, 7 * beside, 3)
    for place in range(rows * beside):
        top, left = 5 * (place // beside), 7 * (place % beside)
        tile = found[top : top + 5, left : left + 7].transpose(2, 0, 1)
        np.testing.assert_array_equal(tile, samples[place].numpy())


def test_without_samples_there_is_no_picture():
    assert picture_of(None) is None
    assert picture_of(torch.zeros(0, 3, 5, 7, dtype=torch.uint8)) is None


@pytest.mark.parametrize(
    "samples",
    [
        torch.zeros(4, 3, 5, 7),
        torch.zeros(4, 1, 5, 7, dtype=torch.uint8),
        torch.zeros(4, 2, dtype=torch.uint8),
    ],
    ids=["floats", "one channel", "points"],
)
def test_samples_that_are_no_images_are_not_drawn(samples):
    assert picture_of(samples) is None
