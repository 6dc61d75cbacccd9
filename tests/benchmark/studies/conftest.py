import shutil

import pytest
from small_studies import ALL, run


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    return folder, *run(folder, studies=ALL)


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return tmp_path
