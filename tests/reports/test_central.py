"""The start of the page of the claims: what pre-training gives."""

from __future__ import annotations

import re

import pytest
from claim_examples import arms, register, results, spec

from reports.claims.central import central_section
from reports.claims.decide import decide_claims
from reports.claims.register import Register, load_register
from reports.select import select
from reports.site.markdown import markdown_of
from reports.site.sections import Page

CENTRAL = [{"title": "Detection", "claim": "C-A1", "trial": "t0"}]


def shown(gain: float, **trial) -> str:
    """The section as Markdown, where arm a is `gain` above arm b."""
    plain = register({**trial}).model_dump()
    claims = Register.model_validate({**plain, "central": CENTRAL})
    where, values = spec(), arms(gain)
    section = central_section(claims, decide_claims(claims, where, select(where, results(values))))
    assert section is not None
    return markdown_of(Page("claims", "x", "x", "", (), (), (section,), ""))


@pytest.mark.parametrize(
    ("gain", "trial", "word"),
    [
        (0.02, {}, "better"),
        (-0.02, {}, "worse"),
        (0.02, {"kind": "two_sided"}, "better"),  # refutes “no different”, and is better all the same
        (0.02, {"role": "secondary"}, "better"),
        (-0.02, {"role": "secondary"}, "worse"),
        (0.0001, {"role": "secondary"}, "undecided"),
        (0.0001, {"delta": 5.0}, "no different"),
    ],
)
def test_a_setting_is_told_by_word_gain_and_interval(gain, trial, word):
    text = shown(gain, **trial)
    assert f"{word} in 1 of 1 settings" in text
    row = next(line for line in text.splitlines() if line.startswith("| toy"))
    assert re.search(rf"{word}\**\s+[+−]", row)
    assert len(re.findall(r"[+−]\d+\.\d\d", row)) == 3


def test_without_a_run_there_is_no_such_section():
    claims = Register.model_validate({**register({"a": "absent"}).model_dump(), "central": CENTRAL})
    where = spec()
    verdicts = decide_claims(claims, where, select(where, results(arms(0.02))))
    assert central_section(claims, verdicts) is None


def test_the_own_register_names_six_measures():
    own = load_register()
    assert len(own.central) == 6
    assert {one.claim for one in own.central} <= {claim.id for claim in own.claims}
