"""OOD sets that are neither near nor far: groups of their own, with means of their own."""

import pytest

from benchmark.errors import SpecError
from benchmark.plan.make import Selection, make_plan
from benchmark.records.results import read_all
from benchmark.run import run_plan
from benchmark.spec.load import load_spec
from benchmark.studies.detection.records import measurement_of, numbers_of

FAR = "      noise: {dataset: uniform_noise, n: 12}\n"
APART = (
    FAR
    + """    apart:
      drawn:
        letters: {dataset: glyphs, n: 9}
        patches: {dataset: photo_patches, n: 7}
"""
)


@pytest.fixture
def edited(small):
    def edit(*pairs):
        text = small.read_text()
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        small.write_text(text)
        return load_spec(small)

    return edit


def test_they_are_measured_and_move_no_other_mean(edited, small, tmp_path):
    def records(name, spec):
        run_plan(
            make_plan(spec, Selection()),
            cache=tmp_path / "cache",
            results=tmp_path / name,
            workers=1,
            on_event=lambda *_: None,
        )
        found = ((f.row, r.seed, r) for f in read_all(tmp_path / name) for r in f.records)
        return {(row, seed): record for row, seed, record in found if "near.auroc" in record.numbers}

    before = records("before", load_spec(small))
    after = records("after", edited((FAR, APART)))
    assert after.keys() == before.keys()
    for cell, record in after.items():
        numbers = numbers_of(record)
        mean = (numbers["detection.letters.fpr95"] + numbers["detection.patches.fpr95"]) / 2
        assert numbers["drawn.fpr95"] == pytest.approx(mean)
        assert record.numbers["detection.letters.n_out"] == 9.0
        measured = measurement_of(record)
        assert measured.apart["drawn"].auroc == pytest.approx(record.numbers["drawn.auroc"])
        assert measured.detection["patches"].group == "drawn"
        for path in ("near.auroc", "far.auroc", "full_spectrum.near.auroc", "classification.accuracy"):
            assert record.numbers[path] == before[cell].numbers[path], path


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("      drawn:", "      near:", r"'near' is another group of image sets"),
        (
            "        letters:",
            "        noise:",
            r"apart\.drawn\.noise: the name 'noise' is used in 'far' already",
        ),
        (
            "letters: {dataset: glyphs",
            "letters: {dataset: glyph",
            r"apart\.drawn\.letters\.dataset: no dataset 'glyph'",
        ),
        ("letters: {dataset: glyphs", "letters: {dataset: strokes", "kept for training outliers"),
        (
            "letters: {dataset: glyphs, n: 9}",
            "letters: {dataset: digits, classes: [2]}",
            r"apart\.drawn\.letters: an OOD set must have no class of the ID set",
        ),
    ],
)
def test_mistakes_in_them_are_told_with_their_place(edited, old, new, message):
    with pytest.raises(SpecError, match=message):
        make_plan(edited((FAR, APART.replace(old, new))), Selection())
