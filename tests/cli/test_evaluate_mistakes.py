"""What people get wrong with `oodbench evaluate` and `score`: said in a line, before hours of work."""

import json

import numpy as np
import pytest
from PIL import Image

MODEL = ("--model", "python:mine:model", "--size", "8")
CODE = """
import torch
from torch import nn


def model():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    return nn.Sequential(*layers).eval()
"""


def pictures(folder, n, seed):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{i:02d}.png")


@pytest.fixture
def world(command, tmp_path):
    """A folder with images and a model, in which commands run."""
    (tmp_path / "mine.py").write_text(CODE)
    for k, name in enumerate(("cat", "dog")):
        pictures(tmp_path / "photos" / name, 15, seed=k)
    pictures(tmp_path / "far", 6, seed=5)
    (tmp_path / "file").touch()
    return command


def stored(folder, sets):
    rng = np.random.default_rng(0)
    for name, n in sets.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        logits = rng.normal(size=(n, 3))
        labels = {"labels": logits.argmax(axis=1)} if name.startswith("id_") else {}
        np.savez(folder / f"{name}.npz", logits=logits, **labels)


ASKED = ("evaluate", *MODEL, "--id", "photos", "--ood", "far=far", "--detector", "msp")
MISTAKES = {
    "a seed below 0": (("--seed", "-1"), 2, "seed: expected a whole number from 0, got -1"),
    "no end to the budget": (("--budget", "inf"), 2, "budget: expected a finite number"),
    "no such device": (("--device", "foo"), 2, "device: 'foo' cannot be used here"),
    "a device without numbers": (("--device", "meta"), 2, "device: 'meta' cannot be used here"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_argument_that_cannot_be_meant_is_refused(world, mistake):
    words, expected, said = MISTAKES[mistake]
    code, _, err = world(*ASKED, *words)
    assert code == expected, err
    assert said in err


def test_a_folder_that_cannot_be_written_is_said_before_the_work(world):
    code, _, err = world(*ASKED, "--model", "tim:such", "--out", "file/report")
    assert code == 1
    assert "file/report: Not a directory" in err


def test_images_are_not_for_features_that_were_computed_elsewhere(world, tmp_path):
    stored(tmp_path / "mine", {"id_train": 20, "id_test": 10, "far/noise": 10})
    code, _, err = world("evaluate", "--model", "features:mine", "--id", "photos", "--corruptions")
    assert code == 2
    assert "id, corruptions: not for features: models" in err


def test_features_of_too_few_training_images(world, tmp_path):
    stored(tmp_path / "none", {"id_test": 10, "far/noise": 10})
    code, _, err = world("evaluate", "--model", "features:none")
    assert code == 1
    assert "has no id_train; expected features of ID training images" in err
    stored(tmp_path / "few", {"id_train": 4, "id_test": 10, "far/noise": 10})
    code, _, err = world("evaluate", "--model", "features:few")
    assert code == 1
    assert "id_train has 4 images; expected at least 5" in err


def test_costs_of_features_are_said_not_to_be_known(world, tmp_path):
    stored(tmp_path / "mine", {"id_train": 20, "id_test": 10, "far/noise": 10, "far/id": 10})
    code, out, err = world("evaluate", "--model", "features:mine", "--detector", "msp", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert any("every cost is 1" in one for one in found["warnings"])
    assert found["drawn"]["histograms"].keys() == {"id", "id 2", "noise"}


def test_an_ood_set_does_not_take_the_place_of_the_id_images(world, tmp_path):
    for n, name in enumerate(("id", "ID, test")):
        pictures(tmp_path / "more" / name, 6, seed=10 + n)
    more = [word for name in ("id", "ID, test") for word in ("--ood", f"near=more/{name}")]
    code, out, err = world(*ASKED, *more, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["drawn"]["histograms"].keys() == {"id", "far", "id 2", "ID, test 2"}
    names = [one["name"] for one in found["sets"]]
    assert len(set(names)) == len(names)


def test_scores_have_the_names_that_the_report_has(world, tmp_path):
    code, out, err = world("evaluate", *MODEL, "--id", "photos", "--detector", "msp", "--json")
    assert code == 0, err
    tested = {one["name"] for one in json.loads(out)["sets"] if one["role"] in ("id_test", "near", "far")}
    rows = (tmp_path / "report" / "scores.csv").read_text().splitlines()[1:]
    assert {row.replace('"ID, test"', "ID test").split(",")[0] for row in rows} == {
        name.replace("ID, test", "ID test") for name in tested
    }


def test_all_images_are_looked_for_before_any_is_scored(world):
    assert world(*ASKED)[0] == 0
    code, out, err = world("score", "--detector", "report/detector", *MODEL, "far", "nothere")
    assert (code, out) == (2, "")
    assert "nothere is not there" in err


def test_a_side_that_no_memory_holds(world):
    code, _, err = world(*ASKED, "--size", "99999")
    assert code == 2
    assert "size: expected 1 to 4,096 pixels, got 99,999" in err


STRANGE = """


def failing():
    return model(), lambda picture: 1 / 0


def bright():
    def blinded(module, images, logits):
        return torch.where((images[0].mean((1, 2, 3)) > 0.9)[:, None], torch.nan, logits)

    made = model()
    made.register_forward_hook(blinded)
    return made
"""


def test_a_transform_that_fails_is_said(world, tmp_path):
    (tmp_path / "strange.py").write_text(CODE + STRANGE)
    code, _, err = world("evaluate", "--model", "python:strange:failing", "--id", "photos")
    assert code == 1
    assert "the transform fails on a picture of noise: ZeroDivisionError" in err


def test_images_whose_logits_are_no_numbers_are_named_when_they_are_scored(world, tmp_path):
    (tmp_path / "strange.py").write_text(CODE + STRANGE)
    white = Image.fromarray(np.full((8, 8, 3), 255, np.uint8))
    (tmp_path / "new").mkdir()
    white.save(tmp_path / "new" / "white.png")
    bright = [word if word != "python:mine:model" else "python:strange:bright" for word in MODEL]
    ood = ("--ood", "far=far", "--detector", "msp")
    code, _, err = world("evaluate", *bright, "--id", "photos", *ood)
    assert code == 0, err
    code, _, err = world("score", "--detector", "report/detector", *bright, "far", "new")
    assert code == 1
    assert err.startswith("oodbench: new: ")
    assert "are NaN or infinite: white.png; look at" in err


def test_ctrl_c_says_that_nothing_is_kept(world, monkeypatch, tmp_path):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("reports.evaluation.evaluation.evaluate", stopped)
    code, _, err = world(*ASKED)
    assert code == 130
    assert err.endswith("oodbench: interrupted; nothing is kept, the same command begins anew\n")
    assert not (tmp_path / "report").exists()


def test_broken_images_and_classes_by_order_are_among_the_warnings(world, tmp_path):
    (tmp_path / "far" / "torn.png").write_bytes(b"no image")
    code, out, err = world(*ASKED, "--json")
    assert code == 0, err
    warnings = json.loads(out)["warnings"]
    assert "far: 1 images cannot be read and are left out." in warnings
    assert sum(one.startswith("classes are matched by order, folder 'cat'") for one in warnings) == 1


def test_of_equal_detectors_the_first_is_the_one_that_is_called_the_best(world, tmp_path):
    stored(tmp_path / "mine", {"id_train": 20, "id_test": 10, "far/noise": 10})
    same = ("--detector", "msp", "--detector", "energy", "--detector", "max_logit")
    for name in ("id_test", "far/noise"):
        held = dict(np.load(tmp_path / "mine" / f"{name}.npz"))
        held["logits"][:] = np.eye(3)[np.arange(10) % 3] * (9 if name == "id_test" else 1)
        np.savez(tmp_path / "mine" / f"{name}.npz", **held)
    code, out, err = world("evaluate", "--model", "features:mine", *same, "--json")
    assert code == 0, err
    verdicts = [one["against_best"]["verdict"] for one in json.loads(out)["detectors"]]
    assert verdicts == ["best", "undecided", "undecided"]
