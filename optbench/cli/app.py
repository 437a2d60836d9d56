"""The command line, `optbench`: all commands, and what becomes of their errors."""

import typer

from optbench.campaign.errors import CampaignError
from optbench.cli import asv, inspect, results, run
from optbench.cli.exit_codes import Interrupted, end, heed_signals
from optbench.extras import Missing, explained
from optbench.problems.names import InvalidName
from optbench.records.store import InvalidRecord
from optbench.schedule import console

app = typer.Typer(
    name="optbench",
    help="Matched PyTorch and JAX optimizers for physics-informed neural networks, "
    "measured on the same numbers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(run.run)
app.command()(run.tune)
app.command("list")(inspect.list_)
app.command()(results.table)
app.command()(results.plot)
app.command()(results.compare)
app.command()(results.choose)
app.command()(results.report)
app.command()(results.index)
app.command()(inspect.parity)
app.command()(inspect.baselines)
app.command()(results.verify)
app.command()(inspect.check)
app.command()(inspect.profile)
app.command()(run.scale)
app.command()(run.gpu)
app.command()(asv.asv_machine)
app.command()(asv.asv_check)
app.command()(asv.asv_site)
app.command("asv")(asv.asv)
app.command()(asv.regressions)


def main(arguments: list[str] | None = None) -> None:
    """Run a command.

    A user's mistake is one line and exit code 2, an interruption one line and exit code
    129, 130 or 143. What the console does costs no result.
    """
    console.soften()
    heed_signals()
    try:
        with explained():
            app(arguments)
    except (CampaignError, InvalidRecord, InvalidName, Missing) as error:
        end(str(error), 2)
    except OSError as error:  # no such file, no rights, no space
        end(str(error), 2)
    except Interrupted as interruption:
        end(
            "interrupted: what is finished is kept, and the same command does the rest",
            128 + interruption.args[0],
        )
    finally:
        if error := console.lost():
            end(f"not all could be printed: {error}", 2)
