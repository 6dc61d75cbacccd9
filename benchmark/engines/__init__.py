"""Who runs the jobs of a plan. An engine knows jobs, keys and the cache, and not what a job means."""
