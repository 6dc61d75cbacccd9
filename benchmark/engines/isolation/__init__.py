"""Jobs in sandboxes: what strangers' methods may see and do, and how what they leave gets into the cache."""
