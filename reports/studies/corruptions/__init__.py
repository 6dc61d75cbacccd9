"""The study `corruptions`: what its numbers come to, and its plots."""
