"""Commands for what a step costs: asv's results, and two commits compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from optbench.cli.exit_codes import end
from optbench.problems.names import UnknownName

Environment = Annotated[
    str, typer.Option(help="Only environments whose name contains this.")
]


def asv_machine(
    path: Annotated[
        Path, typer.Argument(help="asv's folder of results, which may know the machine.")
    ] = Path("results/asv"),
) -> None:
    """Make this machine known to asv by the class of its hardware, and print that name.

    The GPU is part of it where the frameworks compute on it.
    """
    from optbench.measure import asv_run

    try:
        typer.echo(asv_run.register(path))
    except asv_run.Unclear as error:
        end(str(error), 2)


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
    environment: Environment = "",
) -> None:
    """Say what a run of asv left, and what is missing or torn.

    It also says whether the machine's speed changed meanwhile. Of several environments one
    is judged and named. Exit code 1 where something is wrong: asv itself exits 0.
    """
    from optbench.measure import asv_run

    try:
        machine = machine or asv_run.this_machine(path)
        commit = asv_run.commit(path, machine, commit)
    except asv_run.Unclear as error:
        end(str(error), 2)
    outcome = asv_run.check(path, machine, commit, bench or [], moved, environment)
    typer.echo(asv_run.render(outcome))
    if outcome.missing or outcome.issues:
        end("this run of asv is not to be relied on", 1)


def asv_site(
    path: Annotated[Path, typer.Argument(help="What `asv publish` wrote.")] = Path(
        ".asv/html"
    ),
    results: Annotated[
        Path, typer.Option(help="asv's folder of results, of which the site is made.")
    ] = Path("results/asv"),
) -> None:
    """Put beside asv's published page the files that it would fetch from public networks.

    Then it opens offline. Exit code 1 where it does not show all results, as where the
    clone lacks their commits: asv itself exits 0.
    """
    from optbench.measure import asv_run

    typer.echo(f"{len(asv_run.carry(path))} files carried along: {path / 'index.html'}")
    lines = list(asv_run.unshown(path, results))
    for line in lines:
        typer.echo(line)
    if lines:
        end("the site does not show all results", 1)


def asv(
    path: Annotated[
        Path,
        typer.Argument(help="asv's results: a folder, one of its machines', or a file."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the tables and figures, with one folder per machine."),
    ] = Path(),
    environment: Environment = "",
) -> None:
    """Say what a step costs and how that grows with D, from asv's results.

    Tables and figures are written. Of several environments one is shown and named. Exit
    code 2 where a file cannot be read and is left out.
    """
    from optbench.measure import asv_report, asv_results

    left_out: list[str] = []
    frame = asv_results.load(path, left_out.append)
    names = frame["environment"]
    rows: Any = frame[names.str.contains(environment, regex=False)]
    if rows.empty:
        known = ", ".join(sorted(set(names)))
        end(f"no environment's name has {environment!r} in it: there are {known}", 2)
    asv_report.report(rows, out, typer.echo)
    for line in left_out:
        typer.echo(f"left out: {line}")
    if left_out:
        end(f"{len(left_out)} of asv's files or folders were left out", 2)


def regressions(
    base: Annotated[str, typer.Argument(help="The commit to compare with.")],
    head: Annotated[str, typer.Argument(help="The commit that may be worse.")] = "HEAD",
    optimizer: Annotated[
        list[str] | None,
        typer.Option(help="Once for each; else those that asv measures."),
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

    from optbench import implementations, problems
    from optbench.implementations import devices
    from optbench.measure import grid
    from optbench.measure import regressions as compare
    from optbench.measure.commit_process import Job
    from optbench.measure.verdicts import table
    from optbench.problems import networks, own

    # whatever is wrong is said before a process starts
    frameworks = framework or implementations.installed()
    for name in frameworks:
        if name not in implementations.NAMES:
            end(str(UnknownName("framework", name, implementations.NAMES)), 2)
    problems.get(problem)
    problem = own.located(problem, Path())  # its processes are in other folders
    networks.parse(network)
    try:
        place = compare.place(output, base, head)
    except compare.NotMeasured as error:
        end(str(error), 2)
    for answer in devices.ask_all(frameworks).values():
        if answer.error:
            end(answer.error, 2)
    known = list(implementations.load(frameworks[-1]).OPTIMIZERS)
    for name in optimizer or []:
        if name not in known:
            end(str(UnknownName("optimizer", name, known)), 2)
    asked = grid.shipped()
    jobs = [
        Job(
            framework=name,
            optimizers=tuple(optimizer or (it for it in asked.by_default if it in known)),
            problem=problem,
            network=network,
            settings=asked.optimizers,
            seconds=seconds,
            counted=True,
        )
        for name in frameworks
    ]
    if line := compare.uncommitted():
        typer.echo(line)
    place.mkdir(parents=True, exist_ok=True)  # what cannot be kept is not measured
    try:
        every = compare.run(base, head, jobs, rounds, Console(stderr=True))
    except compare.NotMeasured as error:
        end(str(error), 2)
    verdicts, unjudged = compare.judge(every)
    for line in [*compare.write(place, every, verdicts), *unjudged]:
        typer.echo(line)
    worse = [verdict for verdict in verdicts if verdict.worse]
    if worse:
        typer.echo(table(worse).to_string(index=False))
        end(f"{head} is worse than {base} by {len(worse)} of {len(verdicts)} numbers", 1)
    if unjudged:
        end("not all could be judged", 2)
    typer.echo(f"{head} is no worse than {base} by any of {len(verdicts)} numbers")
