"""`oodbench evaluate` and `oodbench score`: from folders of images to a report, and to decisions."""

import csv
import io
import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

CLASSES = ("cat", "dog", "owl")
MODEL = ("--model", "timm:test_resnet", "--weights", "best.safetensors", "--size", "32")
FEW = [word for name in ("msp", "energy", "knn", "mahalanobis") for word in ("--detector", name)]


def pictures(folder, n, seed, tone=0):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for i in range(n):
        pixels = rng.integers(0, 200, (24, 24, 3)) // 2 + tone
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02d}.png")


@pytest.fixture
def world(command, tmp_path):
    """A folder with images and weights, in which commands run."""
    for k, name in enumerate(CLASSES):
        pictures(tmp_path / "photos" / name, 20, seed=k, tone=40 * k)
    pictures(tmp_path / "lookalikes", 12, seed=10, tone=20)
    pictures(tmp_path / "textures", 12, seed=11, tone=120)
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", num_classes=3).state_dict(), tmp_path / "best.safetensors")
    return command


@pytest.fixture
def reported(world):
    ood = ("--ood", "near=lookalikes", "--ood", "far=textures")
    code, out, err = world("evaluate", *MODEL, "--id", "photos/", *ood, *FEW)
    assert code == 0, err
    return world, out


def test_the_report_and_the_detector_are_left(reported, tmp_path):
    _, out = reported
    outcome = json.loads((tmp_path / "report" / "report.json").read_text())
    best = outcome["recommended"]["name"]
    assert f"Use {best} at " in out
    assert {one["name"] for one in outcome["detectors"]} == {"msp", "energy", "knn", "mahalanobis"}
    assert [one["role"] for one in outcome["sets"]] == ["id_train", "id_val", "id_test", "near", "far"]
    assert [one["n"] for one in outcome["sets"]] == [36, 12, 12, 12, 12]
    for name in ("index.html", "report.md", "scores.csv", "detector/detector.json"):
        assert (tmp_path / "report" / name).stat().st_size
    assert len([*(tmp_path / "report" / "thumbnails").iterdir()]) == 24


def test_a_saved_detector_gives_the_scores_of_the_report(reported, tmp_path):
    world, _ = reported
    code, out, err = world("score", "--detector", "report/detector", *MODEL, "lookalikes", "textures")
    assert (code, err) == (0, "")
    scored = [*csv.DictReader(io.StringIO(out))]
    known = [*csv.DictReader((tmp_path / "report" / "scores.csv").read_text().splitlines())]
    of_ood = [row for row in known if row["set"] in ("lookalikes", "textures")]
    for column in ("set", "image", "predicted", "accepted"):
        assert [row[column] for row in scored] == [row[column] for row in of_ood]
    for row, other in zip(scored, of_ood, strict=True):  # batches of another size
        assert float(row["score"]) == pytest.approx(float(other["score"]), rel=1e-5)
    assert world("score", "--detector", "report/detector", *MODEL, "textures", "--out", "s.csv")[0] == 0
    assert len([*csv.DictReader((tmp_path / "s.csv").read_text().splitlines())]) == 12


def test_a_detector_made_for_another_model_is_refused(reported, tmp_path):
    world, _ = reported
    torch.manual_seed(1)
    save_file(timm.create_model("test_resnet", num_classes=3).state_dict(), tmp_path / "other.safetensors")
    other = [word if word != "best.safetensors" else "other.safetensors" for word in MODEL]
    code, _, err = world("score", "--detector", "report/detector", *other, "textures")
    assert code == 2
    assert "fingerprint" in err or "another" in err
    assert world("score", "--detector", "report/detector", *other, "textures", "--allow-other-model")[0] == 0


def test_without_ood_images_others_stand_in_and_it_says_so(world):
    code, out, err = world("evaluate", *MODEL, "--id", "photos", "--detector", "msp", "--json")
    assert code == 0, err
    outcome = json.loads(out)
    assert "No OOD images were given" in outcome["warnings"][0]
    names = {one["name"] for one in outcome["sets"]}
    assert {"blended", "shuffled", "glyphs", "uniform_noise"} <= names


def test_corruptions(world, tmp_path):
    ood = ("--ood", "far=textures")
    code, out, err = world(
        "evaluate", *MODEL, "--id", "photos", *ood, "--detector", "msp", "--corruptions", "--json"
    )
    assert code == 0, err
    found = json.loads(out)["corrupted"]
    assert len({one["kind"] for one in found}) == 14
    assert {one["severity"] for one in found} == {1, 3, 5}


def test_ood_images_that_are_id_test_images_are_left_out(world, tmp_path):
    twice = tmp_path / "mixed"
    pictures(twice, 5, seed=12)
    for i, path in enumerate(sorted((tmp_path / "photos" / "cat").iterdir())):
        Image.open(path).save(twice / f"copy{i}.png")
    code, out, err = world(
        "evaluate", *MODEL, "--id", "photos", "--ood", "near=mixed", "--detector", "msp", "--json"
    )
    assert code == 0, err
    [mixed] = [one for one in json.loads(out)["sets"] if one["name"] == "mixed"]
    assert mixed["excluded"] == 4  # the share of cats that is tested
    assert mixed["n"] == 21
    assert any("mixed: 4 images are ID test images too" in said for said in json.loads(out)["warnings"])
    _, out, _ = world(
        "evaluate", *MODEL, "--id", "photos", "--ood", "near=mixed", "--detector", "msp", "--json",
        "--keep-overlap",
    )  # fmt: skip
    [mixed] = [one for one in json.loads(out)["sets"] if one["name"] == "mixed"]
    assert (mixed["excluded"], mixed["n"]) == (0, 25)


MISTAKES = {
    "no model of that kind": (("--model", "tim:x", "--id", "photos"), 2, "did you mean 'timm'"),
    "no ID images": (MODEL, 2, "expected either id, or id_train and id_test"),
    "an empty folder": ((*MODEL, "--id", "empty"), 1, "has no images"),
    "one class": ((*MODEL, "--id", "one"), 1, "one class only"),
    "too many classes": ((*MODEL, "--id", "many"), 1, "4"),
    "a group that there is not": ((*MODEL, "--id", "photos", "--ood", "odd=textures"), 2, "near=IMAGES"),
    "no such detector": ((*MODEL, "--id", "photos", "--detector", "knnn"), 2, "did you mean 'knn'"),
    "no such share": ((*MODEL, "--id", "photos", "--keep", "95"), 2, "keep: expected a share"),
    "no budget": ((*MODEL, "--id", "photos", "--budget", "0"), 2, "budget"),
    "a mean alone": ((*MODEL, "--id", "photos", "--mean", "0.5"), 2, "expected both"),
    "no such folder": ((*MODEL, "--id", "photo"), 2, "photo"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_said(world, tmp_path, mistake):
    (tmp_path / "empty").mkdir()
    pictures(tmp_path / "one" / "cat", 5, seed=1)
    for name in "abcd":
        pictures(tmp_path / "many" / name, 5, seed=ord(name))
    words, expected, said = MISTAKES[mistake]
    few = () if "--detector" in words else ("--detector", "msp")
    code, _, err = world("evaluate", *words, *few)
    assert code == expected, err
    assert said in err


def test_a_pickle_is_refused_with_the_way_to_convert_it(world, tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "best.pt")
    words = [word if word != "best.safetensors" else "best.pt" for word in MODEL]
    code, _, err = world("evaluate", *words, "--id", "photos")
    assert code != 0
    assert "safetensors" in err


def test_an_ood_set_that_is_all_id_test_images_is_refused(world, tmp_path):
    copies = tmp_path / "copies"
    copies.mkdir()
    for k, name in enumerate(CLASSES):
        for path in sorted((tmp_path / "photos" / name).iterdir()):
            Image.open(path).save(copies / f"{k}{path.name}")
    parts = [word for part in ("train", "test") for word in (f"--id-{part}", "photos")]
    parts[3] = "copied"
    (tmp_path / "photos").rename(tmp_path / "copied")
    (tmp_path / "photos").mkdir()
    for k, name in enumerate(CLASSES):
        pictures(tmp_path / "photos" / name, 9, seed=20 + k)
    code, _, err = world("evaluate", *MODEL, *parts, "--ood", "near=copies", "--detector", "msp")
    assert code == 1
    assert "copies: all 60 images are ID test images too" in err


def test_a_folder_that_holds_no_detector(world):
    code, _, err = world("score", "--detector", "photos", *MODEL, "textures")
    assert code == 2
    assert "detector" in err
