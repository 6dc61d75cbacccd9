"""The study of imbalance: its records, and detectors on a long tail."""

import torch
from small_studies import LEADERBOARD, of, run

from benchmark.backbones.network import to_pixels
from benchmark.store.artifacts import Store
from benchmark.studies.subject import Subject


def test_imbalance_records(made):
    for row in ("none", "smote", "costly"):
        for record in of(made, "imbalance", row):
            assert {"total.error", "minority.error", "macro_f1", "msp.near.auroc"} <= record.numbers.keys()
    assert of(made, "imbalance", "smote")[0].training.sampler["name"] == "smote"
    assert of(made, "imbalance", "none")[0].training.training_set["profile"]["method"] == "exp"


def test_detectors_are_fitted_on_the_long_tail_that_the_network_saw(made):
    folder, plan = made
    store = Store(folder / "cache")
    job = plan.jobs[next(s.key for s in plan.studies if s.place.study == "imbalance")]
    subject = Subject(job.config, job.opened(store.open))
    counts = subject.inputs.training_set.json("card")["counts"]
    assert min(counts) < max(counts)
    assert torch.bincount(subject.trained_on.labels).tolist() == counts
    (fitted,) = subject.detectors(["knn"]).values()
    assert len(fitted.bank) == sum(counts) < subject.extracted.length("train")
    shown = subject.inputs.training_set.tensors("training_set")
    images = subject.inputs.id.tensors("images")["images"][shown["rows"]]
    with torch.inference_mode():
        seen = subject.tap(to_pixels(images))
    assert torch.equal(subject.trained_on.labels, shown["labels"])
    torch.testing.assert_close(subject.trained_on.logits, seen.logits)


def test_a_detector_that_too_few_images_cannot_fit_costs_nothing_else(copy):
    text = LEADERBOARD.replace(
        "        detectors: [msp]\nbackbones", "        detectors: [vim, msp]\nbackbones"
    )
    _, done, _ = run(copy, text, studies=("imbalance",))
    assert done.failed == 0
    for record in of((copy,), "imbalance", "none"):
        assert {"total.error", "msp.near.auroc"} <= record.numbers.keys()
        assert not any(name.startswith("vim") for name in record.numbers)
        assert any(warning.startswith("detector vim: left out: ") for warning in record.warnings)
