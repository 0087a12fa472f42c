"""The format on disk and the commit protocol. Only this package creates manifests, and none of it knows of jobs being run."""
