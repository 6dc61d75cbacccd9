"""Trained networks as files that others can have: exported, fetched under their content keys, and checked."""
