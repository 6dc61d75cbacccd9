"""Our order of methods against the one that OpenOOD v1.5 has published."""
