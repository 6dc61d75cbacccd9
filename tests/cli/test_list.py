"""`oodbench list`."""

import pytest


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("detectors", ["msp", "energy", "knn", "Liu et al."]),
        ("objectives", ["cross_entropy"]),
        ("methods", ["msp", "cross_entropy"]),
        ("tracks", ["small", "A few digits", "threes", "noise"]),
        ("datasets", ["digits", "strokes", "training outliers", "CC BY 4.0"]),
        ("backbones", ["tiny", "test_efficientnet", "small"]),
    ],
)
def test_list_shows_one_kind(command, kind, shown):
    code, out, _ = command("list", kind)
    assert code == 0
    assert all(word in out for word in shown)


def test_list_without_a_kind_shows_all(command):
    code, out, _ = command("list")
    assert code == 0
    kinds = list(dict.fromkeys(line.split("\t")[0] for line in out.splitlines()))
    methods = ["detectors", "objectives", "corrections", "attacks", "noise_models", "profiles", "samplers"]
    assert kinds == [*methods, "entries", "tracks", "datasets", "backbones", "inits"]
