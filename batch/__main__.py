"""`python -m batch` is `batch-predict`."""

from batch.cli import main

if __name__ == "__main__":
    main()
