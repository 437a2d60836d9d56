"""Where a step's time goes, in both frameworks: `optbench profile`."""

import multiprocessing
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from tabulate import tabulate

from optbench.measure import flops
from optbench.measure.launches import Launches
from optbench.measure.timed import Timed, Work, medians, product, with_memory
from optbench.problems import networks
from optbench.records import cores

NEVER = 10**9  # an interval that no run reaches
BLOCK = 8  # steps that are also timed in one block, of which the last is waited for
WITHOUT = {
    "without acceleration": "acceleration",
    "without radii": "radii",
    "without search": "line search",
    "without sketch": "sketch",
    "without products": "products",
    "without inverses": "inverses",
    "without factors": "factors",
}


@dataclass(frozen=True)
class Phase:
    """A part of a step."""

    name: str
    seconds: float
    flops: (
        float | None
    )  # of matrix products and factorisations; None where there is no formula


@dataclass(frozen=True)
class Profile:
    """A step, taken apart."""

    work: Work
    parameters: int
    seconds: float  # a step, with its share of a sketch
    in_blocks: float  # seconds of a step of a block, and the same of a step by itself
    by_itself: float
    gradient: float  # seconds of the loss's gradient alone
    gradient_flops: float
    phases: list[Phase]
    square: int  # rows and columns of a large matrix
    rate: float  # flops per second of the product of two of them in this framework
    evaluations: int  # of the line search
    products: int  # G v, one per iteration of conjugate gradients
    reads: int  # waits for the device within a step
    gradient_launches: Launches
    launches: Launches  # of a step
    compile_seconds: float
    # bytes that steps hold over what the process held before, compilation left out
    memory: int


def alone(
    work: Work, threads: int, seconds: float, say: Callable[[str], None] = print
) -> Profile:
    """Measure in a process of its own: two frameworks' thread pools would share cores.

    `say` is told where other processes of ours are on them too.
    """
    context = multiprocessing.get_context("spawn")
    with (
        cores.claimed(threads, say) as claim,
        ProcessPoolExecutor(
            1, context, initializer=cores.pin_to, initargs=(claim.cores,)
        ) as pool,
    ):
        return pool.submit(measure, work, seconds).result()


def measure(work: Work, seconds: float) -> Profile:
    """Measure one framework's step: a phase is what is missing from a step without it."""
    timed, memory = with_memory(work)
    square = _square(timed)
    parts = medians(functions(timed, square), seconds)
    by_itself, rank, interval = parts["step"], 0, 1
    if "with sketch" in parts:
        optimizer: Any = timed.optimizer
        rank, interval = optimizer.rank, optimizer.sketch_interval
        parts["step"] = mean_step(parts, interval)
    evaluations = timed.evaluations()
    products = timed.products()
    counted = flops.phases(work, evaluations, max(products - 1, 0), rank, interval)
    phases = differences(parts)
    return Profile(
        work,
        parameters=networks.parameter_count(
            work.network, timed.problem.inputs, timed.problem.outputs
        ),
        seconds=parts["step"],
        in_blocks=parts["block"] / BLOCK,
        by_itself=by_itself,
        gradient=parts["gradient"],
        gradient_flops=counted["forward"] + counted["backward"],
        phases=[Phase(name, phases[name], counted.get(name)) for name in phases],
        square=square,
        rate=2 * square**3 / parts["product"],
        evaluations=evaluations,
        products=products,
        reads=timed.reads(),
        gradient_launches=timed.launches_of(timed.objective.gradient),
        launches=timed.launches(),
        compile_seconds=timed.compile_seconds,
        memory=memory,
    )


def _square(timed: Timed) -> int:
    """Choose the size of the matrices whose product is the machine's rate.

    A small one does not fill a GPU.
    """
    return 1024 if timed.framework.backend.device_name() == "cpu" else 8192


def functions(timed: Timed, rows: int) -> dict[str, Callable[[], None]]:
    """Make the step, its parts, and the step with less and less in it.

    First its acceleration and all but three of the radii that it looks at, its line search,
    or its sketch and then its products but one, are left out, then its inverses, then its
    factors. Where an optimizer computes J, so much alone is among them. A product of two
    large matrices of so many rows comes before.
    """
    parts: dict[str, Callable[[], None]] = {
        "product": product(timed.framework, rows),
        "forward": timed.function(timed.objective.loss),
        "gradient": timed.function(timed.objective.gradient),
        "step": timed,
        "block": timed.block(BLOCK),
    }
    if hasattr(timed.optimizer, "jacobian"):
        jacobian = partial(timed.optimizer.jacobian, timed.objective)
        parts["rows of J"] = timed.function(jacobian)
    known = {field.name for field in fields(timed.optimizer)}
    changes: dict[str, Any] = {}
    for name, field, value in (
        ("without acceleration", "acceleration", {"acceleration": 0.0}),
        ("without radii", "probes", {"probes": 3}),
        ("without search", "line_search", {"learning_rate": 1e-3}),
        ("without sketch", "sketch_interval", {"sketch_interval": NEVER}),
        ("without products", "cg_max_iterations", {"cg_max_iterations": 1}),
        ("without inverses", "inverse_interval", {"inverse_interval": NEVER}),
        ("without factors", "factor_interval", {"factor_interval": NEVER}),
    ):
        if field in known and getattr(timed.optimizer, field) != value.get(field):
            changes |= value
            parts[name] = timed.variant(**changes)
    if "sketch_interval" in known:  # the timed step is hardly ever one that makes a sketch
        parts["with sketch"] = timed.variant(sketch_interval=1)
    return parts


def mean_step(parts: Mapping[str, float], interval: int) -> float:
    """Give the seconds of a step on average, where one in an interval makes a sketch."""
    without = parts["without sketch"]
    return without + (parts["with sketch"] - without) / interval


def differences(parts: Mapping[str, float]) -> dict[str, float]:
    """Give the seconds of each phase, from those of steps with less and less in them."""
    phases = {"forward": parts["forward"], "backward": parts["gradient"] - parts["forward"]}
    left = parts["step"]
    for name, phase in WITHOUT.items():
        if name in parts:
            phases[phase], left = left - parts[name], parts[name]
    if "rows of J" in parts:
        del phases["forward"], phases["backward"]
        rows = parts["rows of J"]
        return {"rows of J": rows, **phases, "factorization and rest": left - rows}
    return phases | {"rest": left - parts["gradient"]}


def render(profile: Profile) -> str:
    """Render a profile as text."""
    work = profile.work
    rows = [
        (
            phase.name,
            f"{1e3 * phase.seconds:.2f}",
            f"{phase.seconds / profile.seconds:.0%}",
            f"{phase.flops / 1e6:,.0f}" if phase.flops else "–",
            f"{phase.flops / phase.seconds / profile.rate:.0%}"
            if phase.flops and phase.seconds > 0
            else "–",
        )
        for phase in profile.phases
    ]
    lines = [
        f"{work.framework}: {work.optimizer} on {work.problem}, {work.network} "
        f"(D = {profile.parameters:,})",
        tabulate(
            rows,
            ("phase", "ms", "share", "Mflop", "of the product's rate"),
            colalign=("left", *["right"] * 4),
        ),
        f"a step: {1e3 * profile.seconds:.2f} ms, "
        f"{profile.seconds / profile.gradient:.2f} times its gradient "
        f"({1e3 * profile.gradient:.2f} ms, "
        f"{profile.gradient_flops / profile.gradient / profile.rate:.0%} of the product's "
        "rate)",
        f"a step in a block of {BLOCK}: {1e3 * profile.in_blocks:.2f} ms; by itself "
        f"{1e3 * profile.by_itself:.2f} ms, of which "
        f"{max(0.0, 1 - profile.in_blocks / profile.by_itself):.0%} were waiting",
        f"a product of two {profile.square} × {profile.square} matrices: "
        f"{profile.rate / 1e9:.1f} Gflop/s",
        f"evaluations of the line search: {profile.evaluations}; "
        f"waits for the device within a step: {profile.reads}",
        f"launches: a gradient {_in_words(profile.gradient_launches)}, "
        f"a step {_in_words(profile.launches)}",
        f"first call, compilation included: {profile.compile_seconds:.2f} s; "
        f"memory of a step over the imports: {profile.memory / 1e6:,.0f} MB",
    ]
    spent = {phase.name: phase.seconds for phase in profile.phases}
    if profile.products > 1:
        seconds = spent["products"] / (profile.products - 1)
        lines.append(
            f"products G v within a step: {profile.products}, {1e3 * seconds:.2f} ms each, "
            f"{seconds / profile.gradient:.2f} times the gradient"
        )
    return "\n".join(lines)


def _in_words(launches: Launches) -> str:
    number, loops = launches
    more = f" (one iteration each of {loops} open loop{'s'[: loops > 1]})" if loops else ""
    return f"{number:,}{more}"
