"""What a change of the records does to every board and claim: two states of them, compared."""
