"""Records in memory: columns, their types, chunks of them. No files and no stores."""
