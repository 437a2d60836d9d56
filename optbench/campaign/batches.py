"""The batches that a campaign asks for, spelled out and checked against the problem."""

from collections.abc import Sequence
from typing import Any

from optbench.campaign.campaign import Table
from optbench.campaign.errors import CampaignError, Where
from optbench.problems.boxes import TIME
from optbench.problems.problem import Problem


def spelled_out(
    problem: Problem, levels: Sequence[tuple[Where, Table]], source: str
) -> dict[str, Any]:
    """Give the points, weights, sampling, march and redraws of a run's batches.

    `levels` are the tables that may say something with their places in the file, the
    innermost first: the first that has a key says all of it, but for terms that it does not
    name, which have the problem's defaults. Raises CampaignError, one line, for a term that
    the problem has not, and for a sampling or a march that its terms do not allow.
    """
    batches = _Batches(problem, levels, source)
    points = problem.points | batches.by_term("points")
    weights = problem.weights | batches.by_term("weights")
    all_are_1 = {*weights.values(), *problem.weights.values()} == {1.0}
    return {
        "points": points,
        "weights": {} if all_are_1 else weights,
        "sampling": batches.sampling(),
        "march": batches.march(),
        "resample_every": batches.said("resample_every", problem.resample_every)[1],
    }


class _Batches:
    """What the levels of a file say of a problem's batches."""

    def __init__(
        self, problem: Problem, levels: Sequence[tuple[Where, Table]], source: str
    ) -> None:
        self.problem, self.levels, self.source = problem, levels, source
        self.name = problem.name

    def said(self, key: str, default: Any) -> tuple[Where, Any]:
        """Give the innermost value of a key, and where it stands."""
        for where, table in self.levels:
            if (value := getattr(table, key)) is not None:
                return (*where, key), value
        return (key,), default

    def by_term(self, key: str) -> dict[str, Any]:
        """Give values by the names of terms, all of which the problem has."""
        where, values = self.said(key, {})
        for term, value in values.items():
            if term not in self.problem.terms:
                message = (
                    f"{self.name} has no such term: it has {', '.join(self.problem.terms)}"
                )
                raise CampaignError(self.source, (*where, term), message, value=value)
        return values

    def sampling(self) -> str:
        """Give the way of drawing points, which a term without a region does not leave."""
        where, sampling = self.said("sampling", self.problem.sampling)
        for name, term in self.problem.terms.items():
            if sampling == "sobol" and (term.region is None or term.target is None):
                self._refuse(where, sampling, name, "region")
        return sampling

    def march(self) -> int:
        """Give the steps of a march in time, which needs a time and targets anywhere."""
        where, march = self.said("march", self.problem.march)
        if march and self.problem.axes[:1] != (TIME,):
            message = f"must be 0: the first input of {self.name} is not called {TIME!r}"
            raise CampaignError(self.source, where, message, value=march)
        for name, term in self.problem.terms.items():
            if march and term.target is None:
                self._refuse(where, march, name, "target")
        return march

    def _refuse(self, where: Where, value: Any, term: str, missing: str) -> None:
        message = (
            f"the term {term} of {self.name} has no {missing}: make it by "
            "Term.of(operator, region, target)"
        )
        raise CampaignError(self.source, where, message, value=value)
