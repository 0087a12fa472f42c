"""A run on S3 behind a slow network, against downloading alone and against local files."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from scripts.benchmark.data import Data, write_data

_DOWNLOAD = """
import sys
from pathlib import Path
import boto3
from botocore.config import Config
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
bucket, folder = sys.argv[1], Path(sys.argv[2])
for item in s3.list_objects_v2(Bucket=bucket, Prefix="in/")["Contents"]:
    s3.download_file(bucket, item["Key"], str(folder / Path(item["Key"]).name))
"""
_JOB = """
[input]
path = "{input}/*.parquet"
key = ["key"]
min_age = "0s"
[model]
path = "{model}"
methods = ["predict", "predict_proba"]
[output]
path = "{output}"
"""


def measure(*, rows: int, files: int, repeats: int, bytes_per_second: float) -> None:
    """Print the medians of `repeats` interleaved rounds, and the ratio that counts."""
    from scripts.benchmark.models import save
    from tests.support import servers
    from tests.support.proxy import Proxy

    with tempfile.TemporaryDirectory(prefix="batch-predict-bench-") as scratch:
        folder = Path(scratch)
        model = save("linear", folder / "model")
        paths = write_data(Data("parquet", rows, files), folder / "in")
        megabytes = sum(path.stat().st_size for path in paths) / 1e6
        click.echo(f"{rows:,} rows in {files} Parquet files, {megabytes:,.0f} MB")
        with (
            servers.serving(servers.moto(folder)) as server,
            Proxy.start(server.endpoint.url) as proxy,
        ):
            bucket = server.endpoint.new_bucket()
            for path in paths:
                bucket.put(f"in/{path.name}", path.read_bytes())
            for path in model.parent.iterdir():
                bucket.put(path.name, path.read_bytes())
            proxy.rate = bytes_per_second
            environment = servers.Endpoint(proxy.url).environment()
            found = _rounds(folder, bucket.name, environment, repeats=repeats)
    _print(found, bytes_per_second)


def _rounds(
    folder: Path, bucket: str, environment: dict[str, str], *, repeats: int
) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"download alone": [], "local files": [], "on S3": []}
    for number in range(repeats):
        target = folder / f"round{number}"
        target.mkdir()
        remote = {"model": f"s3://{bucket}/model.joblib", "input": f"s3://{bucket}/in",
                  "output": f"s3://{bucket}/out{number}"}  # fmt: skip
        local = {
            "model": folder / "model/model.joblib",
            "input": folder / "in",
            "output": target / "out",
        }
        (target / "remote.toml").write_text(_JOB.format(**remote))
        (target / "local.toml").write_text(_JOB.format(**local))
        env = os.environ | environment | {
            "BATCH_PREDICT_STATE": str(target / "state"), "BATCH_PREDICT_SPOOL": str(target / "spool"),
        }  # fmt: skip
        run = [sys.executable, "-m", "batch", "run"]
        steps = {
            "download alone": [sys.executable, "-c", _DOWNLOAD, bucket, str(target)],
            "local files": [*run, str(target / "local.toml")],
            "on S3": [*run, str(target / "remote.toml")],
        }
        for name, command in steps.items():
            found[name].append(_timed(command, env))
            click.echo(f"  {name:15} {found[name][-1]:6.1f} s")
    return found


def _timed(command: list[str], environment: dict[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True)
    return time.perf_counter() - start


def _print(found: dict[str, list[float]], bytes_per_second: float) -> None:
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    click.echo(f"medians, network of {bytes_per_second / 1e6:.0f} MB/s:")
    for name, seconds in medians.items():
        click.echo(f"  {name:15} {seconds:6.1f} s")
    floor = max(medians["download alone"], medians["local files"])
    click.echo(f"  on S3 / the longer of the two: {medians['on S3'] / floor:.2f} (limit 1.15)")
