"""A run on S3 behind a slow network, against downloading alone and against local files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import click

from scripts.benchmark.data import Data
from scripts.benchmark.material import Material, environment

DOWNLOAD, LOCAL, REMOTE = "download alone", "local files", "on S3"
_DOWNLOAD = """
import sys
from pathlib import Path
import boto3
from botocore.config import Config
s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
for item in s3.list_objects_v2(Bucket=sys.argv[1], Prefix=sys.argv[2])["Contents"]:
    s3.download_file(sys.argv[1], item["Key"], Path(item["Key"]).name)
"""


def measure(*, rows: int, files: int, repeats: int, bytes_per_second: float) -> None:
    """Print the medians of `repeats` interleaved rounds, and the ratio that counts."""
    from tests.support import servers
    from tests.support.proxy import Proxy

    data = Data("parquet", rows, files)
    with (
        tempfile.TemporaryDirectory(prefix="batch-predict-bench-") as scratch,
        servers.serving(servers.moto(Path(scratch))) as server,
        Proxy.start(server.endpoint.url) as proxy,
    ):
        material, bucket = Material(Path(scratch)), server.endpoint.new_bucket()
        inputs, model = material.data(data), material.model("linear")
        megabytes = sum(path.stat().st_size for path in inputs.iterdir()) / 1e6
        click.echo(f"{rows:,} rows in {files} Parquet files, {megabytes:,.0f} MB")
        for path in (*inputs.iterdir(), *model.parent.iterdir()):
            bucket.put(path.relative_to(scratch).as_posix(), path.read_bytes())
        proxy.rate = bytes_per_second
        network = servers.Endpoint(proxy.url).environment()
        run = [sys.executable, "-m", "batch", "run"]
        commands = {
            DOWNLOAD: [sys.executable, "-c", _DOWNLOAD, bucket.name, f"{data.name}/"],
            LOCAL: [*run, "local.toml"],
            REMOTE: [*run, "remote.toml"],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(repeats):
            folder = material.folder / f"round{number}"
            folder.mkdir()
            job = material.job(data, "linear")
            (folder / "local.toml").write_text(job)
            job = job.replace(scratch, f"s3://{bucket.name}")
            out = f'"s3://{bucket.name}/out{number}"'
            (folder / "remote.toml").write_text(job.replace('"out"', out))
            for name, command in commands.items():
                found[name].append(_seconds(command, folder, network))
                click.echo(f"  {name:15} {found[name][-1]:6.1f} s")
    _print(found, bytes_per_second)


def _seconds(command: list[str], folder: Path, network: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env={**environment(folder), **network}, cwd=folder, check=True)
    return time.perf_counter() - start


def _print(found: Mapping[str, list[float]], bytes_per_second: float) -> None:
    medians = {name: median(seconds) for name, seconds in found.items()}
    click.echo(f"medians, network of {bytes_per_second / 1e6:.0f} MB/s:")
    for name, seconds in medians.items():
        click.echo(f"  {name:15} {seconds:6.1f} s")
    ratio = medians[REMOTE] / max(medians[DOWNLOAD], medians[LOCAL])
    click.echo(f"  on S3 / the longer of the two: {ratio:.2f} (limit 1.15)")
