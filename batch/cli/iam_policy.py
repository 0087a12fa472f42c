"""`iam-policy`: print the permissions that a job needs on S3."""

from __future__ import annotations

import click

from batch.cli.text import print_json


@click.command("iam-policy")
@click.argument("job")
@click.option("--readers", is_flag=True, help="The policy for applications that read the output.")
@click.option("--lifecycle", is_flag=True, help="The lifecycle rules for the output's bucket.")
def iam_policy(job: str, readers: bool, lifecycle: bool) -> None:
    """Print the minimal IAM policy for running JOB on S3.

    \b
    Example:
      batch-predict iam-policy flight_delays > runner.json
      batch-predict iam-policy flight_delays --readers > readers.json
      batch-predict iam-policy flight_delays --lifecycle > lifecycle.json
    """
    from batch.job.job_file import load_job
    from batch.job.permissions import lifecycle as rules
    from batch.job.permissions import reader_policy, runner_policy

    if readers and lifecycle:
        raise click.UsageError("--readers and --lifecycle print two documents: choose one")
    make = reader_policy if readers else rules if lifecycle else runner_policy
    print_json(make(load_job(job)))
