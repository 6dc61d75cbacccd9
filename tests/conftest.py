"""What the tests of several rooms share; one thread for each process of them."""

import os
import signal

# Networks of a few channels gain nothing from threads, and lose much where cores are shared.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_name] = "1"

from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from command_line import Ran, run_all  # noqa: E402
from once import once  # noqa: E402
from small_leaderboard import SMALL  # noqa: E402

import benchmark.run  # noqa: E402
from benchmark.engines.in_process import InProcess  # noqa: E402
from benchmark.engines.processes import Processes  # noqa: E402

torch.set_num_threads(1)
# What a shell starts in the background ignores Ctrl-C, and what nohup starts a lost terminal: so would the
# processes that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Where jobs run one at a time they run in this process, in which a test can change what they do, and no test
# waits for a process to start. Those of processes ask for two, or pass a pool.
benchmark.run.default_pool = lambda workers, devices: (
    Processes(workers, devices) if workers > 1 or devices else InProcess()
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no process is alone with it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The file of a small leaderboard: 2 networks, 4 cells."""
    path = tmp_path / "leaderboard.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The small leaderboard, run once from the command line: never changed."""
    folder = once(tmp_path_factory, "ran", run_all)
    return Ran(folder, (folder / "stdout").read_text(), (folder / "stderr").read_text())
