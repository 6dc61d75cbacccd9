"""`--device`, `--jobs-per-device` and `--precision`: what they ask for, and how mistakes end."""

import re

import pytest
from command_line import squeezed

import benchmark.run
from benchmark.backbones import device
from benchmark.engines.in_process import InProcess
from benchmark.records.record import TRAININGS
from benchmark.records.results import read_all


@pytest.fixture
def two(monkeypatch):
    """Pretends that there are two accelerators."""
    monkeypatch.setattr(device, "accelerators", lambda: ("cuda:0", "cuda:1"))


@pytest.fixture
def asked(monkeypatch):
    """What pools were asked for; the jobs are done in this process."""
    found = []

    def pool(workers, devices):
        found.append((workers, tuple(devices)))
        return InProcess()

    monkeypatch.setattr(benchmark.run, "default_pool", pool)
    return found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:3"], "--device: there is no cuda:3 here; there is cuda:0, cuda:1"),
        (["--device", "mps"], "--device: there is no mps here; there is cuda:0, cuda:1"),
        (["--device", "gpu"], "--device: got 'gpu'; expected auto, cpu, one of cuda, mps, xpu"),
        (["--device", "cuda:0,cuda:0"], "--device: cuda:0,cuda:0 names one twice"),
        (["--device", "cuda:0,mps"], "--device: cuda:0,mps are of several types"),
        (["--device"], "Option '--device' requires an argument"),
        (["--jobs-per-device", "0"], "Invalid value for '--jobs-per-device'"),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
        (["--device", "cpu", "--jobs-per-device", "2"], "--jobs-per-device: only the CPU is used"),
        (["--precision", "fp16"], "Invalid value for '--precision'"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_what_cannot_be_served_exits_2_and_leaves_nothing(command, two, options, message, more):
    code, out, err = command("run", "--all", *more, *options)
    assert (code, out) == (2, "")
    assert message in squeezed(err)
    assert not (command.folder / "cache").exists()
    assert not (command.folder / "runs").exists()


def test_where_there_is_no_accelerator_none_can_be_shared(command, monkeypatch):
    monkeypatch.setattr(device, "accelerators", lambda: ())
    code, _, err = command("run", "--all", "--jobs-per-device", "2")
    assert code == 2
    assert "--jobs-per-device: only the CPU is used" in err


@pytest.mark.parametrize(
    ("options", "expected", "said"),
    [
        ([], ("cuda:0", "cuda:1"), 5),
        (["--device", "cpu"], (), 3),
        (["--device", "cuda:1"], ("cuda:1",), 4),
        (["--device", "cuda:1", "--jobs-per-device", "2"], ("cuda:1", "cuda:1"), 5),
    ],
)
def test_accelerators_have_workers_besides_those_of_the_cpu(command, two, asked, options, expected, said):
    code, _, err = command("run", "--seed", "0", "--entry", "msp", "--jobs", "3", *options)
    assert code == 0
    assert asked == [(3, expected)]
    assert f"jobs, {said} at a time" in err


def test_bfloat16_is_another_setting_with_other_keys_and_the_board_says_so(command, asked):
    part = ["--seed", "0", "--jobs", "1"]
    _, out, _ = command("plan", *part[:2])
    everything = re.search(r"jobs\tall\t(\d+)", out).group(1)
    assert command("run", *part, "--results", "full")[0] == 0
    assert command("run", *part, "--precision", "bf16", "--results", "reduced")[0] == 0
    counted = {}
    for precision in ("fp32", "bf16"):
        _, out, _ = command("plan", *part[:2], "--precision", precision)
        counted[precision] = re.search(r"jobs\tall\t(\d+\t\d+)", out).group(1)
    assert counted == dict.fromkeys(("fp32", "bf16"), f"{everything}\t{everything}")  # all are cached

    def records(folder):
        files = read_all(command.folder / folder)
        return {(f.study, f.row): record for f in files for record in f.records}

    full, reduced = records("full"), records("reduced")
    assert full.keys() == reduced.keys()
    for place, record in reduced.items():
        assert (record.training.precision, full[place].training.precision) == ("bf16", None)
        assert record.key != full[place].key
        assert record.status == "measured"
        if place[0] != TRAININGS:
            assert record.numbers != full[place].numbers
    page = command.folder / "site" / "leaderboard.md"
    said = "trained and measured in bfloat16"
    assert said in page.read_text()

    # Elsewhere they do not count: their networks are others than those of the board.
    assert command("report", "--results", "full")[0] == 0
    assert said not in page.read_text()
    counts = page.read_text()
    assert command("report", "--results", "reduced")[0] == 0
    assert "trained otherwise than leaderboard.yaml has now: precision" in page.read_text()
    assert "trained otherwise" not in counts
