"""How long jobs may take: what the command line says, and what stands where it says nothing."""

import pytest

from benchmark.engines.timeouts import Timeouts, duration
from benchmark.errors import UsageError
from benchmark.jobs.job import Job, Kind

HOUR = 3600


def limits(*said):
    found = Timeouts.parse(said)
    return {kind: found.seconds((Job(kind, None),)) for kind in Kind}


def test_trainings_have_more_time_than_passes_and_these_more_than_all_others():
    """The numbers of `oodbench run --help` and docs/isolation.md."""
    found = limits()
    assert found[Kind.TRAIN] == found[Kind.PRETRAIN] == 72 * HOUR
    assert found[Kind.EXTRACT] == found[Kind.ATTACK] == found[Kind.STUDY] == 24 * HOUR
    assert found[Kind.SCORE] == found[Kind.MEASURE] == found[Kind.DATA] == 6 * HOUR
    assert Timeouts().of_kind == found


@pytest.mark.parametrize(
    ("said", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 48 * HOUR), ("none", None)]
)
def test_a_time_is_of_all_kinds_and_one_of_a_kind_of_that_alone(said, seconds):
    assert set(limits(said).values()) == {seconds}
    assert limits(f"train={said}") == {**limits(), Kind.TRAIN: seconds}
    assert limits("1m", f"train={said}") == dict.fromkeys(Kind, 60.0) | {Kind.TRAIN: seconds}


@pytest.mark.parametrize("said", ["10", "0s", "-3m", "m", "1 h", "1w", "nan", "train=", ""])
def test_what_is_no_time_is_refused(said):
    expected = "expected a time such as 90s, 10m, 2h or 1d, or none"
    with pytest.raises(UsageError, match=f"--timeout: got '{said}'; {expected}"):
        Timeouts.parse([said])


def test_what_is_no_kind_is_refused_with_those_that_there_are():
    with pytest.raises(
        UsageError, match=r"'score_=5m' is of no kind of job; expected one of .*score.*train=5m"
    ):
        Timeouts.parse(["score_=5m"])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.5, "0.5 s"), (90, "90 s"), (60, "1 min"), (600, "10 min"), (5400, "90 min"), (7200, "2 h"),
     (86400, "1 day"), (72 * HOUR, "3 days")],
)  # fmt: skip
def test_times_are_said_as_people_say_them(seconds, said):
    assert duration(seconds) == said
