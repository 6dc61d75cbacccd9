"""A detector whose scores depend on other test images: what the records of its entries say."""

import pytest
from small_leaderboard import SMALL

from benchmark.plan.methods import declared
from benchmark.spec.load import load_spec
from benchmark.studies.detection.records import Scored
from benchmark.studies.detection.settings import DetectionSettings, scoring_of
from methods.base import Detector
from methods.declared import Declared, read
from methods.registry import detector_class


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "leaderboard.yaml"
    path.write_text(SMALL)
    return load_spec(path)


@pytest.mark.parametrize("transductive", [True, False])
def test_the_settings_of_a_record_say_so_where_it_is_so(spec, transductive):
    known = Declared(transductive=transductive)
    settings = DetectionSettings(
        spec.tracks["small"], spec.entries, lambda row: scoring_of(spec.entries[row], known)
    )
    found = settings.measured_with("msp", lambda *_: {})
    assert found.get("transductive", False) is transductive
    assert ("transductive" in found) is transductive  # records of all others are as they were
    assert Scored(**found, groups={}).transductive == (transductive or None)


def test_none_of_ours_is_and_both_ways_of_reading_agree(monkeypatch):
    assert not Detector.transductive
    assert read("detectors", "msp").transductive is declared("detectors", "msp").transductive is False
    monkeypatch.setattr(detector_class("msp"), "transductive", True)
    assert declared("detectors", "msp").transductive
