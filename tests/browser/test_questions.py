"""Six questions that readers come with, answered on a phone in at most three clicks.

What is expected is worked out from the records here, without the code of the pages.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from benchmark.records.files import read_records
from benchmark.spec.load import load_spec

ROOT = Path(__file__).parents[2]
PHONE = 390  # pixels
TRACK, TITLE = "cifar10", "CIFAR-10"
MOST = 3


@pytest.fixture
def on_phone(reader):
    one = reader(PHONE)
    one.open()
    yield one
    assert one.clicks <= MOST


@pytest.fixture(scope="module")
def numbers():
    """By entry and init, a metric's value in each seed, in the order of the seeds."""
    spec = load_spec(ROOT / "leaderboard.yaml")
    found = defaultdict(dict)
    for path in sorted((ROOT / "results" / TRACK).glob("*.json")):
        file = read_records(path)
        entry = spec.entries.get(file.row)
        if file.study == "detection" and entry is not None and entry.tune is None:
            for record in file.records:
                if record.status == "measured" and record.networks == 1:
                    found[file.row, record.init][record.seed] = record
    return {row: [by[seed] for seed in sorted(by)] for row, by in found.items()}


def values(numbers, entry, init, metric):
    return np.array([record.numbers[metric] for record in numbers[entry, init]])


def passes(numbers, entry, init):
    """Mean cost in forward passes: scoring over the least time that the network took for the same images."""
    own = []
    for i, record in enumerate(numbers[entry, init]):
        bare = min(by[i].cost.extract_seconds for (_, other), by in numbers.items() if other == init)
        own.append(1 + record.cost.score_seconds / bare)
    return np.mean(own)


def shown(value):
    return f"{100 * value:.2f}"


def test_which_detector_is_best_near(on_phone, numbers):
    on_phone.click("Boards", TITLE)
    best = max(numbers, key=lambda row: values(numbers, *row, "near.auroc").mean())
    first = on_phone.rows()[0]
    assert first[0].split("\n")[0] == " · ".join(best)
    assert first[1].startswith("1 [1–")
    assert first[2].startswith(shown(values(numbers, *best, "near.auroc").mean()))


def test_is_vim_better_than_energy_significantly(on_phone, numbers):
    on_phone.click("Compare", TITLE)
    on_phone.page.get_by_label("Add one, or compare several").fill(
        "energy vim"
    )  # the first is what is compared with
    on_phone.page.get_by_role("button", name="Add", exact=True).click()
    on_phone.clicks += 1
    said = on_phone.page.locator(".verdicts").inner_text()
    difference = values(numbers, "vim", "scratch", "near.auroc") - values(
        numbers, "energy", "scratch", "near.auroc"
    )
    groups = 3  # near, far, embedded: the intervals hold all at once
    half = stats.t.ppf(1 - 0.05 / groups / 2, len(difference) - 1) * stats.sem(difference)
    low, high = difference.mean() - half, difference.mean() + half
    word = "significantly worse" if high < 0 else "significantly better" if low > 0 else "undecided"
    mean, least, most = (f"{100 * x:+.2f}".replace("-", "−") for x in (difference.mean(), low, high))
    assert f"near OOD {word} ({mean}, {least} to {most})" in " ".join(said.split())


def test_which_is_best_at_little_cost(on_phone, numbers):
    on_phone.click("Boards", TITLE)
    on_phone.choose("Forward passes", "1.1")
    cheap = [row for row in numbers if passes(numbers, *row) <= 1.1]
    best = max(cheap, key=lambda row: values(numbers, *row, "near.auroc").mean())
    assert 0 < len(cheap) < len(numbers)
    assert on_phone.rows()[0][0].split("\n")[0] == " · ".join(best)


def test_what_does_pre_training_give_in_calibration(on_phone, numbers):
    on_phone.click("Pre-training")
    on_phone.page.locator("summary", has_text="Each setting").click()
    on_phone.clicks += 1
    metric = "classification.calibration.rms_calibration"
    gains = values(numbers, "msp", "scratch", metric) - values(numbers, "msp", "imagenet", metric)
    half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains)
    mean, low, high = (
        f"{100 * x:+.2f}".replace("-", "−") for x in (gains.mean(), gains.mean() - half, gains.mean() + half)
    )
    start = re.escape(f"RMS calibration error, {TITLE}, ")
    end = re.escape(f"imagenet over scratch: gain {mean} (95 % interval {low} to {high}, {len(gains)} seeds)")
    line = on_phone.page.locator("details li").filter(has_text=re.compile(f"^{start}.*{end}"))
    assert line.count() == 1
    assert line.is_visible()


def test_the_auroc_of_mnist_alone(on_phone, numbers):
    on_phone.click("Datasets", "mnist")
    expected = shown(values(numbers, "msp", "imagenet", "detection.mnist.auroc").mean())
    row = on_phone.page.locator("tr", has_text=TRACK).filter(has_text="imagenet").filter(has_text=expected)
    assert row.count() >= 1


def test_where_are_the_paper_and_the_code_of_pnml(on_phone):
    on_phone.click("Methods", "pnml")
    paper = on_phone.page.get_by_role("link", name=re.compile("arXiv")).first
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2110.09246"
    assert "methods/detectors/pnml.py" in on_phone.page.locator("dl").first.inner_text()
