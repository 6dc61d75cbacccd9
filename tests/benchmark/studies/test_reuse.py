"""Studies that run again: what is computed, lost, failed or of other settings."""

import shutil

from small_studies import ALL, LEADERBOARD, of, planned, run

from benchmark.jobs.job import Kind
from benchmark.plan.freshness import freshness
from benchmark.records.files import read_records
from benchmark.records.results import write_records
from benchmark.records.text import record_path
from benchmark.store.artifacts import Store


def test_a_second_run_computes_nothing_and_changes_no_file(copy):
    before = {path: path.read_bytes() for path in (copy / "results").rglob("*.json")}
    _, done, events = run(copy, studies=ALL)
    assert not events
    assert done.written == []
    assert {path: path.read_bytes() for path in (copy / "results").rglob("*.json")} == before


def test_records_of_other_settings_are_counted_apart(copy):
    def counted(text=LEADERBOARD):
        found = freshness(planned(copy, text, studies=ALL), copy / "results")
        return {name: states for name, states in found.items() if name != "small, trainings"}

    sizes = {
        "small, adversarial": 6,
        "small, corruptions": 2,
        "small, label noise": 12,
        "small, imbalance": 6,
    }
    assert counted() == {name: {"current": size} for name, size in sizes.items()}
    path = record_path(copy / "results", "small", "none", "imbalance")
    file = read_records(path)
    failed = file.records[0].model_copy(update={"status": "failed", "reason": "no", "numbers": {}})
    write_records(path, file.model_copy(update={"records": [failed, *file.records[1:]]}))
    assert counted()["small, imbalance"] == {"current": 5, "failed": 1}
    write_records(path, file)
    moved = counted(LEADERBOARD.replace("mu: 0.2", "mu: 0.3"))
    assert moved == {**counted(), "small, imbalance": {"outdated": 6}}
    record_path(copy / "results", "small", "cross_entropy", "corruptions").unlink()
    assert counted()["small, corruptions"] == {"missing": 2}


def test_lost_records_are_written_again_from_the_cache(copy):
    path = record_path(copy / "results", "small", "none", "imbalance")
    before = path.read_bytes()
    path.unlink()
    _, done, events = run(copy, studies=ALL)
    assert (events, done.written) == ([], [path])
    assert path.read_bytes() == before


def test_only_what_is_lost_is_measured_again(copy):
    plan = planned(copy, studies=ALL)
    lost = next(s for s in plan.studies if s.place.study == "corruptions")
    shutil.rmtree(Store(copy / "cache").open(lost.key).folder)
    _, done, events = run(copy, studies=ALL)
    assert [kind for event, kind in events if event == "done"] == [Kind.CORRUPT]
    assert done.written == []


def test_a_failed_measurement_is_recorded_and_the_others_go_on(copy, monkeypatch):
    from benchmark.studies.imbalance import measure

    def broken(*_):
        raise ValueError("no imbalance today")

    monkeypatch.setattr(measure, "measure", broken)
    plan = planned(copy, studies=("imbalance",))
    for study in plan.studies:
        shutil.rmtree(Store(copy / "cache").open(study.key).folder)
    shutil.rmtree(copy / "results")
    _, done, _ = run(copy, studies=("imbalance",))
    assert done.failed == len(plan.studies)
    record = of((copy,), "imbalance", "none")[0]
    assert record.status == "failed"
    assert "no imbalance today" in record.reason
