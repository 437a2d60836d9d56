"""The command line, `optbench`."""

import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from optbench.campaign.errors import CampaignError
from optbench.implementations import FrameworkMissing
from optbench.problems.names import InvalidName, UnknownName
from optbench.records.store import InvalidRecord

if TYPE_CHECKING:
    from rich.console import Console

    from optbench.campaign.campaign import Campaign

app = typer.Typer(
    name="optbench",
    help="Matched PyTorch and JAX optimizers for physics-informed neural networks, measured on the same numbers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
TWO_WAYS = "give either a campaign, or --problem, --optimizer and --framework for one run"
Paths = Annotated[
    list[Path],
    typer.Argument(help="Records, or folders with records somewhere below them."),
]


class Interrupted(BaseException):
    """SIGINT or SIGTERM; typer would end a KeyboardInterrupt without a word."""


def main(arguments: list[str] | None = None) -> None:
    """Run a command. A user's mistake is one line and exit code 2, an interruption one line and 130 or 143."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app(arguments)
    except (CampaignError, InvalidRecord, InvalidName, FrameworkMissing) as error:
        _end(str(error), 2)
    except OSError as error:  # no such file, no rights, no space
        _end(str(error), 2)
    except Interrupted as interruption:
        _end(
            "interrupted: what is finished is kept, and the same command does the rest",
            128 + interruption.args[0],
        )


@app.command()
def run(
    context: typer.Context,
    campaign: Annotated[
        str | None,
        typer.Argument(help="A campaign's TOML file or the name of one of ours."),
    ] = None,
    problem: Annotated[
        str | None,
        typer.Option(
            help="One run instead of a campaign: its problem, one of ours or <file>.py:<name>."
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
        typer.Option(help="Interior points a batch; if not given, the problem's."),
    ] = None,
    boundary: Annotated[
        int | None,
        typer.Option(help="Boundary points a batch; if not given, the problem's."),
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
        typer.Option(help="Do runs again that ended so: failed, diverged or all."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Of a campaign the run with this identity alone, or its start."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Send runs to the Dask cluster of this address…")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="…or to so many workers here, on cores of their own."),
    ] = None,
) -> None:
    """Do what is left of a campaign, or one run, and print its table."""
    from rich.console import Console

    from optbench.campaign import campaign as campaigns
    from optbench.campaign import expansion, single
    from optbench.campaign import precision as precisions
    from optbench.records import store
    from optbench.schedule import runner

    _known_rerun(rerun)
    if campaign is not None:
        _only(context, "campaign", "results", "rerun", "only", "scheduler", "workers")
        file = campaigns.find(campaign)
        name, source, plan = file.stem, file.name, campaigns.read(file)
    elif problem and optimizer and framework:
        budget = {
            "seconds": seconds,
            "steps": steps,
            "resample_every": resample_every,
            "precision": precision,
        }
        file, name, source = None, "single", single.SOURCE
        plan = single.campaign(
            optimizer,
            framework,
            seed,
            settings or [],
            interior,
            boundary,
            problem=problem,
            network=network,
            **budget,
        )
    else:
        raise CampaignError("command line", (), TWO_WAYS)
    requests, console = expansion.requests(plan, name, source), Console()
    if only is not None and not (
        requests := [each for each in requests if each.identity.startswith(only)]
    ):
        raise CampaignError(source, ("--only",), "no run's identity begins so", value=only)
    if scheduler is None:
        precisions.possible(plan, source)
    # the machines of a cluster may differ from this one
    folder = (
        store.folder(results, name) if scheduler is None else results / name / "cluster"
    )
    crew = _crew(plan, folder, scheduler, workers, console)
    runner.run(requests, crew, folder, console, rerun, file, plan.least_steps or 0)


@app.command()
def tune(
    campaign: Annotated[
        str, typer.Argument(help="A campaign's TOML file or the name of one of ours.")
    ],
    trials: Annotated[
        int,
        typer.Option(min=1, help="Trials of each optimizer and framework on each case."),
    ] = 20,
    seeds: Annotated[
        int, typer.Option(min=1, help="Runs a trial; none of their seeds is a report's.")
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
    spaces: Annotated[
        Path | None, typer.Option(help="Search spaces, if not benchmarks/spaces.toml.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="A database's address for many workers; else a file.")
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
) -> None:
    """Look for each optimizer's hyperparameters, with as many trials and seconds for each, and write a campaign."""
    from rich.console import Console

    from optbench.campaign import campaign as campaigns
    from optbench.campaign import precision as precisions
    from optbench.records import store
    from optbench.schedule import workers as executors
    from optbench.training.limits import Limits
    from optbench.tuning import search
    from optbench.tuning.space import SHIPPED
    from optbench.tuning.study import Protocol

    file = campaigns.find(campaign)
    plan, folder = campaigns.read(file), store.folder(results / file.stem, "tuning")
    precisions.possible(plan, file.name)
    budget = {
        key: value
        for key, value in (("seconds", seconds), ("steps", steps))
        if value is not None
    }
    protocol = Protocol(trials, seeds, seed, tuple(framework or ()), budget)
    crew = executors.workers(Limits.of(plan, folder))
    search.run(plan, file, spaces or SHIPPED, protocol, storage, folder, crew, Console())


@app.command("list")
def list_(
    what: Annotated[
        str, typer.Argument(help="problems, optimizers, networks or campaigns.")
    ],
) -> None:
    """Say which problems, optimizers, networks or campaigns there are."""
    from optbench.cli.listing import LISTINGS

    if what not in LISTINGS:
        raise UnknownName("list", what, LISTINGS)
    for line in LISTINGS[what]():
        typer.echo(line)


@app.command()
def table(
    paths: Paths,
    style: Annotated[str, typer.Option("--format", help="text, csv or markdown.")] = "text",
) -> None:
    """Print the table of records."""
    from optbench.report import summary

    if style not in summary.FORMATS:
        raise UnknownName("format", style, summary.FORMATS)
    typer.echo(summary.render(summary.summarise(_frames(paths)), style), nl=False)


@app.command()
def plot(
    paths: Paths,
    out: Annotated[Path, typer.Option(help="Folder of the figures.")] = Path(),
) -> None:
    """Draw the relative L2 error over optimizer seconds, a panel a case, as PNG and SVG."""
    from optbench.report import curves

    out.mkdir(parents=True, exist_ok=True)
    for figure in curves.error_over_seconds(_frames(paths), out):
        typer.echo(f"written: {figure}")


@app.command()
def report(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder of results, or one with such folders somewhere below it."
        ),
    ],
) -> None:
    """Make all that is published of a campaign from its raw records: tables, figures, the page; the same each time."""
    from optbench.report import report as reports

    for written in reports.make(path):
        typer.echo(f"written: {written}")


@app.command()
def index(
    path: Annotated[Path, typer.Argument(help="The folder of all results.")] = Path(
        "results"
    ),
    readme: Annotated[
        Path | None,
        typer.Option(
            help="Also a README with marks: <!-- headline FOLDER --> and <!-- /headline -->."
        ),
    ] = None,
) -> None:
    """Write the README of a folder of results: what is published in it, the headline tables, how each was made."""
    from optbench.report import index

    typer.echo(f"written: {index.write(path)}")
    if readme is not None:
        typer.echo(f"written: {index.fill(readme)}")


@app.command()
def parity(
    problem: Annotated[
        list[str] | None, typer.Option(help="A problem, once for each; else all published.")
    ] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="An optimizer, once for each; else all.")
    ] = None,
    network: Annotated[
        str, typer.Option(help="Activation and widths of the hidden layers.")
    ] = "tanh_8_8",
    steps: Annotated[int, typer.Option(min=1, help="Steps of a trajectory.")] = 10,
    interior: Annotated[
        int, typer.Option(min=1, help="Interior points of the batch.")
    ] = 30,
    boundary: Annotated[
        int, typer.Option(min=1, help="Boundary points of the batch.")
    ] = 20,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the initial parameters and the points.")
    ] = 0,
) -> None:
    """Certify that the twins match: the largest relative difference of their parameters over a trajectory.

    Beside it, the drift that a permutation of the points causes by rounding alone; a
    difference within ten times of it is agreement. Exit code 1 where they do not agree.
    """
    from optbench import problems
    from optbench.implementations.failures import FactorisationFailed
    from optbench.measure import parity as twins

    frameworks = twins.both()
    fields = {
        "network": network,
        "steps": steps,
        "interior": interior,
        "boundary": boundary,
        "seed": seed,
    }
    problems.networks.parse(network)
    known = list(frameworks[0].OPTIMIZERS)
    asked, certificates = (
        list(twins.cases(problem or problems.names(), optimizer or [], known, **fields)),
        [],
    )
    for number, case in enumerate(asked, 1):
        typer.echo(
            f"[{number}/{len(asked)}] {case.problem.name} {case.optimizer}", err=True
        )
        try:
            certificates.append(twins.certify(case, frameworks))
        except FactorisationFailed as error:
            _end(f"{case.problem.name}, {case.optimizer}: {error}", 1)
    typer.echo(twins.table(certificates))
    if not all(certificate.agrees for certificate in certificates):
        _end("the twins do not agree", 1)


@app.command()
def verify(
    path: Annotated[
        Path,
        typer.Argument(
            help="A folder of results, or one with such folders somewhere below it."
        ),
    ],
    rerun: Annotated[
        int, typer.Option(min=0, help="Repeat so many finished runs and compare.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Draws the runs that are repeated.")] = 0,
    tolerance: Annotated[
        float, typer.Option(min=0, help="Largest relative difference of a repeated number.")
    ] = 1e-6,
) -> None:
    """Check published results as a stranger would; exit code 1 where something is wrong.

    A line for each rule, then what is wrong, file by file.
    """
    from optbench.campaign import results_folder
    from optbench.verify import verify as check

    found = results_folder.find(path)
    findings = []
    for finding in check.findings(found):
        typer.echo(finding)
        findings.append(finding)
    if rerun:
        findings.append(
            check.repeated(
                found, rerun, seed, tolerance, lambda text: typer.echo(text, err=True)
            )
        )
        typer.echo(findings[-1])
    problems = [problem for finding in findings for problem in finding.problems]
    for problem in problems:
        typer.echo(problem)
    if problems:
        _end(f"{len(problems)} problem{'s' if len(problems) > 1 else ''} in {path}", 1)


@app.command()
def check(
    problem: Annotated[
        str,
        typer.Argument(
            help="<file>.py, with all its problems, <file>.py:<name>, or one of ours."
        ),
    ],
) -> None:
    """Check that a problem is what every run takes it for: its solution, its data, its points, both frameworks alike.

    A line for each check, then what is wrong, in words; exit code 1 where something is.
    """
    from optbench.campaign import problem_checks

    complaints = 0
    for number, each in enumerate(problem_checks.named(problem)):
        typer.echo(("\n" if number else "") + each.name)
        results = []
        for result in problem_checks.check(each):
            typer.echo(f"  {result}")
            results.append(result)
        for result in results:
            for complaint in result.complaints:
                typer.echo(f"{result.name}: {complaint}")
        complaints += sum(len(result.complaints) for result in results)
    if complaints:
        _end(f"{complaints} problem{'s' if complaints > 1 else ''} in {problem}", 1)


@app.command()
def profile(
    problem: Annotated[str, typer.Argument(help="A problem.")],
    optimizer: Annotated[str, typer.Argument(help="An optimizer.")],
    network: Annotated[
        str, typer.Option(help="Activation and widths of the hidden layers.")
    ] = "tanh_64_64_48_48",
    framework: Annotated[
        list[str] | None, typer.Option(help="Once for each; if not given, all installed.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A hyperparameter, once for each.")
    ] = None,
    interior: Annotated[
        int | None,
        typer.Option(min=1, help="Interior points; if not given, the problem's."),
    ] = None,
    boundary: Annotated[
        int | None,
        typer.Option(min=1, help="Boundary points; if not given, the problem's."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0, help="Measure for about so long, each framework.")
    ] = 10.0,
) -> None:
    """Say where a step's time goes: phases, their flops and rates, line search, waits, compilation, memory."""
    from optbench import implementations
    from optbench.campaign import expansion, single
    from optbench.measure import profile
    from optbench.measure.timed import Work

    frameworks = tuple(framework or implementations.installed())
    # a campaign of one run checks every name and value
    plan = single.campaign(
        optimizer,
        frameworks[0],
        0,
        settings or [],
        interior,
        boundary,
        problem=problem,
        network=network,
        steps=1,
    )
    (request,) = expansion.requests(plan, "profile", single.SOURCE)
    points = {"interior": request.points.interior, "boundary": request.points.boundary}
    for each in frameworks:
        work = Work(each, optimizer, problem, network, request.hyperparameters, **points)
        typer.echo(profile.render(profile.alone(work, threads, seconds)) + "\n")


@app.command()
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
        typer.Option(min=1, help="Steps a run after 5 that warm up; their median counts."),
    ] = 5,
    limit: Annotated[
        float, typer.Option(min=1, help="Wall-clock seconds a run, compilation included.")
    ] = 120.0,
    memory: Annotated[float | None, typer.Option(help="GB a run.")] = None,
    threads: Annotated[
        int, typer.Option(min=1, help="Cores a run; XLA compiles for a GPU on all of them.")
    ] = 1,
    rerun: Annotated[
        str | None,
        typer.Option(help="Do runs again that ended so: failed, diverged or all."),
    ] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path(
        "results/local"
    ),
) -> None:
    """Measure a step at growing widths, and fit how its cost grows with the parameters.

    What lacks memory or time is recorded as such. Done runs are not done again.
    """
    from rich.console import Console

    from optbench import implementations
    from optbench.campaign import expansion
    from optbench.measure import scale as scales
    from optbench.measure.timed import WIDTHS
    from optbench.records import store
    from optbench.schedule import runner

    _known_rerun(rerun)
    limits = {"limit": limit, "threads": threads} | ({"memory": memory} if memory else {})
    frameworks = framework or implementations.installed()
    plan = scales.campaign(
        problem, width or WIDTHS, optimizer or [], frameworks, steps, **limits
    )
    folder, console = store.folder(results, "scale"), Console()
    scales.keep(plan, folder)
    crew = _crew(plan, folder, None, None, console)
    runner.run(expansion.requests(plan, "scale", "scale"), crew, folder, console, rerun)
    scales.report(folder, console)


@app.command()
def asv_machine() -> None:
    """Make this machine known to asv by the class of its hardware, and print that name."""
    from optbench.measure import asv_run

    typer.echo(asv_run.register())


@app.command()
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
    """Say what a run of asv left, and what is missing, torn or measured on a machine that changed its speed.

    Exit code 1 where something is wrong: asv itself exits 0.
    """
    from optbench.measure import asv_run
    from optbench.records.provenance import commit_hash, machine_class

    outcome = asv_run.check(
        path, machine or machine_class(), commit_hash(commit), bench or [], moved
    )
    typer.echo(asv_run.render(outcome))
    if outcome.missing or outcome.issues:
        _end("this run of asv is not to be relied on", 1)


@app.command()
def asv_site(
    path: Annotated[Path, typer.Argument(help="What `asv publish` wrote.")] = Path(
        ".asv/html"
    ),
) -> None:
    """Put the files beside asv's published page that it would fetch from public networks: it then opens offline."""
    from optbench.measure import asv_run

    typer.echo(f"{len(asv_run.carry(path))} files carried along: {path / 'index.html'}")


@app.command("asv")
def asv_(
    path: Annotated[
        Path,
        typer.Argument(help="asv's results: a folder, one of its machines', or a file."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder of the tables and figures, a folder a machine in it."),
    ] = Path(),
) -> None:
    """Say what a step costs and how that grows with D, from asv's results; write tables and figures."""
    import optbench
    from optbench.measure import asv_report

    asv_report.report(optbench.load_asv(path), out, typer.echo)


def _crew(
    plan: "Campaign",
    folder: Path,
    scheduler: str | None,
    workers: int | None,
    console: "Console",
):
    """Who does the runs: children of this process, or a cluster's workers."""
    from optbench.schedule import progress
    from optbench.schedule import workers as executors
    from optbench.training.limits import Limits

    given = Limits.of(plan, folder)
    if scheduler is None and workers is None:
        return executors.workers(given)
    try:
        from optbench.schedule import cluster
    except ModuleNotFoundError as error:
        message = f"--scheduler and --workers need {error.name}: pip install -e '.[cluster]' in the clone brings it"
        raise CampaignError("command line", (), message) from error
    say = partial(progress.line, console)
    if workers is None and scheduler is not None:
        return cluster.connect(scheduler, given, say)
    if workers is not None and scheduler is None:
        return cluster.local(workers, given, say)
    raise CampaignError("command line", (), "give either --scheduler or --workers")


def _known_rerun(rerun: str | None) -> None:
    from optbench.records import store

    if rerun is not None and rerun not in store.AGAIN:
        raise UnknownName("--rerun", rerun, store.AGAIN)


def _frames(paths: list[Path]):
    """The records of several paths as one pair of frames."""
    from optbench.records import store
    from optbench.records.frames import from_records

    return from_records(record for path in paths for _, record in store.records(path))


def _only(context: typer.Context, *allowed: str) -> None:
    """Refuse options that a campaign's file decides: they would be ignored."""
    sources = {
        name: context.get_parameter_source(name)
        for name in context.params
        if name not in allowed
    }
    given = [
        name
        for name, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    ]
    if given:
        options = ", ".join(
            "--set" if name == "settings" else f"--{name.replace('_', '-')}"
            for name in given
        )
        raise CampaignError(
            "command line",
            (),
            f"{options}: not with a campaign, whose file says it; {TWO_WAYS}",
        )


def _interrupt(number: int, frame: object) -> NoReturn:
    raise Interrupted(number)


@app.command()
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
    """Measure two commits in turn and say whether the second is worse: by its work, its accuracy, its time.

    Exit code 1 where it is, 2 where that cannot be said.
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
            _end(str(UnknownName("optimizer", name, known)), 2)
    settings = compare.settings()
    jobs = [
        Job(name, tuple(optimizer or known), problem, network, settings, seconds, True)
        for name in frameworks
    ]
    try:
        every = compare.run(base, head, jobs, rounds, Console(stderr=True))
    except compare.NotMeasured as error:
        _end(str(error), 2)
    verdicts, unjudged = compare.judge(every)
    for line in [*compare.write(output, base, head, every, verdicts), *unjudged]:
        typer.echo(line)
    worse = [verdict for verdict in verdicts if verdict.worse]
    if worse:
        typer.echo(table(worse).to_string(index=False))
        _end(f"{head} is worse than {base} by {len(worse)} of {len(verdicts)} numbers", 1)
    if unjudged:
        _end("not all could be judged", 2)
    typer.echo(f"{head} is no worse than {base} by any of {len(verdicts)} numbers")


def _end(message: str, code: int) -> NoReturn:
    typer.echo(f"optbench: {message}", err=True)
    sys.exit(code)
