"""The job file: its keys, their types, and all its mistakes at once.

Nothing here reads records or opens a store.
"""
