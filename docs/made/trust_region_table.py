"""What the trust region reaches: the table of docs/methods/gauss_newton.md.

`python docs/made/trust_region_table.py` writes it into the page, from results/trust_region.
"""

import re
from pathlib import Path
from statistics import median

from optbench import problems
from optbench.problems import networks
from optbench.records import files, store
from optbench.records.record import Record
from optbench.report import against_others

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods" / "gauss_newton.md"
BLOCK = re.compile(r"(?<=<!-- reached -->\n).*?(?=<!-- /reached -->)", re.DOTALL)
OURS = {"target": 0.15, "probes": 24, "acceleration": 0.5}  # what is not said of a row


def recorded() -> list[Record]:
    """Read the campaign's runs."""
    return [record for _, record in store.records(ROOT / "results" / "trust_region")]


def table(records: list[Record]) -> str:
    """Write a row for each problem and framework, with the errors of all seeds."""
    lines = [
        "| problem | network | steps | settings | framework | median relative L2 "
        "| all seeds | the smallest published elsewhere |",
        "|---|---|--:|---|---|--:|---|---|",
    ]
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        key = record.request.problem, record.request.framework
        groups.setdefault(key, []).append(record)
    theirs = against_others.smallest(against_others.published())
    for name in problems.names():
        for framework in ("jax", "torch"):
            runs = groups.get((name, framework))
            if not runs:
                continue
            request, problem = runs[0].request, problems.get(name)
            errors = sorted(run.relative_l2 for run in runs)
            settings = ", ".join(
                f"`{field} = {request.hyperparameters[field]:g}`"
                for field, usual in OURS.items()
                if request.hyperparameters[field] != usual
            )
            network = networks.describe(request.network, problem.inputs, problem.outputs)
            lines.append(
                f"| [`{name}`](../gallery.md#{name}) | {network} | {request.steps} "
                f"| {settings} | {framework} | {median(errors):.1e} "
                f"| {', '.join(f'{error:.1e}' for error in errors)} "
                f"| {against_others.in_words(theirs[theirs['problem'] == name])} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Write the table into the page."""
    text = PAGE.read_text(encoding="utf-8")
    made = BLOCK.sub(lambda _: f"\n{table(recorded())}\n\n", text)
    files.replace(PAGE, made)
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
