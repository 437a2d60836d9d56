"""Commands that do runs: a campaign or one run, tuning, growing widths."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from optbench.campaign.errors import CampaignError
from optbench.extras import require
from optbench.problems.names import UnknownName

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager

    from rich.console import Console

    from optbench.records.record import Record
    from optbench.schedule.runner import Crew
    from optbench.training.limits import Limits

Unchecked = Annotated[
    bool,
    typer.Option(
        "--unchecked", help="Run a problem of your own that `optbench check` finds wrong."
    ),
]
SetAside = Annotated[
    bool,
    typer.Option(
        "--set-aside",
        help="Move what the folder holds of other campaigns, or of earlier versions of "
        "this one, out of the way: it is kept, but neither published nor verified.",
    ),
]
TWO_WAYS = "give either a campaign, or --problem, --optimizer and --framework for one run"


def run(
    context: typer.Context,
    campaign: Annotated[
        str | None,
        typer.Argument(help="A campaign's TOML file or the name of one of ours."),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            help="One run instead of a campaign: its problem, one of ours or "
            "<file>.py:<name>."
        ),
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Its optimizer, one of ours or <file>.py:<name>.")
    ] = None,
    framework: Annotated[
        str | None, typer.Option(help="Its framework: torch, torch-compiled or jax.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="Activation and widths of the hidden layers.")
    ] = "tanh_64",
    seconds: Annotated[
        float | None, typer.Option(help="Budget in seconds of optimizer steps…")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="…or in steps.")] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the initial parameters and the points.")
    ] = 0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A hyperparameter, such as damping=1e-3; once for each."
        ),
    ] = None,
    interior: Annotated[
        int | None,
        typer.Option(help="Interior points per batch; if not given, the problem's."),
    ] = None,
    boundary: Annotated[
        int | None,
        typer.Option(help="Boundary points per batch; if not given, the problem's."),
    ] = None,
    points: Annotated[
        list[str] | None,
        typer.Option(help="Points per batch of any term: initial=200; once for each."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(help="The weight of a term: initial=100.0; once for each."),
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(
            help="How points are drawn: uniform or sobol; if not given, the problem's."
        ),
    ] = None,
    march: Annotated[
        int | None,
        typer.Option(
            help="Steps in which the points reach the last time; 0: all of them do."
        ),
    ] = None,
    resample_every: Annotated[
        int | None, typer.Option(help="Steps between new points; 0: one fixed batch.")
    ] = None,
    precision: Annotated[
        str, typer.Option(help="float64, float32, or on a GPU tf32.")
    ] = "float64",
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
    rerun: Annotated[
        str | None,
        typer.Option(
            help="Repeat runs with this status: failed (includes timed-out and "
            "out-of-memory), diverged, stalled, or all."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Do only the runs whose identity begins with this."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Send runs to the Dask cluster of this address…")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="…or to so many workers here, on cores of their own."),
    ] = None,
    set_aside: SetAside = False,
    unchecked: Unchecked = False,
) -> None:
    """Do what is left of a campaign, or one run, and print its table."""
    from rich.console import Console

    from optbench.campaign import campaign as campaigns
    from optbench.campaign import expansion, quarantine, results_folder, single_run
    from optbench.records import store
    from optbench.schedule import place as places
    from optbench.schedule import runner
    from optbench.schedule.place import Place
    from optbench.schedule.progress import line
    from optbench.training.limits import Limits

    require("report")  # its table and figure come after the runs
    _known_rerun(rerun)
    if campaign is not None:
        options = ("results", "rerun", "only", "scheduler", "workers", "set_aside")
        _only(context, "campaign", "unchecked", *options)
        file = campaigns.find(campaign)
        name, source = campaigns.name_of(file), file.name
        plan = campaigns.read(file)
        quarantine.admit(quarantine.of_campaign(plan), source, unchecked)
    elif problem and optimizer and framework:
        if set_aside:
            message = "is for a campaign's folder: one run does not say what else it holds"
            raise CampaignError("command line", ("--set-aside",), message)
        file, name, source = None, results_folder.SINGLE, single_run.SOURCE
        quarantine.admit(quarantine.of_run(problem, optimizer), source, unchecked)
        plan = single_run.campaign(
            problem=problem,
            network=network,
            optimizer=optimizer,
            framework=framework,
            settings=settings or [],
            seed=seed,
            interior=interior,
            boundary=boundary,
            points=points or [],
            weights=weight or [],
            sampling=sampling,
            march=march,
            resample_every=resample_every,
            precision=precision,
            seconds=seconds,
            steps=steps,
        )
    else:
        raise CampaignError("command line", (), TWO_WAYS)
    requests, console = expansion.requests(plan, name, source), Console()
    say = partial(line, console)
    for same in expansion.shared(requests):
        say(same)
    whole = requests
    if only is not None:
        requests = [run for run in requests if run.identity.startswith(only)]
        if not requests:
            message = "no run's identity begins so"
            raise CampaignError(source, ("--only",), message, value=only)
    requests = places.possible(requests, say)
    # the machines of a cluster may differ from this one
    if scheduler is None:
        names = [request.framework for request in requests]
        alike = plan.machines == "alike"
        place = Place.of(results, name, names, source, alike)
        expansion.check_precision(plan, source, place.device)
        whole, requests = place.of_this_device(whole), place.of_this_device(requests)
        folder, device = place.folder, place.device
        if alike:
            asked, requests = len(requests), places.of_this_cpu(requests, folder)
            if left := asked - len(requests):
                say(f"{left} runs are left to the model of CPU that began their cases")
    else:
        folder, device = results / name / "cluster", None
    if file:
        own = {store.path(folder, request) for request in whole}
        _others(folder, own, source, set_aside, console)
    crew = _crew(Limits.of(plan, folder, device), scheduler, workers, console)
    records = runner.run(
        expansion.once(requests),
        crew,
        folder,
        console,
        rerun=rerun,
        file=file,
        least_steps=plan.least_steps or 0,
    )
    _publish(results_folder.under_every_name(records, requests), folder, console)


def tune(
    campaign: Annotated[
        str, typer.Argument(help="A campaign's TOML file or the name of one of ours.")
    ],
    trials: Annotated[
        int,
        typer.Option(min=1, help="Trials of each optimizer and framework on each case."),
    ] = 20,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs per trial, on seeds that no report uses.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the samplers.")] = 0,
    framework: Annotated[
        list[str] | None,
        typer.Option(help="Once for each; if not given, the first installed."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Budget of a run in seconds; if not given, the case's."),
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Budget of a run in steps.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="One choice for all cases, by mean rank.")
    ] = False,
    spaces: Annotated[
        Path | None, typer.Option(help="Search spaces, if not benchmarks/spaces.toml.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="A database's address for many workers; else a file.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
    set_aside: SetAside = False,
    unchecked: Unchecked = False,
) -> None:
    """Look for each optimizer's hyperparameters, and write a campaign with them.

    Every optimizer gets the same number of trials and the same budget per run.
    """
    from rich.console import Console

    from optbench.campaign import campaign as campaigns
    from optbench.campaign import expansion, quarantine
    from optbench.schedule import local_workers
    from optbench.schedule.place import Place
    from optbench.schedule.progress import line
    from optbench.training.limits import Limits
    from optbench.tuning import search, study
    from optbench.tuning.space import SHIPPED
    from optbench.tuning.study import Protocol

    require("tune")
    file = campaigns.find(campaign)
    plan, console = campaigns.read(file), Console()
    quarantine.admit(quarantine.of_campaign(plan), file.name, unchecked)
    names = study.frameworks(plan, framework or [])
    place = Place.of(results / campaigns.name_of(file), "tuning", names, file.name)
    expansion.check_precision(plan, file.name, place.device)
    budget = {
        key: value
        for key, value in (("seconds", seconds), ("steps", steps))
        if value is not None
    }
    protocol = Protocol(
        trials=trials,
        seeds=seeds,
        seed=seed,
        frameworks=tuple(dict.fromkeys(framework or ())),
        budget=budget,
        together=together,
    )
    crew = local_workers.workers(
        Limits.of(plan, place.folder, place.device), partial(line, console)
    )
    search.run(
        plan,
        file=file,
        spaces=spaces or SHIPPED,
        protocol=protocol,
        url=storage,
        place=place,
        crew=crew,
        console=console,
        others=partial(_others, source=file.name, set_aside=set_aside, console=console),
    )


def scale(
    problem: Annotated[str, typer.Option(help="A problem.")] = "poisson_sine_2d",
    width: Annotated[
        list[int] | None, typer.Option(min=2, help="Once for each; else 16, 32 … 4096.")
    ] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="Once for each; else all.")
    ] = None,
    framework: Annotated[
        list[str] | None, typer.Option(help="Once for each; else all installed.")
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            min=1, help="Steps per run after 5 that warm up; their median counts."
        ),
    ] = 5,
    limit: Annotated[
        float, typer.Option(min=1, help="Wall-clock seconds per run, compilation included.")
    ] = 120.0,
    memory: Annotated[float | None, typer.Option(help="GB per run.")] = None,
    threads: Annotated[
        int,
        typer.Option(min=1, help="Cores per run; XLA compiles for a GPU on all of them."),
    ] = 1,
    rerun: Annotated[
        str | None,
        typer.Option(
            help="Repeat runs with this status: failed (includes timed-out and "
            "out-of-memory), diverged, stalled, or all."
        ),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
    set_aside: SetAside = False,
    unchecked: Unchecked = False,
) -> None:
    """Measure a step at growing widths, and fit how its cost grows with the parameters.

    What lacks memory or time is recorded as such. Done runs are not done again.
    """
    from rich.console import Console

    from optbench import implementations
    from optbench.campaign import expansion, quarantine
    from optbench.measure import scale as scales
    from optbench.measure.timed import WIDTHS
    from optbench.records import store
    from optbench.schedule import place as places
    from optbench.schedule import runner
    from optbench.schedule.place import Place
    from optbench.schedule.progress import line
    from optbench.training.limits import Limits

    require("report")
    _known_rerun(rerun)
    limits = {"limit": limit, "threads": threads} | ({"memory": memory} if memory else {})
    quarantine.admit(quarantine.of_run(problem), "scale", unchecked)
    frameworks = framework or implementations.installed()
    plan = scales.campaign(
        problem=problem,
        widths=width or WIDTHS,
        optimizers=optimizer or [],
        frameworks=frameworks,
        steps=steps,
        **limits,
    )
    console, whole = Console(), expansion.requests(plan, "scale", "scale")
    requests = places.possible(whole, partial(line, console))
    place = Place.of(results, "scale", [request.framework for request in requests], "scale")
    requests, folder = place.of_this_device(requests), place.folder
    own = {store.path(folder, request) for request in place.of_this_device(whole)}
    _others(folder, own, "this command", set_aside, console)
    scales.keep(plan, folder)
    crew = _crew(Limits.of(plan, folder, place.device), None, None, console)
    records = runner.run(requests, crew, folder, console, rerun=rerun)
    _publish(records, folder, console)
    scales.report(folder, console)


def gpu(
    minutes: Annotated[
        float, typer.Option(min=0, help="How long the machine is there; the rest waits.")
    ] = 8.0,
    small: Annotated[
        bool, typer.Option("--small", help="Tiny sizes, which try the list on a CPU.")
    ] = False,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
) -> None:
    """Measure first what is most telling on a GPU that is had for minutes.

    Checks of the twins, what a step costs as the network grows, profiles, and pieces of a
    campaign. Each ends in a file of its own; the same command goes on where it was.
    """
    from rich.console import Console

    from optbench import implementations
    from optbench.cli.exit_codes import end
    from optbench.measure import gpu as list_of
    from optbench.schedule.place import Place
    from optbench.schedule.progress import line

    require("report")
    place = Place.of(results, "gpu", implementations.installed(), "gpu")
    if place.device == "cpu" and not small:
        end("no accelerator computes here: --small tries the list on a CPU", 2)
    say = partial(line, Console())
    todo = list_of.entries(results, small)
    list_of.carry_out(todo, place.folder, 60 * minutes, say, list_of.optbench)


def _others(
    folder: Path, own: "Collection[Path]", source: str, set_aside: bool, console: "Console"
) -> None:
    """Say which records a folder holds that `source` does not ask for, or move them."""
    from optbench.campaign import results_folder
    from optbench.records import files
    from optbench.schedule.progress import line

    others = results_folder.others(folder, own)
    if not others:
        return
    what = (
        f"{folder} holds {len(others)} runs that {source} does not ask for, of another "
        "campaign or of an earlier version"
    )
    if set_aside:
        for other in others:
            files.set_aside(other)
        line(console, f"{what}: set aside in runs/")
    else:
        line(console, f"{what}: --set-aside moves them out of the way")


def _crew(
    limits: "Limits",
    scheduler: str | None,
    workers: int | None,
    console: "Console",
) -> "AbstractContextManager[Crew]":
    """Say who does the runs: children of this process, or a cluster's workers."""
    from optbench.schedule import local_workers, progress

    say = partial(progress.line, console)
    if scheduler is None and workers is None:
        return local_workers.workers(limits, say)
    from optbench.schedule import dask_cluster

    if workers is None and scheduler is not None:
        return dask_cluster.connect(scheduler, limits, say)
    if workers is not None and scheduler is None:
        return dask_cluster.local(workers, limits, say)
    raise CampaignError("command line", (), "give either --scheduler or --workers")


def _publish(records: "Sequence[Record]", folder: Path, console: "Console") -> None:
    """Print a campaign's table; write it, the figure and the checksums, and say where."""
    # pandas and matplotlib: after the runs, not in their way
    from optbench.campaign import results_folder, source_files
    from optbench.records import checksums
    from optbench.records.frames import from_records
    from optbench.report import summary
    from optbench.report.report import write_summary
    from optbench.schedule.progress import line

    line(console, "")
    print(summary.texts(from_records(records))["table.txt"], file=console.file)
    # before the folder is read, which looks for them there
    copies = source_files.keep([record.request for record in records], folder)
    if records[0].request.labels.campaign == results_folder.SINGLE:  # with those before it
        records = list(results_folder.load(folder).records.values())
    made = write_summary(from_records(records), folder)
    written = [folder / "runs", *made, *copies, checksums.write(folder)]
    for path in written:
        line(console, f"written: {path}")


def _known_rerun(rerun: str | None) -> None:
    """Raise UnknownName for a value of `--rerun` that there is not."""
    from optbench.records import store

    if rerun is not None and rerun not in store.AGAIN:
        raise UnknownName("--rerun", rerun, store.AGAIN)


def _only(context: typer.Context, *allowed: str) -> None:
    """Refuse options that a campaign's file decides: they would be ignored."""
    refused = [
        "--set" if name == "settings" else f"--{name.replace('_', '-')}"
        for name in context.params
        if name not in allowed
        and (source := context.get_parameter_source(name)) is not None
        and source.name == "COMMANDLINE"
    ]
    if refused:
        message = (
            f"{', '.join(refused)}: not with a campaign, whose file says it; {TWO_WAYS}"
        )
        raise CampaignError("command line", (), message)
