"""Adversarial attacks, one file each."""
