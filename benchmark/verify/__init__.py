"""Published records, recomputed: which are drawn, how they compare, and what is kept of it."""
