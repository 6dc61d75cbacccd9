"""`oodbench run --isolate` and `--timeout`: what is refused, what is said, and what becomes of a slow job."""

import pytest

from benchmark.engines.isolation import apart, confinement
from benchmark.engines.isolation.confinement import LimitsAlone
from benchmark.engines.isolation.isolated import Isolated
from benchmark.engines.processes import Processes
from benchmark.jobs.job import Kind
from benchmark.records.results import read_all
from reports.console.isolation import Asked


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """The run stays in this process."""
    monkeypatch.setattr(apart, "begin_apart", lambda: None)


@pytest.fixture
def without_sandboxes(monkeypatch):
    refused = ["bubblewrap: bwrap is not installed", "namespaces (unshare): Operation not permitted"]
    monkeypatch.setattr(confinement, "strongest", lambda: (LimitsAlone(), refused))


def asked(*timeout, isolate=False, require_sandbox=False, memory=None):
    return Asked(timeout, isolate=isolate, require_sandbox=require_sandbox, memory=memory)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--timeout", "soon"], "--timeout: got 'soon'; expected a time such as 90s, 10m, 2h or 1d, or none"),
        (["--timeout", "drain=1h"], "--timeout: 'drain=1h' is of no kind of job; expected one of data, "),
        (["--memory", "4G"], "--memory: only isolated jobs are limited; add --isolate"),
        (["--isolate", "--memory", "much"], "--memory: got 'much'; expected a size such as 900M or 4G"),
    ],
)
def test_mistakes(command, options, said):
    code, _, err = command("run", "--all", "--device", "cpu", *options)
    assert code == 2
    assert said in err


def test_accelerators_are_refused(command, monkeypatch):
    monkeypatch.setattr("benchmark.backbones.device.chosen_devices", lambda _: ("cuda:0", "cuda:1"))
    code, _, err = command("run", "--all", "--isolate")
    said = "--isolate: jobs of accelerators (cuda:0, cuda:1) cannot be isolated; add --device cpu"
    assert (code, said in err) == (2, True)


def test_a_sandbox_that_is_required_and_not_there_ends_the_run(command, without_sandboxes):
    code, _, err = command("run", "--all", "--device", "cpu", "--require-sandbox")
    assert code == 2
    assert "there is no sandbox here (bubblewrap: bwrap is not installed; namespaces (unshare): Oper" in err
    assert not (command.folder / "runs").exists()


def test_a_network_of_the_run_itself_is_refused_where_a_sandbox_is_required(command, monkeypatch):
    monkeypatch.setattr(apart, "begin_apart", lambda: "not permitted")
    code, _, err = command("run", "--all", "--require-sandbox")
    assert (code, "the run itself cannot do without network here (not permitted)" in err) == (2, True)


def test_limits_alone_are_said_to_be_weak(without_sandboxes, capsys, monkeypatch):
    monkeypatch.setattr(apart, "begin_apart", lambda: "not permitted")
    monkeypatch.setenv("COLUMNS", "1000")
    pool = asked(isolate=True, memory="2G").begin().pool(1, ())
    assert isinstance(pool, Processes)
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "isolated by limits of resources alone: at most 2 GiB and 64 processes a job; a job can reach the "
        "network and all files (bubblewrap: bwrap is not installed; namespaces (unshare): Operation not "
        "permitted); the run itself, which imports methods when it plans, has network (not permitted)"
    )


def test_without_either_option_the_pool_is_that_of_any_run(monkeypatch):
    assert asked().pool(1, ()) is None
    pool = asked("5m").pool(1, ())
    assert isinstance(pool, Processes)
    assert not isinstance(pool._perform, Isolated)
    assert pool._timeouts.of_kind[Kind.TRAIN] == 300


@pytest.mark.long
def test_what_takes_too_long_has_failed_with_that_reason_and_the_others_are_measured(command):
    part = ("run", "--seed", "0", "--jobs", "1")
    assert command(*part, "--entry", "msp")[0] == 0
    code, _, err = command(*part, "--entry", "knn", "--timeout", "measure=0.001s")
    reason = "stopped after 0.001 s: it hangs, or needs more time than --timeout gives it"
    assert code == 1
    assert reason in err
    by_row = {file.row: file.records for file in read_all(command.folder / "runs")}
    assert {record.status for record in by_row["msp"]} == {"measured"}
    (failed,) = by_row["knn"]
    assert (failed.status, failed.reason) == ("failed", reason)
