"""Features that are NaN or infinite end the extraction, with the image set and the number of images."""

import pytest
import torch
from safetensors.torch import load_file

from benchmark.backbones.extract import extract
from benchmark.engines.worker import describe
from benchmark.store.artifacts import Draft
from methods.base import Features, InputError
from methods.tensors import BATCH

BAD = 255  # the pixel that makes the network of these tests diverge


def tap(*broken):
    """A network whose signals of that name are not finite for images that hold the bad pixel."""

    def call(images, *what):
        rows = images.flatten(1)
        h = torch.where((rows == 1).any(dim=1, keepdim=True), torch.nan, rows)
        z = rows[:, :2]
        given = {"penultimate": rows, "stages": [rows[:, :3]]}
        given |= {"gram": [rows[:, None, :3]]} if "gram" in what else {}
        for name in broken:
            part = h[:, None, :3] if name == "gram" else h
            given |= {name: [part] if name in ("stages", "gram") else part} if name in given else {}
        return Features(z, **given)

    return call


def images(n, *bad):
    drawn = torch.randint(BAD, (n, 3, 2, 2), dtype=torch.uint8, generator=torch.Generator().manual_seed(n))
    drawn[list(bad), 0, 0, 0] = BAD
    return drawn


@pytest.fixture
def drafts(tmp_path):
    def call(*what):
        for name in what:
            (tmp_path / name).mkdir()
        return {name: Draft(tmp_path / name, tmp_path / name) for name in what}

    return call


PARTS = {"train": images(9), "val": images(BATCH + 50, 7, BATCH + 1, BATCH + 2), "test": images(5, 0)}


@pytest.mark.parametrize(
    ("signal", "artifact"), [("penultimate", "base"), ("stages", "base"), ("gram", "gram")]
)
def test_l1_extraction_names_the_image_set_and_counts_its_images(signal, artifact, drafts):
    with pytest.raises(InputError) as caught:
        extract(tap(signal), PARTS, {}, drafts(artifact))
    said = describe(caught.value)
    assert (
        f"image set 'val': the features ({artifact}) of 3 of {BATCH + 50} images are NaN or infinite" in said
    )
    assert "the first of image 7; the network may have diverged" in said


def test_l1_what_is_not_extracted_may_be_anything(drafts, tmp_path):
    """The features of the other detectors are kept where the Gram statistics alone overflow."""
    extract(tap("gram"), PARTS, {}, drafts("base"))
    kept = load_file(tmp_path / "base" / "features.safetensors")
    assert torch.isfinite(kept["val.penultimate"]).all()
    assert len(kept["val.penultimate"]) == BATCH + 50


def test_l1_finite_features_are_written_as_they_are(drafts, tmp_path):
    extract(tap(), PARTS, {}, drafts("base", "gram"))
    kept = load_file(tmp_path / "base" / "features.safetensors")
    assert torch.equal(kept["test.penultimate"], PARTS["test"].flatten(1) / 255)
