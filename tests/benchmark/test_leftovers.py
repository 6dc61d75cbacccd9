"""What killed runs leave half-made is cleared away by the next; what a living one is at is left."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import kill, needs_proc

from benchmark.store.artifacts import FORGOTTEN_AFTER, Store
from benchmark.store.files import clear_leftovers, require_writable, write_atomically

KEY, OTHER = "a" * 32, "b" * 32
YEARS = 10 * 365 * 24 * 3600.0
ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


@pytest.fixture
def start():
    """Starts a process that says "ready" and then waits."""
    started = []

    def call(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "ready\n"
        return process

    yield call
    for process in started:
        with process:
            process.kill()


AT_WORK = """
import sys
from pathlib import Path
from benchmark.store.artifacts import Store
store, key = Store(Path(sys.argv[1])), sys.argv[2]
with store.lock(key), store.create(key, dict()) as draft:
    draft.report({"epoch": 1})
    draft.json("about", 1)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def age(folder):
    past = time.time() - YEARS
    for path in (folder, *folder.iterdir()):
        os.utime(path, (past, past))


@needs_proc
def test_r23_what_a_living_job_makes_is_left_however_old_it_is(store, start):
    """As for a job of many days, or a clock that jumps."""
    process = start(AT_WORK, store.root, KEY)
    (draft,) = store.root.glob("tmp/*")
    (partial,) = store.root.glob("partial/*")
    age(draft)
    age(partial)
    Store(store.root).prepare()
    assert (draft / "about.json").exists()
    assert partial.exists()
    process.communicate("go\n")
    assert process.returncode == 0
    assert store.open(KEY).json("about") == 1


@needs_proc
def test_r24_what_a_killed_job_was_making_is_cleared_away_at_once(store, start):
    living = start(AT_WORK, store.root, OTHER)
    process = start(AT_WORK, store.root, KEY)
    kill(process.pid)
    process.wait()
    assert len(list(store.root.glob("tmp/*"))) == 2
    Store(store.root).prepare()
    (left,) = store.root.glob("tmp/*")
    assert left.name.startswith(OTHER)
    assert len(list(store.root.glob("partial/*"))) == 2  # the next attempt goes on from there
    living.communicate("go\n")
    assert store.has(OTHER)


def test_r24_what_nobody_goes_on_with_is_forgotten_in_time(store):
    for key, seconds in ((KEY, FORGOTTEN_AFTER + 60), (OTHER, 60)):
        (store.root / "partial" / key).mkdir()
        past = time.time() - seconds
        os.utime(store.root / "partial" / key, (past, past))
    store.prepare()
    assert [path.name for path in store.root.glob("partial/*")] == [OTHER]


WRITING = """
import sys
from pathlib import Path
import benchmark.store.files
replace = Path.replace
def wait(*arguments):
    print("ready", flush=True)
    sys.stdin.readline()
    replace(*arguments)
Path.replace = wait
benchmark.store.files.write_atomically(Path(sys.argv[1]), "new")
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@needs_proc
@pytest.mark.parametrize("use", [require_writable, lambda folder: write_atomically(folder / "other.md", "x")])
def test_r24_a_file_that_a_killed_run_was_writing_is_cleared_away(tmp_path, start, use):
    path = tmp_path / "odin.json"
    path.write_text("old")
    process = start(WRITING, path)
    (left,) = tmp_path.glob(".odin.json.*")
    kill(process.pid)
    process.wait()
    use(tmp_path)
    assert not left.exists()
    assert path.read_text() == "old"


@needs_proc
def test_r24_a_file_that_a_living_run_is_writing_is_left(tmp_path, start):
    path = tmp_path / "index.html"
    process = start(WRITING, path)
    clear_leftovers(tmp_path)
    (temporary,) = names(tmp_path)
    assert re.fullmatch(r"\.index\.html\.[a-z0-9_]{8}\.tmp", temporary)
    process.communicate("go\n")
    assert process.returncode == 0
    assert names(tmp_path) == ["index.html"]
    assert path.read_text() == "new"


def test_r24_nothing_else_is_deleted(tmp_path):
    kept = [".notes.tmp", ".a.backup_1", "a.abcdefgh.tmp", ".a.ABCDEFGH.tmp", ".b.abcdefgh.tmp"]
    for name in kept[:-1]:
        (tmp_path / name).touch()
    (tmp_path / kept[-1]).mkdir()
    (tmp_path / ".gone.abcdefgh.tmp").symlink_to("nowhere")
    (tmp_path / ".c.abcdefgh.tmp").touch()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == sorted([*kept, ".gone.abcdefgh.tmp"])


def test_r24_a_file_taken_for_a_leftover_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """The other run looks between the making of the file and its lock."""
    import fcntl

    real, seen = fcntl.flock, []

    def flock(handle, how):
        if not seen:
            seen.extend(tmp_path.glob(".*.tmp"))
            seen[0].unlink()
        real(handle, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    write_atomically(tmp_path / "a.json", "text")
    assert seen
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "text"


def test_r24_git_ignores_them():
    done = subprocess.run(
        ["git", "check-ignore", "results/digits/.odin.json.abcdefgh.tmp", "site/.index.html.abcdefgh.tmp"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    if done.returncode == 128:
        pytest.skip("this is no checkout")
    assert len(done.stdout.splitlines()) == 2
