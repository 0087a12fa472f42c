"""Write the flights of December 2013 as input for the job: one CSV file per day.

    python jobs/flight_delays/lay_out.py --first 1 --last 30

A file holds only what is known when a flight leaves. Existing files are left alone.
"""

import argparse
import csv
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from flights import archive

MONTH = 12
FIVE = time(5)
ONE_DAY = timedelta(days=1)
#: Known only after landing: the target, and columns that would leak it.
OUTCOME = {"arr_time", "arr_delay", "air_time"}

#: A record: column to text.
Row = dict[str, str]


def main() -> None:
    """Write the requested days that are missing."""
    options = _parser().parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    days = {date(2013, MONTH, day) for day in range(options.first, options.last + 1)}
    files = {day: options.folder / f"{day}.csv" for day in sorted(days)}
    missing = {day: file for day, file in files.items() if not file.exists()}
    if not missing:
        return
    rows: dict[date, list[Row]] = {day: [] for day in missing}
    for day, row in december():
        if day in rows:
            rows[day].append(row)
    for day, file in missing.items():
        write(file, rows[day], exported_at=datetime.combine(day + ONE_DAY, FIVE, UTC))


def december() -> Iterator[tuple[date, Row]]:
    """Each record of the month with its day; values as in the data set, missing ones empty."""
    with zipfile.ZipFile(archive()) as zipped, zipped.open("flights.csv") as raw:
        for row in csv.DictReader(io.TextIOWrapper(raw, encoding="utf-8", newline="")):
            if int(row["month"]) == MONTH:
                day = date(int(row["year"]), MONTH, int(row["day"]))
                yield (
                    day,
                    {"flight_id": flight_id(day, row)}
                    | {
                        name: "" if value == "NA" else value
                        for name, value in row.items()
                        if name not in OUTCOME
                    },
                )


def flight_id(day: date, row: Row) -> str:
    """Name one flight of the year: an airline uses a number once a day at an airport."""
    return f"{day}-{row['carrier']}{row['flight']}-{row['origin']}"


def write(file: Path, rows: Sequence[Row], *, exported_at: datetime) -> None:
    """Write one day. A temporary file and a rename: no run ever sees half a file."""
    unfinished = file.with_name(f".{file.name}.tmp")
    with unfinished.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    # Runs let a file rest for a minute after its last change; this one is years old.
    os.utime(unfinished, (exported_at.timestamp(), exported_at.timestamp()))
    unfinished.replace(file)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Write December 2013, one CSV file per day.")
    parser.add_argument("--first", type=int, default=1, choices=range(1, 32), metavar="DAY")
    parser.add_argument("--last", type=int, default=31, choices=range(1, 32), metavar="DAY")
    parser.add_argument("--folder", type=Path, default=Path(__file__).with_name("data"))
    return parser


if __name__ == "__main__":
    main()
