"""Output that cannot be written, paths and terminals that are not UTF-8, escapes in what is quoted."""

import io
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from as_process import ENVIRONMENT, in_terminal, piped, start
from rich.console import Console
from small_leaderboard import SMALL

import oodbench
from benchmark.output import Output
from reports.console.terminal import printable, run_command, say

FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    return tmp_path


@FULL
@pytest.mark.parametrize("arguments", [["cache"], ["schema"], ["--version"], ["--help"]], ids=" ".join)
def test_r10_a_full_disk_at_standard_output_is_one_line(folder, arguments):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        code, _, err = piped(*arguments, cwd=folder, stdout=full)
    assert (code, err) == (1, "oodbench: the output cannot be written: No space left on device\n")


@FULL
def test_r10_the_message_of_a_mistake_may_be_lost(folder):
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        assert piped("list", "detctors", cwd=folder, stderr=full)[:2] == (2, "")


@pytest.mark.long
def test_r10_a_path_that_is_not_utf_8(folder):
    name = os.fsdecode(b"\xff")
    code, out, err = piped("cache", "--cache", name, cwd=folder)
    assert (code, out, err) == (0, "\\xff: 0 artifacts, 0 MB\n", "")
    code, out, err = piped("plan", "--leaderboard", name, cwd=folder)
    assert (code, out) == (2, "")
    assert err.startswith("oodbench: \\xff: cannot be read: No such file or directory")
    code, _, err = piped("run", "--seed", "0", "--entry", "msp", "--cache", name, cwd=folder)
    assert code == 1
    assert err.splitlines()[1:] == [
        "oodbench: \\xff: the path of a cache must be UTF-8, as safetensors has it; name another folder"
    ]


@pytest.mark.parametrize("locale", [{}, {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}])
def test_r10_a_unicode_path_where_the_locale_has_none(folder, locale):
    environment = {"LC_ALL": "C", **locale}
    code, out, err = piped("cache", "--cache", "grün", cwd=folder, environment=environment)
    assert (code, err) == (0, "")
    assert out.endswith("n: 0 artifacts, 0 MB\n")


def test_r10_a_working_folder_that_is_gone(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"rmdir {gone}; exec {sys.executable} -m oodbench cache"
    done = subprocess.run(
        ["sh", "-c", script], cwd=gone, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "oodbench: the working folder is gone; change to one that is there\n"


def test_r10_closed_streams(folder):
    closed = "exec {} -m oodbench {} {}"
    for arguments, closing, code in (("cache", ">&-", 0), ("list nothing", "2>&-", 2)):
        script = closed.format(sys.executable, arguments, closing)
        done = subprocess.run(
            ["sh", "-c", script], cwd=folder, env=ENVIRONMENT, capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (code, b"")


def test_r10_the_operating_systems_refusal_is_one_line(capsys):
    def refused():
        raise PermissionError(13, "Permission denied", "some/file")

    with pytest.raises(SystemExit) as done:
        run_command(refused)
    assert done.value.code == 1
    assert capsys.readouterr().err == "oodbench: some/file: Permission denied\n"


@pytest.mark.parametrize(
    "line", ["show energy", "show ash", "list", "show nothing", "plan", "data list", "schema"]
)
def test_u5_ascii_terminals_get_replaced_characters(folder, monkeypatch, line):
    arguments = line.split()
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("OODBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setattr(sys, "argv", ["oodbench", *arguments])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    with pytest.raises(SystemExit) as done:
        oodbench.main()
    assert done.value.code == (2 if arguments[-1] == "nothing" else 0)
    said = out.buffer.getvalue()
    assert said.isascii()
    if arguments == ["show", "energy"]:
        assert b"    s = T log sumk exp(zk / T)\n" in said
        assert b"(N, K) -> scores" in said


def test_u5_an_ascii_process_has_no_traceback(folder):
    code, out, err = piped("cache", "--cache", "grün", cwd=folder, environment={"PYTHONIOENCODING": "ascii"})
    assert (code, out, err) == (0, "grun: 0 artifacts, 0 MB\n", "")


@pytest.mark.long
def test_r29_a_run_that_nobody_listens_to_finishes(folder):
    running = start(
        "run", "--seed", "0", "--entry", "msp", "--jobs", "2", "--cache", "cache", cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert running.stdout.readline() == b"12 jobs, 2 at a time\n"
    running.stdout.close()
    assert running.wait(timeout=300) == 0
    assert (folder / "runs" / "small" / "msp.json").is_file()
    assert (folder / "site" / "index.html").is_file()


@pytest.mark.parametrize(
    "error", [BrokenPipeError(32, "Broken pipe"), OSError(28, "No space left on device")]
)
def test_r29_messages_may_be_lost_and_answers_may_not(error, monkeypatch, capsys):
    class Gone(io.StringIO):
        def write(self, text):
            raise error

    done = []

    def work():
        for _ in range(3):
            say(Console(file=sys.stdout), "by the way")
        done.append(True)

    def answers():
        from reports.console.terminal import answer

        answer("this")
        done.append(True)

    quiet = isinstance(error, BrokenPipeError)
    for command, code, ended in ((work, 0 if quiet else 1, [True]), (answers, 1, [])):
        done.clear()
        monkeypatch.setattr(sys, "stdout", Gone())
        with pytest.raises(SystemExit) as end:
            run_command(command)
        assert (end.value.code, done) == (code, ended)
        line = "oodbench: the output cannot be written: No space left on device\n"
        assert capsys.readouterr().err == ("" if quiet else line)


def test_r29_an_output_keeps_its_first_failure():
    stream = SimpleNamespace(name="file", written=[], flush=lambda: None)

    def write(text):
        if stream.written:
            raise OSError(28, "full")
        stream.written.append(text)
        return len(text)

    stream.write = write
    output = Output(stream)
    assert [output.write(text) for text in ("a", "bc", "def")] == [1, 2, 3]
    assert stream.written == ["a"]
    assert output.settle().errno == 28
    assert output.name == "file"


def test_r30_what_is_quoted_sends_nothing_to_the_terminal():
    assert printable("a\x1b[31mb\r\x9bc\u202ed\te") == "a\\x1b[31mb\\r\\x9bc\\u202ed\\te"
    assert printable("\udcff \ud800") == "\\xff \\ud800"
    assert printable("ŷ = Σ\nx̃") == "ŷ = Σ\nx̃"
    target = Console(file=io.StringIO(), force_terminal=True, width=60)
    say(target, "out\x1b]0;title\x07 [red]x[/red] :train:")
    assert target.file.getvalue() == "out\\x1b]0;title\\x07 [red]x[/red] :train:\n"


@pytest.mark.long
def test_r30_brackets_and_escapes_in_paths_are_shown(folder):
    code, lines = in_terminal("report", "--site", "[red]a\x1b[1mb", cwd=folder, width=80)
    said = ["Leaderboard: [red]a\\x1b[1mb/index.html", "These are the records in runs/"]
    assert (code, lines) == (0, said)
    code, lines = in_terminal("cache", "--cache", "[red]c", cwd=folder, width=80)
    assert (code, lines) == (0, ["[red]c: 0 artifacts, 0 MB"])
    code, lines = in_terminal("plan", "--leaderboard", "[red]\x1b[1m.yaml", cwd=folder, width=80)
    assert code == 2
    assert lines[0].startswith("oodbench: [red]\\x1b[1m.yaml: cannot be read")
