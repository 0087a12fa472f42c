"""Maintain an output: verify, repair, roll back, prune. Nothing here predicts."""
