import pytest
from small_checkout import checkout_in


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    return checkout_in(tmp_path, monkeypatch)
