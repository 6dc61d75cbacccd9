"""The registry as it is found, for tests that register methods of their own."""

from methods import families


def keep_registry(monkeypatch):
    """Forget what is registered from here on when `monkeypatch` is undone; nothing counts as broken."""
    assert families.broken() == {}  # loads all of ours: a module that is loaded does not register again
    for family in families.families.values():
        monkeypatch.setattr(family, "found", dict(family.found))
    monkeypatch.setattr(families, "_broken", {})
    monkeypatch.setattr(families, "_checked", set(families._checked))
