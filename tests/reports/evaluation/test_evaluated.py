"""What a terminal shows at the end of an evaluation."""

import io
import re
from pathlib import Path

import outcomes
import pytest
from page import words
from places import ROOT
from rich.console import Console

from reports.console.evaluated import evaluation_lines
from reports.console.results import show
from reports.evaluation.page import page_of
from reports.site.text import plain


def said(outcome, width=10_000, folder=Path("report"), **options):
    target = Console(file=io.StringIO(), width=width, **options)
    show(target, evaluation_lines(outcome, folder))
    return target.file.getvalue()


def test_ten_detectors_stand_there_in_their_order_and_the_rest_is_counted():
    outcome = outcomes.outcome(detectors=14)
    lines = said(outcome).splitlines()
    names = [one.name for one in outcome.detectors]
    table = [line.split()[0] for line in lines if line.split() and line.split()[0] in names]
    assert table == names[:10]
    assert "… and 4 more detectors" in lines
    best = outcome.detectors[0].mean
    ends = f"[{100 * best.low:.1f}, {100 * best.high:.1f}]"
    assert f"{100 * best.value:.1f} {ends}" in next(line for line in lines if names[0] in line)


def test_answer_warnings_and_report_are_said():
    outcome = outcomes.outcome(warnings=("Few images.",))
    text = said(outcome)
    assert text.startswith("Warning: Few images.\n")
    assert f"Use {outcome.recommended.name} at {outcome.thresholds[0].threshold:.4g}: it keeps 95.0 %" in text
    assert text.endswith("Report: report/index.html\n")
    assert "Not applicable here: odin, gram" in text
    marked = [line.split()[0] for line in text.splitlines() if "◀" in line and "recommended" not in line]
    assert marked == [outcome.recommended.name]
    assert "Report" not in said(outcome, folder=None)


def test_a_group_without_sets_has_no_column():
    assert "Near" not in said(outcomes.outcome(near=0))
    assert "Far" not in said(outcomes.outcome(far=0))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_tables_keep_to_the_terminal_and_lines_of_text_are_whole(width):
    outcome = outcomes.outcome(detectors=12)
    lines = said(outcome, width).splitlines()
    head = next(i for i, line in enumerate(lines) if "Detector" in line)
    rule = next(i for i, line in enumerate(lines) if "───" in line)
    assert head < rule
    assert all(len(line) <= width for line in lines[head : rule + 10])
    assert any(line.startswith("Use ") and line.endswith("forward passes.") for line in lines)


def test_hostile_names_command_no_terminal_and_are_no_markup():
    outcome = outcomes.outcome(hostile=True, detectors=3)
    name = "[red]x[/red] :train: \x1b[31m\u202e"
    outcome = outcome.model_copy(update={"title": name, "warnings": (name,)})
    text = said(outcome, folder=Path("a\x1b[31m"), force_terminal=True, color_system=None)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert words(text).count("[red]x[/red] :train: \\x1b[31m\\u202e") == 2


def test_the_page_of_documentation_shows_what_is_printed():
    text = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)\n```", text, re.DOTALL)[1]
    printed = said(outcomes.outcome(detectors=12))
    assert shown.splitlines() == [line.rstrip() for line in printed.splitlines()]


def test_the_page_of_documentation_names_every_section():
    text = (ROOT / "docs" / "evaluate.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([A-Z][^|]*) \|", text, re.MULTILINE)
    named = [name for row in rows for name in row.split(", The ")]
    outcome = outcomes.outcome(corrupted=True)
    page = page_of(outcome, [None] * len(outcome.fooling))
    assert [name.removeprefix("The ") for name in named] == [
        plain(section.title).removeprefix("The ") for section in page.sections
    ]
