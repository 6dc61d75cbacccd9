"""Gains by pre-training over tracks that differ in the number of training images."""

from __future__ import annotations

import numpy as np
import pytest
import synthetic_records as synthetic

from benchmark.metrics.statistics import paired_difference
from benchmark.spec.leaderboard import Column, Spec
from reports.boards.growth import growth_section, growths
from reports.boards.pretraining import Contrast
from reports.boards.summary import Gains
from reports.site.html import html_of
from reports.site.sections import Page

ACCURACY = Column(metric="classification.accuracy", title="Accuracy", better="higher")
NOISE = Column(metric="mean.area", title="Label noise", better="lower")


def spec_of(per_class: dict[str, int], **other) -> Spec:
    plain = synthetic.make_spec(["msp"], backbones=["cnn"], boards={}).model_dump(exclude_none=True)
    toy = plain["tracks"]["toy"]
    tracks = {
        name: {**toy, "split": {"train_per_class": n, "val_per_class": 5}} for name, n in per_class.items()
    }
    for name, changes in other.items():
        tracks[name] |= changes
    return Spec.model_validate({**plain, "tracks": tracks})


def gains_of(track: str, gain: float, *, metric: Column = ACCURACY, seeds: int = 6) -> Gains:
    scratch = np.linspace(0.4, 0.5, seeds)
    found = paired_difference(
        scratch + gain + 0.002 * np.arange(seeds), scratch, rng=np.random.default_rng(0)
    )
    row = Contrast("cnn", "msp", metric, float(scratch.mean()), float(scratch.mean() + gain), found)
    return Gains(track, "fractaldb", "scratch", (row,))


def test_gains_stand_in_the_order_of_the_numbers_of_training_images():
    spec = spec_of({"many": 100, "few": 20})
    (found,) = growths(spec, [gains_of("many", 0.1), gains_of("few", 0.3)])
    (line,) = found.lines.values()
    assert found.title == "Accuracy"
    assert list(line) == [20, 100]
    assert [row.gain.mean for row in line.values()] == pytest.approx([0.305, 0.105])


@pytest.mark.parametrize(
    ("per_class", "changes"),
    [
        ({"one": 20, "other": 20}, {}),  # as many
        ({"one": 20, "other": 100}, {"other": {"far": {"fonts": {"dataset": "glyphs", "n": 3}}}}),
        ({"one": 20, "other": 100}, {"other": {"id": {"dataset": "digits", "classes": [0, 1]}}}),
    ],
)
def test_tracks_that_differ_in_more_than_the_number_are_no_family(per_class, changes):
    spec = spec_of(per_class, **changes)
    assert growths(spec, [gains_of("one", 0.1), gains_of("other", 0.3)]) == []
    assert growth_section([], spec) is None


def test_a_measure_of_one_track_alone_is_left_out():
    spec = spec_of({"many": 100, "few": 20})
    noise = gains_of("few", 0.2, metric=NOISE)
    found = growths(spec, [gains_of("many", 0.1), gains_of("few", 0.3), noise])
    assert [one.title for one in found] == ["Accuracy"]


def test_the_section_shows_numbers_figure_and_few_seeds():
    spec = spec_of({"many": 100, "few": 20})
    found = growths(spec, [gains_of("many", 0.1, seeds=3), gains_of("few", 0.3)])
    section = growth_section(found, spec)
    assert section is not None
    html = html_of(Page("leaderboard", "x", "x", "", (), (), (section,), ""))
    assert "+30.50" in html
    assert "+10.20" in html
    assert "Exploratory:" in html
    (figure,) = section.sections[0].body[0].plots
    assert "Accuracy, cnn, fractaldb: +30.5 with 20, +10.2 with 100" in figure.alt
