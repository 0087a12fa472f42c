"""Turn a slice into a part: in this process, its threads or worker processes.

Nothing here knows about runs, plans, checks or versions, so a worker needs nothing but its slice.
"""
