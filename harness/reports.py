"""`optbench report`: everything that is published of a campaign, made again from its raw records alone."""

from collections.abc import Iterator
from pathlib import Path

from harness import checksums, citable, page, published, score_figures, store, surface_figures
from harness.frames import from_records
from harness.rules import in_order


def make(place: Path) -> Iterator[Path]:
    """Write tables, figures and the page of every folder of results below a place; the paths.

    The same records give the same bytes. Raises FileNotFoundError where there are no results.
    """
    for results in published.find(place):
        yield from _of(results)


def _of(results: published.Results) -> Iterator[Path]:
    records = in_order(results)
    if not records:
        raise FileNotFoundError(f"{results.folder}: {results.unreadable or 'no records that its campaign asks for'}")
    for name in ("tables", "figures"):
        (results.folder / name).mkdir(exist_ok=True)
    frames, source = from_records(records), citable.source(records, results.folder)
    tables = citable.make(frames)
    for table in tables:
        yield from citable.write(table, source, results.folder / "tables")
    yield from score_figures.make(frames, results.folder / "figures")
    yield from surface_figures.make(records, results.folder / "figures")
    store.replace(results.folder / "report.html", page.render(frames, records, tables, source))
    yield results.folder / "report.html"
    yield checksums.write(results.folder)
