"""Tables of the site: what they rank, what is missing from them, and what made their numbers."""
