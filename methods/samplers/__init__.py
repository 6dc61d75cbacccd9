"""Samplers for imbalanced classes, one file each."""
