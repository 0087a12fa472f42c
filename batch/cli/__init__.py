"""The command line: one file per command, which parses its arguments, makes one call and prints.

click and rich are imported nowhere else, and heavy modules only inside a command's function, so
that help appears at once.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from typing import Any

import click

from batch import __version__
from batch.cli.text import EVERYWHERE
from batch.errors import BatchError

# Imports make many objects and no garbage; a tenth of the time of an idle run went into looking.
gc.set_threshold(100_000, 20, 20)

_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

#: Commands and their modules, in the order in which a person meets them.
COMMANDS = {
    module.strip("_").replace("_", "-"): module
    for module in (
        "init", "validate", "schema", "try_", "run", "backfill", "status", "history", "show",
        "diff", "verify", "repair", "rollback", "unpause", "publish", "discard", "prune",
        "iam_policy",
    )
}  # fmt: skip


class _Commands(click.Group):
    """Loads the command that was called; errors are caught here, once."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            module = COMMANDS[cmd_name]
            command: click.Command = getattr(import_module(f"batch.cli.{module}"), module)
            command.params += EVERYWHERE
            self.commands[cmd_name] = command
        return self.commands.get(cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BatchError as error:
            from batch.cli.text import complain

            complain(error.message, error.hint)
            sys.exit(error.exit_code)
        except BrokenPipeError:
            # The reader of a pipe has seen enough; nothing is wrong.
            sys.stderr.close()
            sys.exit(0)
        finally:
            gc.freeze()  # The process ends: no need to search what is left for garbage.


@click.group(cls=_Commands, context_settings=_CONTEXT, params=[*EVERYWHERE])
@click.version_option(__version__, prog_name="batch-predict")
def main() -> None:
    """Turn a trained model into a steady supply of predictions.

    Records accumulate in a folder. Each run predicts the new ones and publishes a complete new
    version, which applications pick up without a restart.

    JOB is a job file, its folder, or the name of a folder in jobs/.

    \b
    Example:
      batch-predict init jobs/churn --model churn.joblib --input data/2026-01-31.csv --key id
      batch-predict run churn
    """
