"""`schema`: print the JSON Schema of job files."""

from __future__ import annotations

import click

from batch.cli.text import print_json


@click.command()
def schema() -> None:
    """Print the JSON Schema of job files, for editors.

    \b
    Example:
      batch-predict schema > job.schema.json
    """
    from batch.job.schema import job_schema

    print_json(job_schema())
