"""The numbers and names in docs/choose.md, each from a cell of a published table.

A cell in the page reads

    <!-- cell TABLE | ROWS | ORDER | COLUMN -->TEXT<!-- /cell -->

with the table as `campaign/name`, a pandas query that chooses its rows, the column that
they are sorted by, the smallest first, and the column whose value in the first row is the
text; a number has its format behind the column's name. Tables lie between
`<!-- families CAMPAIGN -->` and `<!-- /families -->`, and the same with `reliable`,
`soonest`, `frameworks` and `seeds`. `python docs/made/choose_page.py` writes the texts and
the tables; a test fails where one is no longer what the results say.
"""

import math
import re
from functools import cache
from pathlib import Path

import pandas as pd

from optbench import problems
from optbench.records import files
from optbench.report.soonest import number as ratio

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "choose.md"
FAMILIES = {
    "first order": ("sgd", "adam", "soap", "muon"),
    "quasi-Newton": (
        *("lbfgs", "lbfgs_wolfe", "adam_lbfgs"),
        *("bfgs", "ssbfgs", "ssbroyden", "adam_ssbroyden"),
    ),
    "curvature by products": ("hessian_free", "nystrom_newton", "adam_lbfgs_nystrom"),
    "blocks of the Gramian": ("kfac", "kfac_star", "engd_per_layer", "engd_diagonal"),
    "whole Gramian or Jacobian": (
        *("engd", "engd_woodbury", "spring"),
        *("levenberg_marquardt", "trust_region", "soap_trust_region"),
    ),
}
PAPERS = ", the paper's"  # a case with the hyperparameters that the paper recorded
NEAR, FIRST = 10, 10  # times the smallest error of a case; optimizers that are shown
BLOCK = re.compile(
    r"(<!-- (families|reliable|soonest|frameworks|seeds) (\S+) -->\n).*?(<!-- /\2 -->)",
    re.DOTALL,
)
CELL = re.compile(r"(<!-- cell ([^|]+)\|([^|]+)\|([^|]+)\|(.+?)-->)(.*?)(<!-- /cell -->)")


@cache
def table(name: str) -> pd.DataFrame:
    """Read a table of a campaign, on all machines."""
    campaign, _, which = name.partition("/")
    found = sorted(ROOT.glob(f"results/{campaign}/*/tables/{which}.csv"))
    if not found:
        raise FileNotFoundError(f"docs/choose.md: there is no table {name} in results")
    return pd.concat([pd.read_csv(file, skiprows=1) for file in found])


def value(name: str, rows: str, order: str, column: str) -> str:
    """Give the text of a cell.

    Raises ValueError where no row of the table is meant.
    """
    chosen = table(name).query(rows).sort_values(order, kind="stable")
    if chosen.empty:
        raise ValueError(f"docs/choose.md: {name} has no rows where {rows}")
    column, _, form = column.partition(" ")
    found = chosen[column].iloc[0]
    return number(found, form) if form else f"{found}"


def cases(campaign: str) -> dict[str, pd.DataFrame]:
    """Give the errors in JAX by case, the paper's hyperparameters left out."""
    errors = table(f"{campaign}/errors").query("framework == 'jax'")
    by_case = errors.groupby("case", sort=False)
    return {f"{case}": runs for case, runs in by_case if not f"{case}".endswith(PAPERS)}


def families(campaign: str) -> str:
    """Write which optimizer of each family came closest on every case, and how close."""
    rows = []
    for case, runs in cases(campaign).items():
        problem = problems.get(runs["problem"].iloc[0])
        kind = "linear" if problem.affine else "nonlinear"
        row = {"case": case, "equation": f"order {problem.order}, {kind}"}
        for family, labels in FAMILIES.items():
            finished = runs[runs["label"].isin(labels)].dropna(subset=["relative_l2"])
            best = finished.nsmallest(1, "relative_l2")
            for one in best.itertuples():
                error = number(one.relative_l2, ".1e")
                least = one.relative_l2 == runs["relative_l2"].min()
                row[family] = f"{f'**{error}**' if least else error} `{one.label}`"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–").to_markdown(index=False)


def reliable(campaign: str) -> str:
    """Write which optimizers are mostly near the best one, the first FIRST of them."""
    by_label = {case: runs.set_index("label") for case, runs in cases(campaign).items()}
    ratios = pd.DataFrame(
        {
            case: its["relative_l2"] / its["relative_l2"].min()
            for case, its in by_label.items()
        }
    ).fillna(math.inf)  # no run that finished
    reach = pd.DataFrame(
        {case: its["low"] <= its["relative_l2"].min() for case, its in by_label.items()}
    ).fillna(value=False)  # below five seeds there is no interval
    near, median = (ratios <= NEAR).sum(axis=1), ratios.median(axis=1)
    order = pd.DataFrame({"near": -near, "median": median}).sort_values(["near", "median"])
    rows = [
        {
            "optimizer": f"`{label}`",
            "cases on which it is best": (ratios.loc[label] == 1).sum(),
            "is best, or its interval reaches the best's error": (
                (ratios.loc[label] == 1) | reach.loc[label]
            ).sum(),
            f"is within {NEAR} times the best's error": near[label],
            "its error over the best's, in the median": ratio(median[label]),
        }
        for label in order.index[:FIRST]
    ]
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def soonest(campaign: str) -> str:
    """Write which optimizer was soonest at each error on every case, and its seconds."""
    times = table(f"{campaign}/targets_seconds").query("framework == 'jax'")
    times = times[times["seconds"].notna()]
    rows = []
    for case in cases(campaign):
        row = {"case": case}
        for target, runs in times[times["case"] == case].groupby("target", sort=False):
            for one in runs.nsmallest(1, "seconds").itertuples():
                row[number(target, ".0e")] = f"`{one.label}` {one.seconds:.2g} s"
        rows.append(row)
    return pd.DataFrame(rows).fillna("none").to_markdown(index=False)


def frameworks(campaign: str) -> str:
    """Write how long a step takes in PyTorch over JAX, on every case that both ran."""
    ratios = table(f"{campaign}/frameworks").query("what == 'seconds a step'")
    rows = []
    for case, pairs in ratios.groupby("case", sort=False):
        ends = pairs.nsmallest(1, "ratio"), pairs.nlargest(1, "ratio")
        least, most = (next(end.itertuples()) for end in ends)
        rows.append(
            {
                "case": f"{case}",
                "optimizers": len(pairs),
                "median": f"{pairs['ratio'].median():.1f}",
                "smallest": f"{least.ratio:.1f} `{least.label}`",
                "largest": f"{most.ratio:.1f} `{most.label}`",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def seeds(campaign: str) -> str:
    """Write how far an optimizer's quartiles over seeds lie apart, over all its cases."""
    errors = table(f"{campaign}/errors").query("framework == 'jax' and runs > 1")
    errors = errors.assign(ratio=errors["relative_l2_q75"] / errors["relative_l2_q25"])
    rows = []
    for label, runs in errors.groupby("label"):
        most = next(runs.nlargest(1, "ratio").itertuples())
        row = {"optimizer": f"`{label}`", "cases": len(runs)}
        row |= {"median": ratio(runs["ratio"].median())}
        rows.append(row | {"largest": f"{ratio(most.ratio)} ({most.case})"})
    rows.sort(key=lambda row: (-row["cases"], row["optimizer"]))
    return pd.DataFrame(rows[:FIRST]).to_markdown(index=False, disable_numparse=True)


def number(value: float, form: str) -> str:
    """Write a number as one does: 1.3e-8, and 1.1 for 1.1e+00."""
    return re.sub(r"e[+]00|(?<=e-)0", "", format(value, form))


def written(page: str) -> str:
    """Fill a page's cells and tables."""
    functions = families, reliable, soonest, frameworks, seeds
    tables = {function.__name__: function for function in functions}
    page = BLOCK.sub(lambda it: f"{it[1]}{tables[it[2]](it[3])}\n{it[4]}", page)
    return CELL.sub(
        lambda found: (
            f"{found[1]}{value(*map(str.strip, found.group(2, 3, 4, 5)))}{found[7]}"
        ),
        page,
    )


if __name__ == "__main__":
    files.replace(PAGE, written(PAGE.read_text(encoding="utf-8")))
    print(f"wrote {PAGE.relative_to(ROOT)}")
