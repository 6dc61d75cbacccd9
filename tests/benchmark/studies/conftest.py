import shutil

import pytest
from once import once
from small_studies import ALL, planned, run


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """The folder of a finished run of all studies, never changed, and its plan."""
    folder = once(tmp_path_factory, "studies", lambda folder: run(folder, studies=ALL))
    return folder, planned(tmp_path_factory.mktemp("plan"), studies=ALL)


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return tmp_path
