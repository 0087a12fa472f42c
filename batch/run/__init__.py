"""One run or backfill, from the lock to its outcome. What is predicted, judged and published is decided here; the command line prints it."""
