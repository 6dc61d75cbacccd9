"""What each kind of job computes, from its configuration and the artifacts of earlier jobs."""
