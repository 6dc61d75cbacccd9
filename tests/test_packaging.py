"""What an installation gets: the wheel is complete, and works where there is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from once import once
from places import ROOT

ROOMS = ("benchmark", "methods", "reports")
BUILT_FROM = ("oodbench.py", "pyproject.toml", "leaderboard.yaml", "README.md", "LICENSE", *ROOMS)

pytestmark = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason=f"no checkout: {ROOT} has no pyproject.toml"
)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build leaves files behind."""

    def build(folder):
        for name in BUILT_FROM:
            copy(ROOT / name, folder / "source" / name)
        offline = ["--no-isolation"] if find_spec("setuptools") else []
        run(sys.executable, "-m", "build", "--wheel", *offline, "--outdir", folder, folder / "source")

    [built] = once(tmp_path_factory, "wheel", build).glob("*.whl")
    return built


def copy(path, to):
    if path.is_file():
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(path.read_bytes())
    else:
        for inner in path.iterdir():
            if inner.name != "__pycache__":
                copy(inner, to / inner.name)


@pytest.fixture(scope="module")
def contents(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """A virtual environment with the wheel, and the libraries of this one, but not its oodbench.

    The libraries' folder is made visible as links to what lies in it, so that the path hooks of an editable
    installation, and the metadata of it, stay out.
    """

    def install(home):
        venv.create(home, with_pip=False, symlinks=True)
        python = home / "bin" / "python"
        site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        for path in Path(sysconfig.get_path("purelib")).iterdir():
            if "oodbench" not in path.name and path.name not in ROOMS:
                (site / path.name).symlink_to(path)
        run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel)

    return once(tmp_path_factory, "installed", install)


def call(installed, *command, cwd):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OODBENCH", "VIRTUAL_ENV"))}
    program, *rest = command
    environment = clean | {"OODBENCH_CACHE": str(cwd / "cache"), "COLUMNS": "200", "PYTHONUTF8": "1"}
    return run(installed / "bin" / program, *rest, cwd=cwd, env=environment)


def sources(folder):
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.mark.parametrize("room", ROOMS)
def test_the_wheel_has_every_file_of_a_room(contents, room):
    """Modules, templates, static files, the marker of types and the schema, unchanged."""
    assert sources(room)
    for name in sources(room):
        assert contents[name] == (ROOT / name).read_bytes(), name
    assert f"{room}/py.typed" in contents


def test_the_wheel_has_the_command_the_leaderboard_and_the_licence(contents):
    assert contents["oodbench.py"] == (ROOT / "oodbench.py").read_bytes()
    kept = {Path(name).name: content for name, content in contents.items()}
    for name in ("leaderboard.yaml", "LICENSE", "leaderboard.schema.json"):
        source = ROOT / ("benchmark" if name.endswith("json") else "") / name
        assert kept[name] == source.read_bytes()
    assert b"oodbench = oodbench:main" in kept["entry_points.txt"]


def test_the_wheel_has_nothing_else(contents):
    tops = {name.partition("/")[0] for name in contents}
    assert {top for top in tops if ".dist-info" not in top and ".data" not in top} == {*ROOMS, "oodbench.py"}
    assert not [name for name in contents if name.startswith("tests") or name.endswith(".pyc")]


def test_every_package_of_ours_has_its_init():
    """setuptools would leave out a folder of modules that has none."""
    folders = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_what_is_tested_here_is_the_wheel(installed, tmp_path):
    script = (
        "import importlib, json, oodbench, benchmark, methods, reports\n"
        "print(json.dumps([m.__file__ for m in (oodbench, benchmark, methods, reports)]))"
    )
    for file in json.loads(call(installed, "python", "-W", "error", "-c", script, cwd=tmp_path)):
        assert Path(file).is_relative_to(installed)
        assert not Path(file).is_relative_to(ROOT)


def test_an_installation_lists_from_anywhere(installed, tmp_path):
    """With its own leaderboard, from a folder that has none."""
    out = call(installed, "oodbench", "list", cwd=tmp_path)
    for word in (
        "detectors",
        "mahalanobis",
        "cross_entropy",
        "digits_6_to_9",
        "photo_patches",
        "test_resnet",
    ):
        assert word in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.long
def test_an_installation_runs_and_reports(installed, small):
    """Templates, style sheet and method files are found where they were installed."""
    out = call(installed, "oodbench", "run", "--entry", "msp", "--seed", "0", "--jobs", "1", cwd=small.parent)
    assert "Leaderboard: site/index.html" in out
    [record] = json.loads((small.parent / "runs" / "small" / "msp.json").read_text())["records"]
    assert all(0 <= share <= 1 for share in record["numbers"][:7])


def test_nothing_is_added_to_an_installation_and_it_says_why(installed, tmp_path):
    before = {path for path in installed.rglob("*") if path.suffix != ".pyc"}
    command = [installed / "bin" / "oodbench", "new", "detector", "toy_new"]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "OODBENCH", "VIRTUAL_ENV"))}
    done = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "has a leaderboard and not the sources of oodbench (methods/, tests/); it runs from " in done.stderr
    )
    assert "clone the repository" in done.stderr
    assert {path for path in installed.rglob("*") if path.suffix != ".pyc"} - before <= set(
        installed.rglob("__pycache__")
    )


def test_an_installation_has_no_commit(installed, tmp_path):
    """It may lie in somebody's checkout: that commit would not be ours."""
    script = "from benchmark.engines.environment import environment; print(environment().commit)"
    assert call(installed, "python", "-c", script, cwd=tmp_path).strip() == "None"
