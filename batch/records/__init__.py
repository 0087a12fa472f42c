"""Records in memory: columns and their types, chunks, what is parsed, cast and counted in them.

Nothing here opens a file or knows about stores.
"""
