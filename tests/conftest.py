"""A leaderboard small enough to be run in seconds, and what the tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from benchmark.engines.local import LocalEngine
from benchmark.engines.worker import Outcome, perform
from benchmark.job import Job

SMALL = """\
version: 1
tracks:
  small:
    title: A few digits
    image_size: 16
    id: {dataset: digits, classes: [0, 1, 2]}
    split: {train_per_class: 4, val_per_class: 4}
    near:
      threes: {dataset: digits, classes: [3]}
    far:
      noise: {dataset: uniform_noise, n: 12}
    shifts: {kinds: [gaussian_noise, contrast], scale: cifar_c, images_per_class: 3}
    training: {epochs: 1, batch_size: 6, lr: 0.003, weight_decay: 0.01}
    backbones: [tiny]
    inits: [scratch]
    seeds: [0, 1]
    entries: [msp, knn]
backbones:
  tiny: {architecture: test_efficientnet}
inits:
  scratch: {source: scratch}
entries:
  msp: {detector: msp}
  knn: {detector: knn, hyperparameters: {k: 2}}
boards:
  small:
    title: Small
    track: small
    rows: [entry]
    columns:
      - {metric: near.auroc, title: Near AUROC, better: higher}
    rank_by: near.auroc
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of a small leaderboard: 2 networks, 4 cells."""
    path = tmp_path / "leaderboard.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Networks of a few channels gain nothing from threads, and lose much where cores are shared."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def one_worker_is_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where jobs run one at a time they run in this process, in which a test can change what they do.

    So no test waits for a process to start. Those of processes ask for `real_workers`, or for two.
    """
    if "real_workers" in request.fixturenames:
        return
    in_a_worker, of_a_worker = LocalEngine._submit, LocalEngine._outcome

    def submit(engine: LocalEngine, group: list[Job], *, fresh: bool) -> Future[Outcome]:
        if engine.workers > 1:
            return in_a_worker(engine, group, fresh=fresh)
        future: Future[Outcome] = Future()
        future.set_result(perform(engine.store.root, group, engine.environment, fresh=fresh))
        return future

    def outcome(engine: LocalEngine, future: Future[Outcome]) -> Outcome:
        return of_a_worker(engine, future) if future in engine._busy else future.result()

    monkeypatch.setattr(LocalEngine, "_submit", submit)
    monkeypatch.setattr(LocalEngine, "_outcome", outcome)


@pytest.fixture
def real_workers() -> None:
    """Jobs run in worker processes, even one at a time."""
