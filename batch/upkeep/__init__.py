"""Keep an output in order: verify it, repair it, roll it back, delete what no version needs.

Nothing here predicts: inputs that are open again wait for the next run.
"""
