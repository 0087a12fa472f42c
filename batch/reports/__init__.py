"""Look at an output and its job. Nothing here writes."""
