"""`optbench verify`: check a folder of results as a stranger would, file by file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optbench.campaign import results_folder
from optbench.extras import Missing, explained
from optbench.implementations import FrameworkMissing
from optbench.verify.finding import Remark
from optbench.verify.folder_rules import RULES, check_index

if TYPE_CHECKING:
    from optbench.verify.rerun import Comparison


class Finding(NamedTuple):
    """What a rule found."""

    rule: str
    issues: list[str]  # one line each, with the file
    remark: str = ""
    skipped: bool = False  # in part or whole: the remark says why

    def __str__(self) -> str:
        """Say it in one line."""
        count = len(self.issues)
        verdict = "1 issue" if count == 1 else f"{count} issues" if count else "ok"
        if self.skipped:
            verdict = f"{verdict}, the rest not checked" if count else "not checked"
        return f"{self.rule:<10}  {verdict}{f' ({self.remark})' if self.remark else ''}"


def findings(
    folders: list[results_folder.Results],
    place: Path | None = None,
    leave_out: Iterable[str] = (),
) -> Iterator[Finding]:
    """Apply every rule to results, and one to the index of the place they are in.

    The rules to leave out are said not to be checked.
    """
    records = [record for results in folders for record in results.records.values()]
    for name, rule in RULES.items():
        if name in leave_out:
            yield Finding(name, [], "left out", skipped=True)
        else:
            lines = (line for results in folders for line in rule.issues(results))
            yield _finding(name, lines, rule.remark(records))
    if place is not None and (place / "README.md").is_file():
        yield _finding("index", check_index(place))


def _finding(name: str, lines: Iterable[str], remark: str = "") -> Finding:
    """Collect what a rule says; what it cannot check for want of a package is no issue."""
    issues: list[str] = []
    remarks = [remark] if remark else []
    try:
        with explained():
            for line in lines:
                (remarks if isinstance(line, Remark) else issues).append(line)
    except FrameworkMissing:
        return Finding(name, issues, "needs torch or jax", skipped=True)
    except Missing as missing:
        return Finding(name, issues, str(missing), skipped=True)
    return Finding(name, issues, "; ".join(remarks))


def repeated(
    folders: list[results_folder.Results],
    count: int,
    seed: int,
    tolerance: float,
    say: Callable[[str], None],
) -> Finding:
    """Do some runs again, and say how they differ."""
    from optbench.verify import rerun  # what runs is not needed to check files

    records = {
        file: record for results in folders for file, record in results.records.items()
    }
    drawn = rerun.draw(records, count, seed)
    done = list(rerun.repeat(drawn, tolerance, say))
    remark = f"{len(drawn)} repeated, {_largest(done)}, tolerance {tolerance:g}"
    elsewhere = [each.compared_to for each in done if each.compared_to is not None]
    if elsewhere:
        partly = [step for step in elsewhere if step < math.inf]
        remark += f"; {len(elsewhere)} of another class of machine, compared by steps"
        if partly:
            remark += (
                f", {len(partly)} of them from step {min(partly)} on within a factor of "
                "ten alone, for rounding grows too far"
            )
    issues = [f"{each.file}: {each.issue}" for each in done if each.issue]
    return Finding("rerun", issues, remark)


def _largest(done: list[Comparison]) -> str:
    """Give the largest difference of what could be compared, in words."""
    differences = [each.difference for each in done if each.difference == each.difference]
    return (
        f"largest relative difference {max(differences):.2g}"
        if differences
        else "none compared"
    )
