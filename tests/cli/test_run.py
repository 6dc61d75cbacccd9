"""`oodbench run`: what it prints, writes and computes again."""

import io
import re
import shutil

from rich.console import Console

from benchmark.records.place import Place
from benchmark.records.record import DETECTION
from benchmark.records.results import read_all
from reports.console.progress import summaries


def test_a_run_measures_writes_and_reports(ran):
    folder, out, err = ran
    assert sorted(p.name for p in folder.glob("runs/small/*.json")) == ["knn.json", "msp.json"]
    assert {r.status for file in read_all(folder / "runs") for r in file.records} == {"measured"}
    assert "<title>" in (folder / "site" / "index.html").read_text()
    assert "Leaderboard: site/index.html" in out
    assert "24 jobs, 1 at a time" in err
    assert re.search(r"24 jobs done in \d+:\d\d", err)


def test_the_summary_cuts_no_name_off(ran):
    """80 columns are what a log has; `energy` and `energy_finetune+energy` must not look alike."""
    [record, *_] = read_all(ran.folder / "runs")[0].records
    out = io.StringIO()
    place = Place("small", DETECTION, "energy_finetune+energy", "tiny", "fractaldb", 0)
    Console(file=out, width=80).print(*summaries({place: record}))
    assert "energy_finetune+energy  fractaldb" in out.getvalue()
    assert "…" not in out.getvalue()


def test_without_a_terminal_there_are_no_control_characters(ran):
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", ran.out + ran.err)


def test_a_second_run_computes_nothing_and_changes_no_record(ran, command):
    folder = command.folder
    shutil.copytree(ran.folder / "cache", folder / "cache")
    shutil.copytree(ran.folder / "runs", folder / "runs")
    before = {p: p.read_bytes() for p in folder.glob("runs/**/*.json")}
    code, _, err = command("run", "--all", "--jobs", "1")
    assert (code, err) == (0, "")
    assert {p: p.read_bytes() for p in folder.glob("runs/**/*.json")} == before
    _, out, _ = command("plan")
    assert "jobs\tall\t24\t24\t0\n" in out
