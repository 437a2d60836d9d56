"""The numbers and names in docs/choose.md, each from a cell of a published table.

A cell in the page reads

    <!-- cell TABLE | ROWS | ORDER | COLUMN -->TEXT<!-- /cell -->

with the table as `campaign/name`, a pandas query that chooses its rows, the column that
they are sorted by, the smallest first, and the column whose value in the first row is the
text; a number has its format behind the column's name. Between

    <!-- families TABLE --> and <!-- /families -->

is a table of the best optimizer of each family on every case. `python
docs/made/choose_page.py` writes the texts and the table; a test fails where one is no longer
what the results say.
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from optbench import problems
from optbench.records import files

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
BLOCK = re.compile(r"(<!-- families (\S+) -->\n).*?(<!-- /families -->)", re.DOTALL)
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
    # as one writes it: 1.3e-8, and 1.1 for 1.1e+00
    return re.sub(r"e[+]00|(?<=e-)0", "", format(found, form)) if form else f"{found}"


def families(name: str) -> str:
    """Write the best optimizer of each family on every case, with its error, in JAX."""
    errors = table(name).query("framework == 'jax' and hyperparameters_from != 'paper'")
    rows = []
    for case, runs in errors.groupby("case", sort=False):
        problem = problems.get(runs["problem"].iloc[0])
        kind = "linear" if problem.affine else "nonlinear"
        row = {"case": f"{case}", "equation": f"order {problem.order}, {kind}"}
        least = runs["relative_l2"].min()
        for family, labels in FAMILIES.items():
            best = runs[runs["label"].isin(labels)].nsmallest(1, "relative_l2")
            for one in best.itertuples():
                error = format(one.relative_l2, ".1e").replace("e-0", "e-")
                error = f"**{error}**" if one.relative_l2 == least else error
                row[family] = f"{error} `{one.label}`"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–").to_markdown(index=False)


def written(page: str) -> str:
    """Fill a page's cells and tables."""
    page = BLOCK.sub(lambda found: f"{found[1]}{families(found[2])}\n{found[3]}", page)
    return CELL.sub(
        lambda found: (
            f"{found[1]}{value(*map(str.strip, found.group(2, 3, 4, 5)))}{found[7]}"
        ),
        page,
    )


if __name__ == "__main__":
    files.replace(PAGE, written(PAGE.read_text(encoding="utf-8")))
    print(f"wrote {PAGE.relative_to(ROOT)}")
