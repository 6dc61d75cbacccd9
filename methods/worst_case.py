"""What attacks that are several searches in one have in common."""

from __future__ import annotations

from methods.attack import Attack


class WorstCase(Attack):
    """Searches with and without gradients, of which the worst counts: neither a white nor a black box."""
