"""How the predictions of two versions differ, by how much, and why.

Nothing here judges whether a difference is acceptable: that is for the checks of a run.
"""
