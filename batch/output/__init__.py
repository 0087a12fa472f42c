"""The format on disk and the commit protocol: names, documents, parts and versions in OUTPUT.

Only this package creates manifests, and it knows nothing about how predictions are made.
"""
