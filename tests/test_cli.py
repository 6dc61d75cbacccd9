"""The command line and the library's face: what they print, how they end, and what they do not load."""

import importlib
import io
import json
import os
import pty
import re
import runpy
import select
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from rich.console import Console

import oodbench
from benchmark.results import Cell, read_all
from reports.console import summaries

ROOT = Path(__file__).parents[1]
SMALL = runpy.run_path(str(Path(__file__).parent / "conftest.py"))["SMALL"]
COMMANDS = ("run", "plan", "report", "list", "show", "schema", "cache")
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith(("OODBENCH", "PYTHON", "COLUMNS"))},
    "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "TERM": "xterm", "PYTHONUTF8": "1",
}  # fmt: skip


class Command:
    """Runs the command line in this process, in a folder of its own."""

    def __init__(self, monkeypatch, capsys, folder):
        self.monkeypatch, self.capsys, self.folder = monkeypatch, capsys, folder
        monkeypatch.chdir(folder)
        monkeypatch.setenv("OODBENCH_CACHE", str(folder / "cache"))
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(oodbench.signal, "signal", lambda *_: None)  # the handlers are pytest's

    def __call__(self, *arguments):
        """Return exit code, standard output, standard error."""
        self.monkeypatch.setattr(sys, "argv", ["oodbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            oodbench.main()
        out, err = self.capsys.readouterr()
        assert "Traceback" not in err
        return done.value.code or 0, out, err


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    return Command(monkeypatch, capsys, tmp_path)


def process(*arguments, cwd, **options):
    return subprocess.run(
        [sys.executable, "-m", "oodbench", *map(str, arguments)],
        cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, check=False, **options,
    )  # fmt: skip


class Ran(NamedTuple):
    """A folder where the small leaderboard has been run, and what that printed."""

    folder: Path
    out: str
    err: str


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ran")
    (folder / "leaderboard.yaml").write_text(SMALL)
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["oodbench", "run", "--all", "--jobs", "1", "--cache", "cache"])
        patch.setattr(oodbench.signal, "signal", lambda *_: None)
        with pytest.raises(SystemExit) as done:
            oodbench.main()
    assert not done.value.code, err.getvalue()
    return Ran(folder, out.getvalue(), err.getvalue())


def squeezed(text):
    """Words without the frames and line ends of a panel."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


# Help


def test_help_loads_nothing_heavy(tmp_path):
    script = (
        "import sys, oodbench\nsys.argv = ['oodbench', '--help']\n"
        "try: oodbench.main()\nexcept SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'timm', 'numpy', 'scipy', 'sklearn', 'matplotlib', 'pydantic', 'ruamel.yaml'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "[]")


def test_help_names_every_command(command):
    code, out, _ = command("--help")
    assert code == 0
    assert all(re.search(rf"^│ {name} ", out, re.MULTILINE) for name in COMMANDS)


def test_nothing_is_answered_with_help(command):
    code, out, _ = command()
    assert code == 2
    assert "Usage: oodbench [OPTIONS] COMMAND" in out


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command, name, option):
    code, out, _ = command(name, option)
    assert code == 0
    assert f"Usage: oodbench {name} [OPTIONS]" in out


def test_every_command_of_the_app_is_tested_here():
    names = {info.name or info.callback.__name__ for info in oodbench.app.registered_commands}
    assert names == set(COMMANDS)


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnu"], "No such command 'rnu'. Did you mean 'run'?"),
        (["run", "--trak", "small"], r"No such option: --trak .*--track"),
        (["list", "detctors"], "no list of 'detctors'; did you mean 'detectors'?"),
        (["show", "enrgy"], "nothing is called 'enrgy'; did you mean 'energy'?"),
        (["show", "smal"], "nothing is called 'smal'; did you mean 'small'?"),
        (["show", "nothing"], "nothing is called 'nothing'; `oodbench list` shows all "),
        (["show"], "Missing argument 'name'"),
        (
            ["run"],
            "nothing to run: give --all, --full, or choose with "
            "--track, --entry, --backbone, --init, --seed",
        ),
        (["run", "--dry-run"], "nothing to run: give --all"),
        (["run", "--all", "--entry", "msp"], "--all means everything; leave it out to choose a part"),
        (["run", "--all", "--jobs", "0"], "Invalid value for '--jobs'"),
        (["run", "--all", "--jobs", "many"], "Invalid value for '--jobs'"),
        (["run", "--seed", "x"], "Invalid value for '--seed'"),
        (["run", "--track", "smal"], "no track 'smal'; did you mean 'small'?"),
        (["plan", "--entry", "mps"], "no entry 'mps'; did you mean 'msp'?"),
        (["plan", "--backbone", "tinny"], "no backbone 'tinny'; did you mean 'tiny'?"),
        (["plan", "--init", "scrach"], "no init 'scrach'; did you mean 'scratch'?"),
        (["plan", "--seed", "7"], "no seed '7'; there are: 0, 1"),
        (["plan", "--leaderboard", "leaderbord.yaml"], "leaderbord.yaml: cannot be read: No such file"),
        (["plan", "--leaderboard", "."], r"\.: cannot be read: Is a directory"),
    ],
)  # fmt: skip
def test_a_mistake_at_the_command_line_exits_2_and_says_what_to_do(command, arguments, message):
    code, out, err = command(*arguments)
    assert (code, out) == (2, "")
    assert re.search(message.replace("?", r"\?"), squeezed(err), re.IGNORECASE)
    assert not (command.folder / "cache").exists()
    assert not (command.folder / "results").exists()


@pytest.mark.parametrize("name", ["plan", "list", "report", "run --all", "show msp"])
def test_a_bad_leaderboard_exits_2_and_names_the_place(command, name):
    path = command.folder / "leaderboard.yaml"
    path.write_text(SMALL.replace("image_size: 16", "image_size: big"))
    code, out, err = command(*name.split())
    assert (code, out) == (2, "")
    assert err == (
        "oodbench: leaderboard.yaml:5: tracks.small.image_size: Input should be a valid integer; got 'big'\n"
    )


@pytest.mark.parametrize("name", ["plan", "show small", "run --all"])
def test_a_dataset_that_there_is_not_exits_2_and_names_the_place(command, name):
    (command.folder / "leaderboard.yaml").write_text(SMALL.replace("uniform_noise", "unifrm_noise"))
    code, _, err = command(*name.split())
    assert code == 2
    assert err.startswith(
        "oodbench: leaderboard.yaml:11: tracks.small.far.noise.dataset: no dataset 'unifrm_noise'; "
        "did you mean 'uniform_noise'?"
    )


def test_an_architecture_that_there_is_not_exits_2_before_anything_is_computed(command):
    (command.folder / "leaderboard.yaml").write_text(SMALL.replace("test_efficientnet", "test_efficientnett"))
    code, _, err = command("run", "--all", "--jobs", "1")
    assert code == 2
    assert err.startswith(
        "oodbench: leaderboard.yaml:19: backbones.tiny.architecture: "
        "timm has no architecture 'test_efficientnett'; did you mean 'test_efficientnet'?"
    )
    assert not list(command.folder.glob("cache/objects/*"))


# Looking


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


def test_show_a_track_with_its_sets_and_their_fingerprints(command):
    code, out, _ = command("show", "small")
    assert code == 0
    rows = [line.split("\t") for line in out.splitlines()]
    assert [row[:4] for row in rows if len(row) == 5] == [
        ["id", "ID", "digits, classes 0, 1, 2", "537"],
        ["threes", "near OOD", "digits, classes 3", "183"],
        ["noise", "far OOD", "uniform_noise", "12"],
    ]
    assert len(re.findall(r"\b[0-9a-f]{16}\b", out)) == 3
    assert "cifar_c severities 1 to 5" in out


def test_the_fingerprints_shown_are_those_of_the_records(command, ran):
    _, out, _ = command("show", "small")
    [record, *_] = read_all(ran.folder / "results")[0].records
    for name in ("id", "threes", "noise"):
        assert record.provenance.data[name][:16] in out


@pytest.mark.skipif(not (ROOT / "leaderboard.yaml").is_file(), reason="no checkout: no leaderboard.yaml")
def test_show_everything_of_a_name(command):
    """`digits` is a track and a dataset."""
    code, out, _ = command("show", "digits", "--leaderboard", ROOT / "leaderboard.yaml")
    assert code == 0
    assert re.findall(r"^(Track|Dataset|Entry) digits$", out, re.MULTILINE) == ["Track", "Dataset"]
    assert len(re.findall(r"\b[0-9a-f]{16}\b", out)) >= 6


def test_show_a_detector_with_paper_settings_and_source(command):
    code, out, _ = command("show", "energy")
    text = squeezed(out)
    assert code == 0
    assert "Paper: " in text
    assert "https://arxiv.org/abs/2010.03759" in text
    assert "Hyper-parameters: temperature 1.0" in text
    assert "Needs: logits" in text
    assert "energy.py" in text


def test_show_an_entry_a_backbone_and_an_init(command):
    assert re.findall(r"^(\w+) knn$", command("show", "knn")[1], re.MULTILINE) == ["Detector", "Entry"]
    assert "Architecture: test_efficientnet" in command("show", "tiny")[1]
    assert "Source: scratch" in command("show", "scratch")[1]


def test_schema_is_json_and_the_one_that_editors_use(command):
    code, out, _ = command("schema")
    assert code == 0
    assert json.loads(out)["$schema"].startswith("https://json-schema.org/")
    assert (ROOT / "benchmark" / "leaderboard.schema.json").read_text(encoding="utf-8") == out, (
        "run: oodbench schema > benchmark/leaderboard.schema.json"
    )


@pytest.mark.parametrize("name", [["plan"], ["run", "--all", "--dry-run"]])
def test_planning_computes_nothing(command, name):
    code, out, _ = command(*name)
    assert code == 0
    assert "cells\tsmall\t4\t0\n" in out
    assert "jobs\tall\t24\t0\t24\n" in out
    assert sorted(p.name for p in command.folder.iterdir()) == ["leaderboard.yaml"]


def test_a_plan_of_a_part(command):
    code, out, _ = command("plan", "--entry", "knn", "--seed", "1")
    assert code == 0
    assert "cells\tsmall\t1\t0\n" in out


# Running


def test_a_run_measures_writes_and_reports(ran):
    folder, out, err = ran
    assert sorted(p.name for p in folder.glob("results/small/*.json")) == ["knn.json", "msp.json"]
    assert {r.status for file in read_all(folder / "results") for r in file.records} == {"measured"}
    assert "<title>" in (folder / "site" / "index.html").read_text()
    assert "Leaderboard: site/index.html" in out
    assert "24 jobs, 1 at a time" in err
    assert re.search(r"24 jobs done in \d+:\d\d", err)


def test_the_summary_cuts_no_name_off(ran):
    """80 columns are what a log has; `energy` and `energy_finetune+energy` must not look alike."""
    [record, *_] = read_all(ran.folder / "results")[0].records
    out = io.StringIO()
    cell = Cell("small", "tiny", "fractaldb", 0, "energy_finetune+energy")
    Console(file=out, width=80).print(*summaries({cell: record}))
    assert "energy_finetune+energy  fractaldb" in out.getvalue()
    assert "…" not in out.getvalue()


def test_without_a_terminal_there_are_no_control_characters(ran):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ran.out + ran.err)


def test_a_second_run_computes_nothing_and_changes_no_record(ran, command):
    folder = command.folder
    shutil.copytree(ran.folder / "cache", folder / "cache")
    shutil.copytree(ran.folder / "results", folder / "results")
    before = {p: p.read_bytes() for p in folder.glob("results/**/*.json")}
    code, _, err = command("run", "--all", "--jobs", "1")
    assert (code, err) == (0, "")
    assert {p: p.read_bytes() for p in folder.glob("results/**/*.json")} == before
    _, out, _ = command("plan")
    assert "jobs\tall\t24\t24\t0\n" in out


def test_a_plan_says_which_records_a_run_would_write_just_so(ran, command):
    folder = command.folder
    shutil.copytree(ran.folder / "results", folder / "results")

    def counted(text=SMALL):
        """Current, failed, outdated, missing."""
        (folder / "leaderboard.yaml").write_text(text)
        code, out, _ = command("plan")
        assert code == 0
        return tuple(map(int, re.search(r"records\tsmall" + r"\t(\d+)" * 4, out).groups()))

    assert counted() == (4, 0, 0, 0)
    assert counted(SMALL.replace("seeds: [0, 1]", "seeds: [1, 2]")) == (2, 0, 0, 2)
    assert counted(SMALL.replace("train_per_class: 4", "train_per_class: 5")) == (0, 0, 4, 0)
    (folder / "results" / "small" / "msp.json").unlink()
    assert counted() == (2, 0, 0, 2)
    (folder / "results" / "small" / "knn.json").write_text("{")
    code, _, err = command("plan")
    assert code == 1
    assert err.startswith("oodbench: results/small/knn.json: ")


def test_report_without_records_makes_a_page_that_says_so(command):
    code, out, _ = command("report", "--site", "pages")
    assert (code, out) == (0, "Leaderboard: pages/index.html\n")
    assert "oodbench run --all" in (command.folder / "pages" / "leaderboard.md").read_text()
    assert "no records" in (command.folder / "pages" / "index.html").read_text()


@pytest.mark.parametrize("content", ["{", "[]", "{}", "\0"])
def test_a_broken_record_file_is_named(command, content):
    path = command.folder / "results" / "small" / "msp.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    code, out, err = command("report")
    assert (code, out) == (1, "")
    assert err.startswith("oodbench: results/small/msp.json: ")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("option", ["--results", "--site", "--cache"])
def test_a_folder_that_cannot_be_made_is_named(command, option):
    (command.folder / "file").touch()
    code, _, err = command("run", "--all", "--jobs", "1", option, "file/folder")
    assert code == 1
    assert re.search(r"^oodbench: file/folder.*: Not a directory; ", err, re.MULTILINE)


def test_the_cache_is_described_and_cleared(command, ran):
    copy = command.folder / "cache"
    shutil.copytree(ran.folder / "cache", copy)
    assert command("cache")[1].startswith(f"{copy}: 24 artifacts, ")
    code, out, _ = command("cache", "--clear")
    assert (code, out) == (0, f"{copy}: 0 artifacts, 0 MB\n")
    assert not list(copy.glob("objects/*"))
    assert command("plan")[1].count("24") == 2  # needed and to run


def test_a_cache_that_is_not_there_is_empty_and_not_made(command):
    code, out, _ = command("cache", "--cache", "nowhere")
    assert (code, out) == (0, "nowhere: 0 artifacts, 0 MB\n")
    assert not (command.folder / "nowhere").exists()


def test_a_terminal_shows_the_run_as_it_goes_and_is_left_clean(tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL.replace("seeds: [0, 1]", "seeds: [0]"))
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "oodbench", "run", "--all", "--jobs", "1", "--cache", "cache"],
        cwd=tmp_path, env=ENVIRONMENT, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other side has been closed
                break
            if not part:
                break
            seen += part
    os.close(ours)
    assert running.wait(timeout=10) == 0
    text = re.sub(r"\x1b\[[\d;]*m", "", seen.decode())  # without colours
    assert "of 14 jobs, about" in text
    assert re.search(
        r"  small(: images of \w+|: shifted test images| tiny scratch seed 0: \w+.*)  \d:\d\d", text
    )
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") >= 1  # the cursor is hidden, and shown again
    assert text.rindex("14 jobs done in") > text.rindex("of 14 jobs, about")
    assert text.rstrip().endswith("Leaderboard: site/index.html")
    assert "Traceback" not in text


# As a process


def test_the_reader_of_a_pipe_may_go_away(tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    for arguments in ("cache", "schema"):  # one prints a table's way, one plain text
        running = subprocess.Popen(
            [sys.executable, "-m", "oodbench", arguments],
            cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        running.stdout.close()  # before a line has been written
        _, err = running.communicate(timeout=60)
        assert (running.returncode, err) == (1, "")


@pytest.mark.parametrize("room", ["benchmark", "methods", "reports"])
def test_a_foreign_package_of_our_name_is_refused(tmp_path, room):
    (tmp_path / room).mkdir()
    (tmp_path / room / "__init__.py").write_text("raise SystemExit('must not be imported')\n")
    done = process("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"oodbench: oodbench needs its own package {room!r} in {ROOT}, but Python finds "
    )
    assert str(tmp_path / room / "__init__.py") in done.stderr
    assert "Run from another folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_foreign_package_is_refused_in_the_library_too(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "__init__.py").touch()
    done = subprocess.run(
        [sys.executable, "-c", "from oodbench import detector"],
        cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "oodbench needs its own package 'methods'" in done.stderr


# The library


def test_every_export_is_what_its_home_has():
    for name in oodbench.__all__:
        home = oodbench._HOME.get(name, "methods.base")
        assert getattr(oodbench, name) is getattr(importlib.import_module(home), name)
    assert set(oodbench.__all__) <= set(dir(oodbench))
    assert sorted(oodbench.__all__) == oodbench.__all__
    assert oodbench._HOME.keys() <= set(oodbench.__all__)


def test_what_is_not_exported_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'oodbench' has no attribute 'detecter'"):
        oodbench.detecter  # noqa: B018


def test_the_library_works_on_arrays():
    """Class means at the corners of a triangle; the far images lie beyond none of them."""
    from oodbench import Features, Head, detection_metrics, detector

    rng = np.random.default_rng(0)
    weight = np.array([[2.0, 0.0], [-1.0, 1.7], [-1.0, -1.7]], dtype=np.float32)
    labels = np.arange(90) % 3
    near = (weight[labels] + 0.1 * rng.standard_normal((90, 2))).astype(np.float32)
    far = (0.1 * rng.standard_normal((60, 2))).astype(np.float32)
    known = Features(near @ weight.T, near, labels)
    foreign = Features(far @ weight.T, far)
    for name in ("msp", "energy", "knn", "mahalanobis"):
        scorer = detector(name).fit(known, known, Head(weight), torch.Generator().manual_seed(0))
        scores = [np.asarray(scorer.score(part)) for part in (known, foreign)]
        assert detection_metrics(*scores).auroc > 0.99, name
