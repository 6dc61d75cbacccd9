import shutil

import pytest
from small_runs import planned

from benchmark.networks.asked import asked_of
from benchmark.networks.export import export
from benchmark.spec.load import load_spec
from benchmark.store.artifacts import Store


@pytest.fixture(scope="session")
def plan(ran):
    return planned(ran.folder / "leaderboard.yaml")


@pytest.fixture(scope="session")
def spec(ran):
    return load_spec(ran.folder / "leaderboard.yaml")


@pytest.fixture(scope="session")
def asked(plan):
    return asked_of([plan])


@pytest.fixture(scope="session")
def exported(ran, plan, spec, tmp_path_factory):
    """The two networks of the small leaderboard in a folder, never changed."""
    folder = tmp_path_factory.mktemp("exported") / "nets"
    found = export(plan, spec, Store(ran.folder / "cache"), folder, "mit")
    assert (len(found.written), found.there, found.missing) == (2, [], [])
    return folder


@pytest.fixture
def nets(exported, tmp_path):
    """A copy of it."""
    shutil.copytree(exported, tmp_path / "nets")
    return tmp_path / "nets"
