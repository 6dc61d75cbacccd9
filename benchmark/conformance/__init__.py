"""What can be said of a contribution without training: its contract, held to on small worlds."""
