"""`optbench verify`: check a folder of results as a stranger would, file by file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from optbench.campaign import results_folder
from optbench.extras import Missing, explained
from optbench.implementations import FrameworkMissing
from optbench.records.provenance import machine_class
from optbench.verify.folder_rules import RULES, Rule

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


def findings(folders: list[results_folder.Results]) -> Iterator[Finding]:
    """Apply every rule to results."""
    for name, rule in RULES.items():
        yield _finding(name, rule, folders)


def _finding(name: str, rule: Rule, folders: list[results_folder.Results]) -> Finding:
    """Apply a rule; what it cannot check for want of a package is said, and is no issue."""
    records = [record for results in folders for record in results.records.values()]
    issues: list[str] = []
    try:
        with explained():
            for results in folders:
                issues += rule.issues(results)
    except FrameworkMissing:
        return Finding(name, issues, "needs torch or jax", skipped=True)
    except Missing as missing:
        return Finding(name, issues, str(missing), skipped=True)
    return Finding(name, issues, rule.remark(records))


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
    elsewhere = sum(
        record.provenance.machine != machine_class() for record in drawn.values()
    )
    remark = f"{len(drawn)} repeated, {_largest(done)}, tolerance {tolerance:g}"
    if elsewhere:
        remark += (
            f"; {elsewhere} of another class of machine, whose differences are no issue"
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
