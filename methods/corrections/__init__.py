"""Corrections for noisy labels, one file each."""
