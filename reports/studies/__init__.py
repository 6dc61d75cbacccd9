"""What pages show of the studies: their records, derived numbers and plots."""
