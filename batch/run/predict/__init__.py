"""A slice becomes a part: in threads, worker processes or alone. Nothing here knows of runs, plans to adopt, checks or versions."""
