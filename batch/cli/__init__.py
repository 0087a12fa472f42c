"""The command line: one file per command, which parses its arguments, makes one call and prints.

click and rich are imported nowhere else, and heavy modules only inside a command's function, so
that help appears at once.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

import click

from batch import __version__
from batch.cli.authoring import iam_policy, init, schema, validate
from batch.cli.backfilling import backfill
from batch.cli.comparing import diff
from batch.cli.damage import repair, verify
from batch.cli.history import history
from batch.cli.reading import status
from batch.cli.running import run, try_
from batch.cli.showing import show
from batch.cli.upkeep import discard, prune, publish, rollback, unpause
from batch.errors import BatchError
from batch.logs import show_logs

# Imports make many objects and no garbage; a tenth of the time of an idle run went into looking.
gc.set_threshold(100_000, 20, 20)

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class _Commands(click.Group):
    """Commands in the order in which a person meets them; errors are caught here, once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BatchError as error:
            from batch.cli.output import complain

            complain(error.message, error.hint)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # The reader of a pipe has seen enough; nothing is wrong.
            sys.stderr.close()
            sys.exit(0)
        finally:
            gc.freeze()  # What is left goes with the process: no need to search it for garbage.


@click.group(cls=_Commands, context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="batch-predict")
@click.option("-v", "--verbose", count=True, help="Log lines on stderr; -vv for more.")
def main(verbose: int) -> None:
    """Turn a trained model into a steady supply of predictions.

    Records accumulate in a folder; each run predicts what is new and publishes a new version,
    whole, which applications pick up while they keep serving.

    JOB is a job file, its folder, or the name of a folder in jobs/.

    \b
    Example:
      batch-predict init jobs/churn --model churn.joblib --input data/2026-01-31.csv --key id
      batch-predict run churn
    """
    show_logs(verbose)


for _command in (
    init, validate, schema, try_, run, backfill, status, history, show, diff, verify, repair,
    rollback, unpause, publish, discard, prune, iam_policy,
):  # fmt: skip
    main.add_command(_command)
