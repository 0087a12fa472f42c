"""Look at a job and its output: status, history, coverage, single keys, differences of versions.

Nothing here writes or runs anything.
"""
