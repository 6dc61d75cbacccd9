"""Detectors: how one image gets one score, higher = more in-distribution. One file each."""
