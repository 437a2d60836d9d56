"""The numbers and names in docs/choose.md, each from a cell of a published table.

A cell in the page reads

    <!-- cell TABLE | ROWS | ORDER | COLUMN -->TEXT<!-- /cell -->

with the table as `campaign/name`, a pandas query that chooses its rows, the column that
they are sorted by, the smallest first, and the column whose value in the first row is the
text; a number has its format behind the column's name. `python docs/made/choose_page.py`
writes the texts; a test fails where one is no longer what its table says.
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from optbench.records import files

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "choose.md"
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


def written(page: str) -> str:
    """Fill a page's cells."""
    return CELL.sub(
        lambda found: (
            f"{found[1]}{value(*map(str.strip, found.group(2, 3, 4, 5)))}{found[7]}"
        ),
        page,
    )


if __name__ == "__main__":
    files.replace(PAGE, written(PAGE.read_text(encoding="utf-8")))
    print(f"wrote {PAGE.relative_to(ROOT)}")
