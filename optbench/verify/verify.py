"""`optbench verify`: check a folder of results as a stranger would, and say what is wrong, file by file."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from optbench.campaign import results_folder
from optbench.extras import Missing, explained
from optbench.records.provenance import machine_class
from optbench.verify import rerun
from optbench.verify.folder_rules import RULES


class Finding(NamedTuple):
    """What a rule found."""

    rule: str
    problems: list[str]  # a line each, with the file
    remark: str = ""
    skipped: bool = False

    def __str__(self) -> str:
        """One line."""
        count = len(self.problems)
        verdict = "ok" if not count else "1 problem" if count == 1 else f"{count} problems"
        if self.skipped:
            verdict = "not checked"
        return f"{self.rule:<10}  {verdict}{f' ({self.remark})' if self.remark else ''}"


def findings(found: list[results_folder.Results]) -> Iterator[Finding]:
    """Ask every rule what it finds in results; what needs a missing package is skipped."""
    records = [record for results in found for record in results.records.values()]
    for name, rule in RULES.items():
        problems, remark, skipped = [], rule.remark(records), False
        for results in found:
            try:
                with explained():
                    problems += rule.problems(results)
            except Missing as missing:
                remark, skipped = str(missing), True
        yield Finding(name, problems, remark, skipped and not problems)


def repeated(
    found: list[results_folder.Results],
    count: int,
    seed: int,
    tolerance: float,
    say: Callable[[str], None],
) -> Finding:
    """What comes of doing runs again."""
    records = {
        file: record for results in found for file, record in results.records.items()
    }
    drawn = rerun.draw(records, count, seed)
    done = list(rerun.repeat(drawn, tolerance, say))
    elsewhere = sum(
        record.provenance.machine != machine_class() for record in drawn.values()
    )
    remark = f"{len(drawn)} repeated, {_largest(done)}, tolerance {tolerance:g}"
    if elsewhere:
        remark += (
            f"; {elsewhere} of another class of machine, whose differences are no problem"
        )
    return Finding(
        "rerun", [f"{each.file}: {each.problem}" for each in done if each.problem], remark
    )


def _largest(done: list[rerun.Comparison]) -> str:
    """The largest difference in words; of what could be compared."""
    differences = [each.difference for each in done if each.difference == each.difference]
    return (
        f"largest relative difference {max(differences):.2g}"
        if differences
        else "none compared"
    )
