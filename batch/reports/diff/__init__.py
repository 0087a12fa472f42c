"""Compare two versions: which predictions changed, by how much, and why."""
