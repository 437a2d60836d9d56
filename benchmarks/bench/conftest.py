"""What `make bench` measures on: the cases of `quick.toml`, every framework, so many cores.

No `__init__.py` here: asv, whose environment has no pytest, would import it.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from optbench import problems
from optbench.campaign import campaign
from optbench.implementations import NAMES, FrameworkMissing
from optbench.measure.timed import Timed, Work
from optbench.problems.problem import INTERIOR
from optbench.records import cores, provenance

CASES = {case.problem: case for case in campaign.read(campaign.find("quick")).case}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer sizes other than the campaign's."""
    group = parser.getgroup("bench")
    group.addoption("--threads", type=int, default=1, help="cores")
    group.addoption("--network", help="if not given, the case's")
    group.addoption(
        "--interior", type=int, help="interior points; if not given, the problem's"
    )
    group.addoption(
        "--boundary", type=int, help="points of other terms; if not given, the problem's"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Pin the process before a framework is imported."""
    threads: Any = config.getoption("threads")
    cores.pin(threads)
    # PyTorch's own forward mode and Inductor call what it deprecates
    config.addinivalue_line("filterwarnings", "default")


def pytest_benchmark_generate_machine_info(config: pytest.Config) -> dict[str, Any]:
    """Describe the machine as records name it, by its hardware, and the versions."""
    known = {"machine", "cpu", "cores", "memory", "gpus", "system", "python", "packages"}
    return {"threads": config.getoption("threads")} | provenance.collect().model_dump(
        mode="json", include=known
    )


@pytest.fixture(params=NAMES)
def framework(request: pytest.FixtureRequest) -> str:
    """Name every way to run our optimizers."""
    return request.param


@pytest.fixture(params=CASES)
def problem(request: pytest.FixtureRequest) -> str:
    """Name the problems of `quick.toml`."""
    return request.param


@pytest.fixture(scope="session")
def timed(request: pytest.FixtureRequest) -> Callable[[str, str, str], Timed]:
    """Make the step of a framework, a problem and an optimizer, once.

    It skips where the framework is missing.
    """

    @cache
    def make(framework: str, problem: str, optimizer: str) -> Timed:
        case = CASES[problem]
        tables = case.optimizers or {}
        hyperparameters = (
            (tables[optimizer].model_extra or {}) if optimizer in tables else {}
        )
        network = request.config.getoption("network") or case.network
        options = {True: "interior", False: "boundary"}
        points = {
            term: request.config.getoption(options[term == INTERIOR]) or number
            for term, number in problems.get(problem).points.items()
        }
        try:
            return Timed(
                Work(framework, optimizer, problem, network, hyperparameters, points)
            )
        except FrameworkMissing as missing:
            pytest.skip(str(missing))

    return make
