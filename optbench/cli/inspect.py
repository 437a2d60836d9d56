"""Commands that look at what is run: lists, checks of problems, parity, profiles."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from optbench.cli.exit_codes import end
from optbench.problems.names import UnknownName


def list_(
    what: Annotated[
        str, typer.Argument(help="problems, optimizers, networks or campaigns.")
    ],
) -> None:
    """Say which problems, optimizers, networks or campaigns there are."""
    if what not in LISTS:
        raise UnknownName("list", what, LISTS)
    for line in LISTS[what]():
        typer.echo(line)


def _problems() -> Iterator[str]:
    """List the problems with their defaults."""
    from optbench import problems
    from optbench.problems import networks
    from optbench.records.record import batches

    for name in problems.names():
        problem = problems.get(name)
        points = batches(
            problem.points,
            problem.resample_every,
            problem.weights,
            problem.sampling,
            problem.march,
        )
        axes = problem.axes or range(problem.dim)
        waves = "".join(
            f", periodic in {axes[axis]} ({wave.period:g})"
            for axis, wave in problem.periodic.items()
        )
        sizes = (
            networks.describe(network, problem.inputs, problem.outputs)
            for network in problem.networks
        )
        yield (
            f"{name}: {problem.dim} inputs{waves}, order {problem.order}, {points}; "
            f"{', '.join(sizes)}"
        )
    yield "families posed in any dimension are there in others too: poisson_sine_3d"


def _optimizers() -> Iterator[str]:
    """List every optimizer with its hyperparameters' defaults, and the presets.

    The defaults come from one framework, for the twins have the same. Without any, the
    names are those with a search space, which every optimizer has.
    """
    import dataclasses
    import tomllib

    from optbench import implementations
    from optbench.campaign.presets import PRESETS, described
    from optbench.tuning.space import SHIPPED

    try:
        optimizers = implementations.load_any().OPTIMIZERS
    except implementations.FrameworkMissing:
        for name in tomllib.loads(SHIPPED.read_text(encoding="utf-8")):
            yield f"{name}: its hyperparameters are listed where torch or jax is installed"
    else:
        for name, optimizer in optimizers.items():
            defaults = dataclasses.asdict(optimizer())
            values = ", ".join(f"{field}={value!r}" for field, value in defaults.items())
            yield f"{name}: {values}"
    for name, stages in PRESETS.items():
        yield f"{name}: {described(stages)}"


def _networks() -> Iterator[str]:
    """List the paper's networks with their numbers of parameters."""
    from optbench import problems
    from optbench.problems import networks

    sizes: dict[str, list[str]] = {}
    for problem in map(problems.get, problems.names()):
        for network in problem.networks:
            count = networks.parameter_count(network, problem.inputs, problem.outputs)
            sizes.setdefault(network, []).append(f"D = {count:,} for {problem.name}")
    for network, counts in sizes.items():
        yield f"{network}: {', '.join(counts)}"
    yield "any activation, widths and depth make a name: sin_32_32_32"


def _campaigns() -> Iterator[str]:
    """List the campaigns that come with the repository."""
    from optbench.campaign import campaign

    for name, file in campaign.shipped().items():
        plan = campaign.read(file)
        description = plan.description or f"{len(plan.case)} cases"
        yield f"{name} {plan.version}: {description} ({file})"


LISTS: dict[str, Callable[[], Iterator[str]]] = {
    "problems": _problems,
    "optimizers": _optimizers,
    "networks": _networks,
    "campaigns": _campaigns,
}


def check(
    problem: Annotated[
        str,
        typer.Argument(
            help="<file>.py, with all its problems, <file>.py:<name>, or one of ours."
        ),
    ],
) -> None:
    """Check that a problem is consistent: its solution, data and points.

    Both frameworks must agree on it. There is a line for each check, then what is wrong, in
    words; exit code 1 where something is.
    """
    from optbench.campaign import problem_checks, quarantine
    from optbench.problems import own

    if own.is_own(problem):
        words = quarantine.examine(problem, problem_checks.CHECKS)
    else:
        words = problem_checks.of_name(problem)
    results: list[problem_checks.Result] = []
    count = 0

    def explain() -> None:
        for result in results:
            for issue in result.issues:
                typer.echo(f"{result.name}: {issue}")
        results.clear()

    try:
        for number, word in enumerate(words):
            if isinstance(word, problem_checks.Result):
                typer.echo(f"  {word}")
                results.append(word)
                count += len(word.issues)
            else:
                explain()
                typer.echo(("\n" if number else "") + word)
    finally:
        explain()
    if count:
        end(f"{count} issue{'s' if count > 1 else ''} in {problem}", 1)


def parity(
    problem: Annotated[
        list[str] | None,
        typer.Option(
            help="A problem, once for each; else all listed by `optbench list problems`."
        ),
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
        int, typer.Option(min=1, help="Points of the batch, of every other term.")
    ] = 20,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the initial parameters and the points.")
    ] = 0,
) -> None:
    """Certify that the twins match.

    Their measure is the largest relative difference of their parameters over a trajectory.
    Beside it stands the drift that a permutation of the points causes by rounding alone; a
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
        "others": boundary,
        "seed": seed,
    }
    problems.networks.parse(network)
    known = list(frameworks[0].OPTIMIZERS)
    cases = list(twins.cases(problem or problems.names(), optimizer or [], known, **fields))
    certificates = []
    for number, case in enumerate(cases, 1):
        typer.echo(
            f"[{number}/{len(cases)}] {case.problem.name} {case.optimizer}", err=True
        )
        try:
            certificates.append(twins.certify(case, frameworks))
        except FactorisationFailed as error:
            end(f"{case.problem.name}, {case.optimizer}: {error}", 1)
    typer.echo(twins.table(certificates))
    if not all(certificate.agrees for certificate in certificates):
        end("the twins do not agree", 1)


def baselines(
    problem: Annotated[
        list[str] | None, typer.Option(help="A problem, once for each; else all three.")
    ] = None,
    optimizer: Annotated[
        list[str] | None, typer.Option(help="A baseline, once for each; else all.")
    ] = None,
    framework: Annotated[
        list[str] | None, typer.Option(help="Once for each; if not given, all installed.")
    ] = None,
    gradients: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of a walk with a line search; the others have a share of them.",
        ),
    ] = 4000,
    seeds: Annotated[int, typer.Option(min=1, help="Starts with their points.")] = 5,
    rounds: Annotated[
        int, typer.Option(min=1, help="Walks of each that are timed, in turn.")
    ] = 15,
    out: Annotated[
        Path, typer.Option(help="Folder for the certificate, baselines.json.")
    ] = Path("results/local/baselines"),
) -> None:
    """Certify that our baselines are no weaker than what can be installed instead.

    Each walks beside others' implementations of its method, on the same objective, from the
    same start: losses after equal numbers of gradients, gradients to given losses, seconds
    per gradient. Exit code 1 where a baseline needs more than 1.25 times the gradients
    (BFGS 1.6), or where the interval of its times' ratio is all above 1.1. A certificate
    that is in the folder keeps what is not measured again.
    """
    from optbench import implementations
    from optbench.extras import EXTRAS, require
    from optbench.measure import certificate

    # whatever is wrong or missing is said before anything is measured
    frameworks = framework or implementations.installed() or implementations.FRAMEWORKS
    known: set[str] = set()
    for name in frameworks:
        if name not in implementations.FRAMEWORKS:
            raise UnknownName("framework", name, implementations.FRAMEWORKS)
        known |= set(implementations.load(name).OPTIMIZERS)
    jobs = certificate.chosen(problem or [], optimizer or [], frameworks)
    for baseline, _ in jobs:
        if baseline.optimizer not in known:
            raise UnknownName("optimizer", baseline.optimizer, sorted(known))
    if not certificate.packages(jobs).isdisjoint(EXTRAS["baselines"]):
        require("baselines")
    out.mkdir(parents=True, exist_ok=True)  # what cannot be kept is not measured
    say = partial(typer.echo, err=True)
    comparisons = certificate.run(jobs, gradients, seeds, rounds, say)
    made = certificate.made(list(comparisons))
    if (file := out / certificate.NAME).is_file():
        made = certificate.joined(certificate.read(file), made)
    typer.echo(certificate.table(made))
    typer.echo(f"written: {certificate.write(made, out)}")
    failures = list(certificate.failures(made))
    for line in failures:
        typer.echo(line)
    if failures:
        end(f"{len(failures)} of the claims on baselines do not hold", 1)


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
    points: Annotated[
        list[str] | None,
        typer.Option(help="Points of any term: initial=200; once for each."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Cores.")] = 1,
    seconds: Annotated[
        float, typer.Option(min=0, help="Measure for about so long, each framework.")
    ] = 10.0,
    unchecked: Annotated[
        bool,
        typer.Option(
            "--unchecked",
            help="Run a problem of your own that `optbench check` finds wrong.",
        ),
    ] = False,
) -> None:
    """Say where a step's time goes.

    Phases with their flops and rates, the line search, waits, compilation and memory.
    """
    from optbench import implementations
    from optbench.campaign import expansion, quarantine, single_run
    from optbench.measure import profile
    from optbench.measure.timed import Work
    from optbench.schedule.place import working

    quarantine.admit(quarantine.of_run(problem, optimizer), single_run.SOURCE, unchecked)
    named = framework or implementations.installed() or implementations.FRAMEWORKS
    say = partial(typer.echo, err=True)
    frameworks = working(named, lambda name, error: say(error))
    # a campaign of one run checks every name and value
    plan = single_run.campaign(
        problem=problem,
        network=network,
        optimizer=optimizer,
        framework=frameworks[0],
        settings=settings or [],
        interior=interior,
        boundary=boundary,
        points=points or [],
        steps=1,
    )
    (request,) = expansion.requests(plan, "profile", single_run.SOURCE)
    for name in frameworks:
        work = Work(
            framework=name,
            optimizer=optimizer,
            problem=problem,
            network=network,
            hyperparameters=request.hyperparameters,
            points=request.points,
        )
        typer.echo(profile.render(profile.alone(work, threads, seconds, say)) + "\n")
