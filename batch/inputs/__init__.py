"""Find the inputs and read them: which are new, changed or not ready, and the records in them.

Nothing here knows about models or writes to OUTPUT.
"""
