"""What a terminal and the reader of a pipe see of a run."""

import os
import pty
import re
import select
import subprocess
import sys
import time

import pytest
from command_line import ENVIRONMENT
from small_leaderboard import SMALL


@pytest.mark.long
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
