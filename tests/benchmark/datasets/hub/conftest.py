import datasets
import huggingface_hub
import pytest


@pytest.fixture(autouse=True)
def mirror(monkeypatch, tmp_path):
    """An empty mirror, and no network."""
    monkeypatch.setenv("OODBENCH_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def refuse(*_, **__):
        raise AssertionError("a test must not use the network")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    return tmp_path / "mirror"
