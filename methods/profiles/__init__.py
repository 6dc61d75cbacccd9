"""Long-tail protocols, one file each."""
