import fake_jobs
import pytest

from benchmark.engines.in_process import InProcess
from benchmark.engines.processes import Processes
from benchmark.engines.schedule import run_jobs
from benchmark.store.artifacts import Store

POOLS = {  # of fake jobs
    "this process": lambda: InProcess(fake_jobs.perform),
    "one worker": lambda: Processes(1, perform=fake_jobs.perform),
    "two workers": lambda: Processes(2, perform=fake_jobs.perform),
    # Other names of the CPU stand in for accelerators.
    "a device": lambda: Processes(1, ["cpu:0"], perform=fake_jobs.perform),
    "isolated": lambda: Processes(1, perform=fake_jobs.isolated()),
}


@pytest.fixture
def fakes(tmp_path):
    return fake_jobs.Fakes(tmp_path / "noted")


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path / "cache")
    made.prepare()
    return made


@pytest.fixture
def events():
    """An `on_event` that remembers; ``events.on(event, label)`` names something to do at one."""

    class Events(list):
        def __init__(self):
            self.todo = {}

        def __call__(self, event, job, message):
            self.append((event, job.label))
            self.todo.get((event, job.label), lambda: None)()

        def on(self, event, label, action):
            self.todo[event, label] = action

    return Events()


@pytest.fixture
def pool(request):
    """This process, unless a test asks for others."""
    return POOLS[getattr(request, "param", "this process")]()


@pytest.fixture
def run(fakes, store, events, pool):
    """Has a pool do the wanted jobs; failures by name."""

    def call(*wanted, by=pool, **options):
        keys = [fakes.key(name) for name in wanted]
        failures = run_jobs(store, by, fakes.plan, keys, events, **options)
        return {fakes.plan[key].label: reason for key, reason in failures.items()}

    return call
