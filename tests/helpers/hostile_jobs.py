"""What a stranger's job may try: each says in its artifact, or by failing, how it went."""

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path

import fake_jobs

from benchmark.engines.isolation.isolated import Isolated
from benchmark.engines.isolation.view import view_of


def silent(jobs, inputs, drafts):
    """As fakes do it, but that they note nothing: what they write to is theirs alone."""
    jobs = tuple(replace(job, config=replace(job.config, log=os.devnull)) for job in jobs)
    return fake_jobs.compute(jobs, inputs, drafts)


class IsolatedStrangers(Isolated):
    """Strangers see what tests have them do, and write nothing but artifacts."""

    def view(self, jobs, inputs, drafts, scratch):
        return view_of(jobs, inputs, drafts, scratch, ["fake_jobs", "hostile_jobs"])


def tried(action):
    """What an action comes to: what it returns, or the name of its error."""
    try:
        return action()
    except BaseException as error:
        return type(error).__name__


@dataclass
class reaches:
    """A server on this machine, by its port or the path of its socket."""

    port: int
    path: str

    def __call__(self, draft):
        def by_path():
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(self.path)
            return "reached"

        def by_port():
            socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            return "reached"

        draft.json("found", {"port": tried(by_port), "path": tried(by_path)})


@dataclass
class writes:
    places: tuple[Path, ...]

    def __call__(self, draft):
        def write(place):
            (place / "written").write_text("by a stranger")
            return "written"

        draft.json("found", {str(place): tried(lambda place=place: write(place)) for place in self.places})


@dataclass
class reads:
    """Files, and whatever variables and processes it can see."""

    files: tuple[Path, ...]

    def __call__(self, draft):
        text = [f"{name}={value}" for name, value in os.environ.items()]
        for place in [*Path("/proc").glob("*/environ"), *Path("/proc").glob("*/cmdline"), *self.files]:
            with contextlib.suppress(OSError):
                text.append(place.read_bytes().decode(errors="replace"))
        seen = [one.name for one in Path("/proc").iterdir() if one.name.isdecimal()]
        draft.json("found", {"text": "\n".join(text), "processes": len(seen)})


@dataclass
class escalates:
    """Makes what is read-only writable, and namespaces of its own."""

    place: Path

    def __call__(self, draft):
        def run(*command):
            return subprocess.run(command, capture_output=True).returncode

        draft.json("found", {
            "remount": tried(lambda: run("mount", "-o", "remount,rw,bind", str(self.place))),
            "nested": tried(lambda: run("unshare", "--user", "--map-root-user", "true")),
        })  # fmt: skip


@dataclass
class takes_memory:
    """So many bytes, in each of so many processes."""

    size: int
    processes: int = 1

    def __call__(self, draft):
        for _ in range(self.processes - 1):
            if os.fork() == 0:
                break
        held = bytearray(self.size)
        held[::4096] = b"x" * len(held[::4096])
        if self.processes > 1:
            time.sleep(60)


class multiplies:
    """A fork bomb, of at most some hundred processes where nobody stops it."""

    def __call__(self, draft):
        for _ in range(300):
            with contextlib.suppress(OSError):
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
        time.sleep(60)


@dataclass
class hangs:
    """With a child, and notes both."""

    note: Path

    def __call__(self, draft):
        child = os.fork()
        if child == 0:
            time.sleep(600)
        self.note.write_text(f"{os.getpid()} {child}")
        time.sleep(600)


class lives_on:
    """Leaves a process of a session of its own that changes the artifact later."""

    def __call__(self, draft):
        if os.fork() == 0:
            os.setsid()
            time.sleep(1.0)
            (draft.folder / "names.json").write_text('["changed"]')
            time.sleep(60)
        draft.json("found", "left one behind")


@dataclass
class leaves:
    """A link in the place of a file."""

    target: Path

    def __call__(self, draft):
        (draft.folder / "found.json").symlink_to(self.target)


@dataclass
class says:
    """Lines to whoever listens, on every open file."""

    text: str

    def __call__(self, draft):
        for number in range(3, 64):
            with contextlib.suppress(OSError):
                os.write(number, self.text.encode())
        draft.json("found", "said")
