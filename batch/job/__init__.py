"""The job file: its keys, their types, and every mistake in it. It reads no data and opens no store."""
