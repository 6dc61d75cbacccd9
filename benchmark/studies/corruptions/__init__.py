"""Corruptions: accuracy, calibration and near-OOD detection on corrupted test images."""
