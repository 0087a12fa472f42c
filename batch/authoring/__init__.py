"""Write a job and try it out before its first run.

Nothing here publishes, and no run depends on it.
"""
