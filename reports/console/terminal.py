"""The command line's end of the line: what is printed, and how a command ends.

Messages (`say`) go by the way: that nobody reads them does not end the work. An answer (`answer`) is what a
command is for: that it cannot be written is its failure.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from benchmark.errors import OodbenchError
from benchmark.output import Output, guard_output
from benchmark.store.fingerprints import installed_version
from methods import errors

if TYPE_CHECKING:
    from rich.console import Console

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
_UNBOUNDED = 10_000  # columns where there is no terminal: no name is broken over lines


class Interrupted(OodbenchError):  # noqa: N818
    """Somebody ended a command that keeps nothing until its end."""

    exit_code = INTERRUPTED


def console(*, stderr: bool = False) -> Console:
    """Standard output or error as wide as the terminal; elsewhere no line is broken."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else _UNBOUNDED)


def say(to: Console, text: str, style: str | None = None) -> None:
    """Print a message as it is: no markup, no emoji, no control characters of what it quotes."""
    # No emoji: rich would draw a tramcar for the `:train:` of a message.
    to.print(printable(text), style=style, markup=False, emoji=False, highlight=False, soft_wrap=True)


def answer(text: str) -> None:
    """Print what a command was asked for.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    sys.stdout.write(f"{text}\n" if text else "")
    sys.stdout.flush()
    if isinstance(sys.stdout, Output) and sys.stdout.failure is not None:
        raise sys.stdout.failure


def as_json(value: Any) -> str:
    """JSON for people and programs, in ASCII: any terminal takes it."""
    return json.dumps(value, indent=2)


def versions() -> str:
    """A line for the suite, for Python and for each library that its numbers rest on; loads none of them."""
    named = ("oodbench", "torch", "timm")
    lines = [f"{name} {installed_version(name) or 'is not installed'}" for name in named]
    return "\n".join([*lines, f"Python {platform.python_version()}"])


def printable(text: str) -> str:
    """`text` without control characters and the like; line ends stay."""
    return errors.printable(text, line_ends=True)


def run_command(command: Callable[[], object], signals: Iterable[int] = ()) -> None:
    """Run the command line; a failure is one clear message and an exit code, never a traceback.

    The first of `signals` interrupts the command, and those that follow do nothing: what is finished is being
    written then. A signal that was ignored before, as by ``nohup``, stays ignored.

    Raises
    ------
    SystemExit
        Always; with 130 after an interruption.
    """
    streams = sys.stdout, sys.stderr
    out, err = guard_output()
    before = {number: signal.getsignal(number) for number in signals}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def interrupt(*_: object) -> None:
        for number in heeded:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    code = INTERRUPTED
    for number in heeded:
        signal.signal(number, interrupt)
    try:
        code = _exit_code(command)
        failures = (out.settle(), err.failure)
        lost = next((f for f in failures if f is not None and not isinstance(f, BrokenPipeError)), None)
        if lost is not None:
            _complain(f"the output cannot be written: {lost.strerror}")
            code = code or 1
        err.settle()
    finally:
        sys.stdout, sys.stderr = streams
        for number in heeded if code != INTERRUPTED else ():  # else this process ends, whatever comes
            signal.signal(number, before[number])
    sys.exit(code)


def _exit_code(command: Callable[[], object]) -> int:
    try:
        os.getcwd()  # noqa: PTH109
        command()
    except OodbenchError as error:
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Ctrl-C, of which Typer says nothing
            return _interrupted()
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BrokenPipeError:  # the reader of an answer went away
        return 1
    except OSError as error:
        sys.stdout.flush()
        failure = sys.stdout.failure if isinstance(sys.stdout, Output) else None
        if failure is None or failure.errno != error.errno:  # else it is told of in the end
            _complain(_described(error))
        return 1
    return 0


@contextmanager
def beginning_anew() -> Iterator[None]:
    """Of a command that keeps nothing until its end: Ctrl-C says so.

    Raises
    ------
    Interrupted
        If it is interrupted.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted("interrupted; nothing is kept, the same command begins anew") from error


def _interrupted() -> int:
    _complain("interrupted; what is finished is kept, the same command goes on from there")
    return INTERRUPTED


def _described(error: OSError) -> str:
    try:
        os.getcwd()  # noqa: PTH109
    except FileNotFoundError:
        return "the working folder is gone; change to one that is there"
    where = f"{error.filename}: " if error.filename is not None else ""
    return f"{where}{error.strerror or error}"


def _complain(text: str) -> None:
    sys.stderr.write(f"oodbench: {printable(text)}\n")
