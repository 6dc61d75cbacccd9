"""Any classifier and any images: which detector to use, at which threshold, and how far to trust it."""
