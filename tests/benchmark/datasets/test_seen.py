"""What first weights have seen of a track."""

import pytest

from benchmark.datasets.seen import Seen, seen_by, seen_by_any
from benchmark.errors import SpecError
from benchmark.records.record import Record
from benchmark.spec.load import load_spec
from benchmark.studies.detection.records import unseen_means

ABOUT = "title: Pets, source: my camera, licence: CC0, citation: me"
CROPS = f"""\
datasets:
  crops: {{kind: folder, path: crops, part_of: [pets], {ABOUT}}}
  pets: {{kind: folder, path: pets, part_of: [imagenet1k], {ABOUT}}}
"""
NOISE = "      noise: {dataset: uniform_noise, n: 12}\n"
SCRATCH = "  scratch: {source: scratch}"
PAIRS = (
    ("version: 1\n", "version: 1\n" + CROPS),
    (NOISE, NOISE + "      crops: {dataset: crops}\n"),
    ("    seeds:", "    overlaps: {imagenet1k: 'the digits 0, 1 and 2'}\n    seeds:"),
    ("inits: [scratch]", "inits: [scratch, imagenet, other]"),
    (SCRATCH, SCRATCH + "\n  imagenet: {source: hub}\n  other: {source: hub}"),
    (
        "{architecture: test_efficientnet}",
        "{architecture: test_efficientnet, weights: {imagenet: {tag: r160_in1k, trained_on: [imagenet1k]},"
        " other: {tag: x, trained_on: [sketches]}}}",
    ),
)


@pytest.fixture
def spec(small):
    text = small.read_text()
    for old, new in PAIRS:
        assert old in text, old
        text = text.replace(old, new)
    small.write_text(text)
    return load_spec(small)


def test_weights_have_seen_what_their_dataset_is_a_part_of(spec):
    """Crops of pets, which are ImageNet's."""
    assert seen_by(spec, "small", "tiny", "imagenet") == Seen(("crops",), ("the digits 0, 1 and 2",))
    assert (
        seen_by(spec, "small", "tiny", "other") == seen_by(spec, "small", "tiny", "scratch") == Seen((), ())
    )
    assert seen_by_any(spec, "small") == ("crops",)


def test_a_dataset_is_no_part_of_its_parts(small, spec):
    small.write_text(small.read_text().replace("part_of: [imagenet1k]", "part_of: [crops]"))
    with pytest.raises(SpecError, match="a dataset is no part of itself"):
        load_spec(small)


def test_means_leave_out_what_any_init_has_seen():
    names = ("auroc", "aupr_in", "aupr_out", "aupr_out_b", "fpr95", "fpr95_ood_pos", "detection_error")
    values = {"a": 0.9, "b": 0.5, "c": 0.7}
    record = Record(
        backbone="tiny",
        init="scratch",
        seed=0,
        key="",
        settings={"groups": {"near": ["a", "b"], "far": ["c"]}},
        numbers={f"detection.{name}.{what}": value for name, value in values.items() for what in names},
    )
    assert unseen_means(record, ["b"])["unseen.near.auroc"] == 0.9
    assert unseen_means(record, [])["unseen.near.auroc"] == pytest.approx(0.7)
    assert "unseen.far.auroc" not in unseen_means(record, ["c"])
