"""What a terminal shows: progress, summaries, listings, and how a command ends."""
