"""Every figure is drawn again from the records and compared.

The same records and libraries give the same bytes. A figure says which Matplotlib drew it:
one of another version is not compared, and that is said.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from optbench.campaign.results_folder import Results, in_order
from optbench.verify.finding import Remark

FIGURES, PAGE = "figures", "report.html"  # as `optbench report` names them
DRAWN_BY = re.compile(rb"Matplotlib v(?:ersion)? ?([0-9][0-9A-Za-z.+-]*[0-9A-Za-z])")


def check(results: Results) -> Iterator[str]:
    """Check that a folder's figures are those that the records give, and no others."""
    there = {
        file
        for suffix in ("png", "svg", "pdf")
        for place in (results.folder, results.folder / FIGURES)
        for file in place.glob(f"*.{suffix}")
    }
    if results.is_tuning or not (there or _has_report(results)) or results.unreadable:
        return  # there is none, or nobody can say of what
    with tempfile.TemporaryDirectory() as scratch:
        drawn = {
            results.folder / file.relative_to(scratch): file.read_bytes()
            for file in _draw(results, Path(scratch))
        }
    yield from (f"{file} is missing" for file in sorted(drawn.keys() - there))
    yield from (
        f"{file}: no figure of these records" for file in sorted(there - set(drawn))
    )
    yield from _compared({file: drawn[file] for file in sorted(there & drawn.keys())})


def _compared(drawn: dict[Path, bytes]) -> Iterator[str]:
    """Compare figures with those drawn again, by the version of Matplotlib."""
    by_version: dict[str, list[Path]] = defaultdict(list)
    own = ""
    for file, content in drawn.items():
        own = _version(content)
        by_version[_version(file.read_bytes())].append(file)
    for version, files in by_version.items():
        if version == own:
            yield from (
                f"{file} is not what the records give"
                for file in files
                if not _same(file.read_bytes(), drawn[file])
            )
        elif len(by_version) > 1:  # `optbench report` draws all at once
            yield from (
                f"{file} was drawn by Matplotlib {version}, and others were not"
                for file in files
            )
        else:
            yield Remark(
                f"{len(files)} figures in {files[0].parent} not compared: drawn by "
                f"Matplotlib {version}, and {own} is installed"
            )


def _same(one: bytes, other: bytes) -> bool:
    return one == other or one.replace(b"\r\n", b"\n") == other


def _version(content: bytes) -> str:
    found = DRAWN_BY.search(content)
    return found[1].decode() if found else "unknown"


def _has_report(results: Results) -> bool:
    return (results.folder / PAGE).exists()


def _draw(results: Results, folder: Path) -> list[Path]:
    """Draw what `optbench run`, `report` and `scale` draw, where they did."""
    from optbench.measure import scale
    from optbench.records.frames import from_records
    from optbench.report import curves, figures, tables

    records = in_order(results)
    if not records:
        return []
    frames = from_records(records)
    drawn = curves.draw(frames, folder)
    if _has_report(results):
        (folder / FIGURES).mkdir()
        made = tables.make(frames, records)
        drawn += figures.make(frames, records, made, folder / FIGURES)
    if (results.folder / scale.TABLES[0]).is_file():
        drawn += scale.draw(list(results.records.values()), folder)
    return drawn
