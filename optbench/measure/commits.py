"""How a commit is driven: where its packages are, and what it has no method for.

What measures is this clone's `optbench`; what is measured are the commit's `problems` and
`implementations`, which asv or `optbench regressions` laid beside it. What such a commit
spells in another way than this one is known here alone. Nothing of the commit is imported
before a function needs it, so that `find` can be called first.
"""

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from inspect import signature
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import optbench

if TYPE_CHECKING:
    from optbench.implementations import Framework
    from optbench.problems.problem import Batch, Problem

PACKAGE = "optbench."
MEASURED = ("optbench.problems", "optbench.implementations")


class TopLevelNames(MetaPathFinder, Loader):
    """Imports `optbench.problems.x` as the module `problems.x`: one object with two names.

    Commits from before both packages moved into `optbench` import one another by the
    top-level names, which they must go on finding.
    """

    def __init__(self) -> None:
        self.specifications: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self, name: str, path: object = None, target: object = None
    ) -> ModuleSpec | None:
        """Answer for the two packages and what is in them."""
        if name in MEASURED or name.startswith(
            tuple(f"{package}." for package in MEASURED)
        ):
            return ModuleSpec(name, self)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Import the module by its top-level name."""
        module = import_module(spec.name.removeprefix(PACKAGE))
        self.specifications[spec.name] = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is, with the specification that it was imported by."""
        module.__spec__ = self.specifications[f"{PACKAGE}{module.__name__}"]


def find(installed: Collection[str] | None = None) -> None:
    """Let `optbench.problems` and `optbench.implementations` be the commit's.

    They are looked for in the folders of the `optbench` that asv installed, and beside them
    where that is a clone; where none are named, in the `optbench` that runs. A commit from
    before both moved into `optbench` has them by top-level names. To be called before
    anything of the commit is imported.
    """
    if installed is not None:
        ours = str(Path(__file__).parents[1])
        beside = (str(Path(folder).parent) for folder in installed)
        places = [
            place for place in (*installed, *beside) if Path(place, "problems").is_dir()
        ]
        optbench.__path__ = [ours, *places]
    if PathFinder.find_spec(MEASURED[0], optbench.__path__) is None:
        sys.meta_path.insert(0, TopLevelNames())


def has_two_terms(problem: Any) -> bool:
    """Tell whether a commit's problems have an interior and a boundary, and no more.

    Such a commit draws a pair, gives a pair of losses, and knows nothing of a network but
    its activation.
    """
    return not hasattr(problem, "terms")


def points(problem: Any) -> dict[str, int]:
    """Give the default number of points of every term, by its name."""
    if has_two_terms(problem):
        return {"interior": problem.interior_points, "boundary": problem.boundary_points}
    return problem.points


def inputs(problem: Any) -> int:
    """Count the numbers that a network sees of a point."""
    return problem.dim if has_two_terms(problem) else problem.inputs


def batch(problem: Any, seed: int, points: Mapping[str, int]) -> "Batch":
    """Draw the first batch of a run with this seed, so many points of every term."""
    from optbench.problems import seeds

    if has_two_terms(problem):
        two: Any = seeds.batch
        return two(problem, seed, 0, **points)
    return seeds.batch(problem, seed, 0, points)


def each_term(function: Callable[..., Any], batch: Any) -> Any:
    """Apply a function of (x, y) to every term of a batch, which stays of its kind."""
    if isinstance(batch, Mapping):
        return {name: function(*pair) for name, pair in batch.items()}
    return type(batch)(*(function(*pair) for pair in batch))


def objective(
    framework: "Framework", problem: "Problem", network: str, seed: int = 0
) -> Any:
    """Make the objective of a problem for a network; the seed is the run's."""
    from optbench.problems import networks

    if has_two_terms(problem):
        return framework.Objective(problem, networks.parse(network).activation)
    return framework.Objective(problem, network, seed)


def loss(framework: "Framework", losses: Any) -> float:
    """Sum the losses of the terms."""
    terms = losses.terms.values() if hasattr(losses, "terms") else losses
    return sum(float(framework.backend.to_numpy(term)) for term in terms)


class Additions:
    """What every optimizer can be asked today, for those of commits that could not be."""

    def counters(self, state: Any) -> dict[str, Any]:
        """Give what the state of the search counts, as far as the commit counts it."""
        search = getattr(state, "search", None)
        names = ("stalls", "evaluations", "iterations")
        return {name: getattr(search, name) for name in names if hasattr(search, name)}

    def working(self, objective: Any, params: Any, batch: Any) -> int:
        """Foresee no working matrices."""
        return 0


class WithoutObjective:
    """An optimizer of a commit that foresees its working matrices without an objective."""

    def working(self, objective: Any, params: Any, batch: Any) -> int:
        """Foresee them."""
        foreseeing: Any = super()
        return foreseeing.working(params, batch)


def optimizer(framework: "Framework", name: str, hyperparameters: Any) -> Any:
    """Make an optimizer by its name, with the methods that the commit's class may lack."""
    kind = framework.OPTIMIZERS.get(name)
    if kind is None:  # in a file of the user's own, which not every commit reads
        from optbench.implementations import lookup

        kind = lookup.optimizer(framework, name)
    if not all(hasattr(kind, method) for method in ("counters", "working")):
        kind = type(kind.__name__, (kind, Additions), {})
    if "objective" not in signature(kind.working).parameters:
        kind = type(kind.__name__, (WithoutObjective, kind), {})
    return kind(**hyperparameters)


def stalled() -> tuple[type[Exception], ...]:
    """Give what the commit's optimizers raise where nothing moves any more, if anything."""
    from optbench.implementations import failures

    kind = getattr(failures, "Stalled", None)
    return (kind,) if kind else ()


def foresees(backend: Any) -> bool:
    """Tell whether the commit's backend knows how much memory is free."""
    return hasattr(backend, "free_memory")


def peaks(backend: Any) -> bool:
    """Tell whether the commit's backend measures a peak of memory."""
    return hasattr(backend, "reset_peak_memory")


def reads(backend: Any) -> int:
    """Count how often numbers were read from the device so far."""
    return backend.reads


def uncounted(backend: Any, optimizer: Any, state: Any) -> set[str]:
    """Name the counts of a step that the commit does not keep: their zero means nothing.

    An optimizer searches where its state has a search or its learning rate is None.
    """
    names = set() if hasattr(backend, "reads") else {"host_reads"}
    searches = (
        getattr(state, "search", None) is not None
        or getattr(optimizer, "learning_rate", 0.0) is None
    )
    if searches and "evaluations" not in optimizer.counters(state):
        names.add("line_search_evaluations")
    return names
