"""The studies: what is measured of networks besides OOD detection."""
