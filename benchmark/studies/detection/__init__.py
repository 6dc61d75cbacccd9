"""OOD detection: one score an image, ID test images against those of the OOD sets."""
