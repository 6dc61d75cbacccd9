import pytest
from fake_jobs import ENVIRONMENT, Fakes

from benchmark.engines.local import LocalEngine
from benchmark.jobs.job import Kind
from benchmark.store.artifacts import Store


@pytest.fixture
def fakes(monkeypatch):
    fake = Fakes()
    for kind in Kind:
        monkeypatch.setattr(f"benchmark.jobs.{kind}.run", fake)
    return fake


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
def run(fakes, store, events):
    """Runs the wanted jobs in this process; failures by name."""

    def call(*wanted, **options):
        engine = LocalEngine(store, 1, ENVIRONMENT)
        failures = engine.run(fakes.plan, [fakes.key(name) for name in wanted], events, **options)
        return {fakes.plan[key].label: reason for key, reason in failures.items()}

    return call
