"""The tables of docs/methods/baselines.md: who is beside whom, and what was measured.

`python docs/made/baselines_page.py` writes them into the page, whose prose is written by
hand, from the suite's list of baselines, the certificates in `results/`, and what `make
peers` has written there.
"""

import re
from pathlib import Path

from tabulate import tabulate

from optbench.measure import certificate
from optbench.measure.baselines import BASELINES
from optbench.records import files, plain_text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "methods" / "baselines.md"
PEERS = "results/peers/*/peers.md"
CERTIFICATES = f"results/*/*/{certificate.NAME}"
BLOCK = re.compile(
    r"(?P<start><!-- (?P<name>\w+) -->\n).*?(?=<!-- /(?P=name) -->)", re.DOTALL
)


def compared() -> str:
    """Write the table of all baselines and their rivals."""
    rows = [
        {
            "ours": f"`{baseline.optimizer}`",
            "framework": baseline.framework,
            "hyperparameters of both": ", ".join(
                [
                    *(f"{key} {value}" for key, value in baseline.hyperparameters.items()),
                    *(f"{key} {value} (ours)" for key, value in baseline.ours.items()),
                ]
            ),
            "beside": "; ".join(rival.name for rival in baseline.rivals),
            "counted": baseline.counts,
            "allowed": f"{baseline.allowed:g}",
        }
        for baseline in BASELINES
    ]
    return f"{_markdown(rows)}\n"


def measured(root: Path = ROOT) -> str:
    """Write the table of every certificate, one part for each problem."""
    parts = []
    for file in sorted(root.glob(CERTIFICATES)):
        kept = certificate.read(file)
        parts.append(f"### {kept.machine}\n\n{certificate.caption(kept)}\n")
        for problem, rows in certificate.shown(kept).groupby("problem", sort=False):
            rest = rows.drop(columns="problem").to_dict("records")
            parts.append(f"**`{problem}`**\n\n{_markdown(rest)}\n")
    return "\n".join(parts) or (
        "`results/` has no certificate: `optbench baselines` makes one.\n"
    )


def peers(root: Path = ROOT) -> str:
    """Give the tables of `make peers`, one for each machine."""
    tables = [file.read_text(encoding="utf-8") for file in sorted(root.glob(PEERS))]
    return "\n".join(tables) or "`results/` has no such table: `make peers` makes one.\n"


def written(page: str, root: Path = ROOT) -> str:
    """Write the tables into the page."""
    made = {"compared": compared(), "measured": measured(root), "peers": peers(root)}
    return BLOCK.sub(lambda block: f"{block['start']}\n{made[block['name']]}\n", page)


def _markdown(rows: list[dict[str, str]]) -> str:
    cells = [
        {
            name: cell if cell.startswith("`") else plain_text.markdown(cell)
            for name, cell in row.items()
        }
        for row in rows
    ]
    return tabulate(cells, headers="keys", tablefmt="pipe", disable_numparse=True)


if __name__ == "__main__":
    text = written(PAGE.read_text(encoding="utf-8"))
    files.replace(PAGE, text.encode())
