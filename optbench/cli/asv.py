"""Commands for what a step costs: asv's results, and two commits compared."""

from pathlib import Path
from typing import Annotated

import typer

from optbench.cli.exit_codes import end
from optbench.problems.names import UnknownName


def asv_machine() -> None:
    """Make this machine known to asv by the class of its hardware, and print that name."""
    from optbench.measure import asv_run

    typer.echo(asv_run.register())


def asv_check(
    path: Annotated[Path, typer.Argument(help="asv's folder of results.")] = Path(
        "results/asv"
    ),
    commit: Annotated[str, typer.Option(help="The commit that was measured.")] = "HEAD",
    bench: Annotated[
        list[str] | None,
        typer.Option(help="What `asv run --bench` was given, once for each."),
    ] = None,
    machine: Annotated[
        str | None, typer.Option(help="asv's name of the machine, if not this one.")
    ] = None,
    moved: Annotated[
        float,
        typer.Option(min=0, help="How far the calibration may move, as a share."),
    ] = 0.15,
) -> None:
    """Say what a run of asv left, and what is missing or torn.

    It also says whether the machine's speed changed meanwhile. Exit code 1 where something
    is wrong: asv itself exits 0.
    """
    from optbench.measure import asv_run
    from optbench.records.provenance import commit_hash, machine_class

    outcome = asv_run.check(
        path, machine or machine_class(), commit_hash(commit), bench or [], moved
    )
    typer.echo(asv_run.render(outcome))
    if outcome.missing or outcome.issues:
        end("this run of asv is not to be relied on", 1)


def asv_site(
    path: Annotated[Path, typer.Argument(help="What `asv publish` wrote.")] = Path(
        ".asv/html"
    ),
) -> None:
    """Put beside asv's published page the files that it would fetch from public networks.

    Then it opens offline.
    """
    from optbench.measure import asv_run

    typer.echo(f"{len(asv_run.carry(path))} files carried along: {path / 'index.html'}")


def asv(
    path: Annotated[
        Path,
        typer.Argument(help="asv's results: a folder, one of its machines', or a file."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the tables and figures, with one folder per machine."),
    ] = Path(),
) -> None:
    """Say what a step costs and how that grows with D, from asv's results.

    Tables and figures are written.
    """
    import optbench
    from optbench.measure import asv_report

    asv_report.report(optbench.load_asv(path), out, typer.echo)


def regressions(
    base: Annotated[str, typer.Argument(help="The commit to compare with.")],
    head: Annotated[str, typer.Argument(help="The commit that may be worse.")] = "HEAD",
    optimizer: Annotated[
        list[str] | None, typer.Option(help="Once for each; else all.")
    ] = None,
    framework: Annotated[
        list[str] | None, typer.Option(help="Once for each; else all installed.")
    ] = None,
    problem: Annotated[str, typer.Option(help="On which problem.")] = "poisson_sine_2d",
    network: Annotated[str, typer.Option(help="With which network.")] = "tanh_64",
    rounds: Annotated[
        int, typer.Option(min=1, help="Processes for each commit and framework.")
    ] = 5,
    seconds: Annotated[
        float, typer.Option(min=0, help="Of samples for each optimizer in a process.")
    ] = 0.6,
    output: Annotated[
        Path, typer.Option(help="Folder for the samples and the table.")
    ] = Path("results/local/regressions"),
) -> None:
    """Measure two commits in turn and say whether the second is worse.

    It may be worse by its work, its accuracy or its time. Exit code 1 where it is, 2 where
    that cannot be said.
    """
    from rich.console import Console

    from optbench import implementations
    from optbench.measure import regressions as compare
    from optbench.measure.commit_process import Job
    from optbench.measure.verdicts import table

    frameworks = framework or implementations.installed()
    known = list(implementations.load(frameworks[-1]).OPTIMIZERS)
    for name in optimizer or []:
        if name not in known:
            end(str(UnknownName("optimizer", name, known)), 2)
    settings = compare.settings()
    jobs = [
        Job(
            framework=name,
            optimizers=tuple(optimizer or known),
            problem=problem,
            network=network,
            settings=settings,
            seconds=seconds,
            counted=True,
        )
        for name in frameworks
    ]
    try:
        every = compare.run(base, head, jobs, rounds, Console(stderr=True))
    except compare.NotMeasured as error:
        end(str(error), 2)
    verdicts, unjudged = compare.judge(every)
    for line in [*compare.write(output, base, head, every, verdicts), *unjudged]:
        typer.echo(line)
    worse = [verdict for verdict in verdicts if verdict.worse]
    if worse:
        typer.echo(table(worse).to_string(index=False))
        end(f"{head} is worse than {base} by {len(worse)} of {len(verdicts)} numbers", 1)
    if unjudged:
        end("not all could be judged", 2)
    typer.echo(f"{head} is no worse than {base} by any of {len(verdicts)} numbers")
