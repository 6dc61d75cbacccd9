"""The study of corruptions: every network sees the same images."""

import pytest
from small_studies import of


def test_every_network_is_tested_on_the_same_corrupted_images(made):
    _, plan = made
    shifts = {plan.jobs[s.key].inputs.shift_images for s in plan.studies if s.place.study == "corruptions"}
    assert len(shifts) == 1
    (record, _) = of(made, "corruptions", "cross_entropy")
    assert record.numbers["types"] == 2
    assert len(record.series["pixelate.accuracy"]) == 6
    clean = record.series["pixelate.accuracy"][0]
    assert record.numbers["pixelate.error"] == pytest.approx(
        1 - sum(record.series["pixelate.accuracy"][1:]) / 5, abs=1e-3
    )
    assert clean == record.series["gaussian_noise.accuracy"][0]
    assert record.numbers["mean.error"] == pytest.approx(1 - record.numbers["mean.accuracy"])
