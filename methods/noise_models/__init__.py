"""Label-noise models, one file each."""
