"""The plane: near against far outliers, in two dimensions."""
