"""What there is: problems, optimizers, networks, campaigns, a line each."""

import dataclasses
import tomllib
from collections.abc import Callable, Iterator

from optbench import implementations, problems
from optbench.campaign import campaign
from optbench.campaign.presets import PRESETS, described
from optbench.problems import networks
from optbench.records.record import batches
from optbench.tuning.space import SHIPPED


def published_problems() -> Iterator[str]:
    """The paper's problems with their defaults."""
    for name in problems.names():
        problem = problems.get(name)
        points = batches(
            problem.interior_points, problem.boundary_points, problem.resample_every
        )
        described = (
            networks.describe(network, problem.dim, problem.outputs)
            for network in problem.networks
        )
        yield f"{name}: {problem.dim} inputs, {points}; {', '.join(described)}"
    yield "every family is there in other dimensions too: poisson_sine_3d"


def optimizers() -> Iterator[str]:
    """List every optimizer with its hyperparameters' defaults, and the presets.

    Defaults come from one framework, for the twins have the same. Without any, the names
    are those with a search space, which every optimizer has.
    """
    installed = implementations.installed()
    if not installed:
        for name in tomllib.loads(SHIPPED.read_text(encoding="utf-8")):
            yield f"{name}: its hyperparameters are listed where torch or jax is installed"
    else:
        for name, optimizer in implementations.load(installed[-1]).OPTIMIZERS.items():
            defaults = dataclasses.asdict(optimizer())
            values = ", ".join(f"{field}={value!r}" for field, value in defaults.items())
            yield f"{name}: {values}"
    for name, stages in PRESETS.items():
        yield f"{name}: {described(stages)}"


def paper_networks() -> Iterator[str]:
    """The paper's networks with their parameter counts."""
    cases: dict[str, list[str]] = {}
    for problem in map(problems.get, problems.names()):
        for network in problem.networks:
            count = networks.parameter_count(network, problem.dim, problem.outputs)
            cases.setdefault(network, []).append(f"D = {count:,} for {problem.name}")
    for network, counts in cases.items():
        yield f"{network}: {', '.join(counts)}"
    yield "any activation, widths and depth make a name: sin_32_32_32"


def campaigns() -> Iterator[str]:
    """The campaigns that come with the repository."""
    for name, file in campaign.shipped().items():
        found = campaign.read(file)
        yield f"{name} {found.version}: {found.description or f'{len(found.case)} cases'} ({file})"


LISTINGS: dict[str, Callable[[], Iterator[str]]] = {
    "problems": published_problems,
    "optimizers": optimizers,
    "networks": paper_networks,
    "campaigns": campaigns,
}
