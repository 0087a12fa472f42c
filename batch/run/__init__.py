"""One run or backfill, from lock to outcome: what is predicted, held and published is decided here.

Nothing here prints, and how a version is made visible is left to `batch.output`.
"""
