"""What every problem must satisfy, ours and a user's: `optbench check`.

A check is a function that gives issues: what it finds wrong, a line each, in words.
"""

import traceback
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from optbench import problems
from optbench.campaign.checks.form import fields, operators, shapes
from optbench.campaign.checks.mathematics import data, periodicity, reference, solution
from optbench.campaign.checks.points import boundary, domain, norm, randomness
from optbench.campaign.checks.twins import frameworks
from optbench.extras import Missing
from optbench.problems import own
from optbench.problems.problem import Problem

Check = Callable[[Problem], Iterator[str]]

CHECKS: dict[str, Check] = {
    "fields": fields,
    "shapes": shapes,
    "domain": domain,
    "boundary": boundary,
    "solution": solution,
    "data": data,
    "periodicity": periodicity,
    "norm": norm,
    "randomness": randomness,
    "operators": operators,
    "frameworks": frameworks,
    "reference": reference,
}
FIRST = ("fields", "shapes")


class Result(NamedTuple):
    """What a check found."""

    name: str
    issues: list[str]
    skipped: bool = False
    remark: str = ""

    def __str__(self) -> str:
        """One line."""
        count = len(self.issues)
        verdict = (
            "not checked"
            if self.skipped
            else "ok"
            if not count
            else f"{count} issue{'s'[: count > 1]}"
        )
        return f"{self.name:<11} {verdict}{f' ({self.remark})' if self.remark else ''}"


def named(name: str) -> list[Problem]:
    """Find the problem of a name, or all of a file's. Raises InvalidName."""
    if own.is_own(name) and not own.split(name)[1]:
        return list(own.members(own.split(name)[0], "problem", problems.defined).values())
    return [problems.get(name)]


def of_name(name: str) -> Iterator[str | Result]:
    """Give the name of each problem that a name is of, then its results."""
    for problem in named(name):
        yield problem.name
        yield from check(problem)


def check(
    problem: Problem,
    names: Collection[str] | None = None,
    begin: Callable[[str], None] = lambda name: None,
) -> Iterator[Result]:
    """Give the results of the checks of some names, or of all; `begin` is told of each.

    After a wrong shape the other checks are skipped: they would say the same again.
    """
    sound = True
    for name, of in CHECKS.items():
        if names is not None and name not in names:
            continue
        if not sound and name not in FIRST:
            yield Result(name, [], skipped=True)
            continue
        begin(name)
        issues, remark = [], ""
        try:
            issues.extend(issues_of(of, problem))  # keeps those before an error
        except Missing as missing:
            remark = str(missing)
        yield Result(name, issues, skipped=bool(remark and not issues), remark=remark)
        sound = sound and not (issues and name in FIRST)


def issues_of(of: Check, problem: Problem) -> Iterator[str]:
    """Give a check's issues; an exception in the problem's own functions is one."""
    try:
        yield from of(problem)
    except Missing:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}, line {frame.lineno}"
        yield f"{type(error).__name__} in {where}: {own.shortened(str(error))}"
