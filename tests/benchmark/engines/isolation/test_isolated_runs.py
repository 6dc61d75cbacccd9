"""Real jobs in a sandbox: the same bits as without; and the run around them."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from benchmark.engines.in_process import InProcess
from benchmark.engines.isolation.apart import begin_apart
from benchmark.engines.isolation.confinement import strongest
from benchmark.engines.isolation.isolated import Isolated
from benchmark.engines.isolation.limits import Limits, memory_of_machine, parse_size
from benchmark.engines.isolation.view import View, view_of
from benchmark.engines.schedule import run_jobs
from benchmark.errors import UsageError
from benchmark.jobs import data
from benchmark.jobs.job import Job, Kind
from benchmark.plan.make import Selection, make_plan
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Artifact, Store


@pytest.mark.long
def test_isolated_jobs_make_the_same_bits(ran, tmp_path):
    """A network trained, run over its images, scored and measured: one of each kind, from the same inputs."""
    shutil.copytree(ran.folder / "cache", tmp_path / "cache")
    plan = make_plan(load_spec(ran.folder / "leaderboard.yaml"), Selection())
    store = Store(tmp_path / "cache")
    first = {job.kind: job for job in reversed(plan.jobs.values())}
    again = [first[kind] for kind in (Kind.TRAIN, Kind.EXTRACT, Kind.SCORE, Kind.MEASURE)]
    before = {job.key: store.manifest(job.key) for job in again}
    for job in again:
        store.set_aside(job.key)
    pool = InProcess(Isolated(strongest()[0], Limits(memory_of_machine())))
    assert run_jobs(store, pool, plan.jobs, before, lambda *_: None) == {}
    for job in again:
        after = store.open(job.key).manifest
        assert after["files"] == before[job.key]["files"]
        assert after["made"].keys() == before[job.key]["made"].keys()
        for name in ("kind", "label", "code", "environment"):
            assert after["made"][name] == before[job.key]["made"][name]


def test_methods_of_a_group_have_processes_of_their_own_and_our_arithmetic_needs_none(monkeypatch, tmp_path):
    asked = []

    def sandboxed(_, jobs, inputs, drafts):
        asked.append([job.label for job in jobs])
        return {"seconds": 1.0, "peak_memory_mb": float(len(asked)), "least_batch": float(len(asked))}

    monkeypatch.setattr(Isolated, "_sandboxed", sandboxed)
    monkeypatch.setattr("benchmark.engines.isolation.isolated.compute", lambda *_: {"seconds": 0.5})
    isolated = Isolated(strongest([])[0], Limits(2**30))
    jobs = [
        Job(Kind.SCORE, None, (), (f"methods.detectors.{of}:A",), name) for of, name in ("xa", "yb", "xc")
    ]
    took = isolated._confined(jobs, {}, [None] * 3)
    assert asked == [["a", "c"], ["b"]]
    assert took == {"seconds": 2.0, "peak_memory_mb": 2.0, "least_batch": 1.0}
    assert isolated._confined([Job(Kind.MEASURE, None)], {}, [None]) == {"seconds": 0.5}
    isolated._confined([Job(Kind.MEASURE, None, (), ("methods.detectors.x:A",), "d")], {}, [None])
    assert asked[2:] == [["d"]]


APART = """
import os, socket
from benchmark.engines.isolation.apart import begin_apart
begin_apart()
try:
    socket.create_connection(("127.0.0.1", int(os.environ["OODBENCH_PORT"])), timeout=5)
except OSError:
    print("no network", os.getpid(), os.environ.get("HF_TOKEN"), os.environ["HOME"])
else:
    print("network")
"""


def test_the_run_itself_is_begun_anew_without_network_and_secrets(monkeypatch):
    """As the same process: whoever sends it signals still finds it."""
    unshare = shutil.which("unshare")
    if (
        unshare is None
        or subprocess.run([unshare, "--user", "--map-current-user", "--net", "true"]).returncode
    ):
        pytest.skip("no namespaces of the network for this user: unshare does not work")
    with socket.create_server(("127.0.0.1", 0)) as server:
        variables = {
            "OODBENCH_PORT": str(server.getsockname()[1]),
            "HF_TOKEN": "secret",
            "PYTHONPATH": str(ROOT),
        }
        with subprocess.Popen(
            [sys.executable, "-c", APART], stdout=subprocess.PIPE, text=True, env=os.environ | variables
        ) as running:
            said, _ = running.communicate(timeout=60)
    assert said == f"no network {running.pid} None {os.environ['HOME']}\n"


def test_where_it_cannot_be_begun_so_it_says_why(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert begin_apart() == "unshare is not installed"
    program = tmp_path / "unshare"
    program.write_text("#!/bin/sh\necho unshare: Operation not permitted >&2\nexit 1\n")
    program.chmod(0o755)
    assert begin_apart() == "unshare: Operation not permitted"
    monkeypatch.setenv("OODBENCH_APART", "1")
    assert begin_apart() is None


@pytest.mark.parametrize(("said", "size"), [("900M", 900 * 2**20), ("4G", 2**32), ("1.5GB", 3 * 2**29)])
def test_sizes(said, size):
    assert parse_size(said) == size


@pytest.mark.parametrize("said", ["4", "0G", "4g", "-1G", "G", ""])
def test_what_is_no_size_is_refused(said):
    with pytest.raises(UsageError, match=r"--memory: got '.*'; expected a size such as 900M or 4G"):
        parse_size(said)


def test_a_job_sees_its_own_inputs_and_datasets_only_where_it_reads_them(monkeypatch, tmp_path):
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    scratch, own = tmp_path / "scratch", tmp_path / "cache" / "objects" / "ab" / "abc"
    config = data.Config("some", 8, 0, 1, place="images")

    def view(job):
        return view_of([job], {"abc": Artifact("abc", own, {})}, [], scratch)

    for job, extra in (
        (Job(Kind.SCORE, None), set()),
        (Job(Kind.DATA, config), {tmp_path / "mirror", Path("images").absolute()}),
    ):
        found = view(job)
        places = {ROOT / "benchmark", ROOT / "methods", own}
        installed = {Path(sys.prefix), Path(sys.base_prefix), Path(sys.prefix).resolve()}
        others = {one for one in found.readable if not any(map(one.is_relative_to, installed))}
        assert others == places | extra
        assert (found.variables.get("OODBENCH_MIRROR") is None) == (not extra)
        assert "HF_TOKEN" not in found.variables
        assert found.variables["LANG"] == "C.UTF-8"
        assert found.variables["PYTHONPATH"] == str(ROOT)
    weights = view(Job(Kind.PRETRAIN, None))
    assert Path(weights.variables["HF_HUB_CACHE"]) in weights.readable


def test_what_lies_within_another_folder_is_put_there_later(tmp_path):
    for name in ("a/b/c", "scratch"):
        (tmp_path / name).mkdir(parents=True)
    seen = View(
        tmp_path / "scratch", (tmp_path / "a/b/c", tmp_path / "a", tmp_path / "gone"), (tmp_path / "a/b",)
    )
    own = {str(path.relative_to(tmp_path)): may for path, may in seen.binds if path.is_relative_to(tmp_path)}
    assert own == {"scratch": True, "a": False, "a/b": True, "a/b/c": False}
    assert [name for name in own if name != "scratch"] == ["a", "a/b", "a/b/c"]
