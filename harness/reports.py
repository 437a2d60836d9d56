"""`optbench report`: everything that is published of a campaign, made again from its raw records alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness import captions, checksums, citable, page, published, score_figures, store, surface_figures
from harness.frames import Frames, from_records
from harness.record import Record

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"


def make(place: Path) -> Iterator[Path]:
    """Write tables, figures and the page of every folder of results below a place; the paths.

    The same records give the same bytes. Raises FileNotFoundError where there are no results.
    """
    for results in published.find(place):
        yield from _of(results)


def _of(results: published.Results) -> Iterator[Path]:
    records = published.in_order(results)
    if not records:
        raise FileNotFoundError(f"{results.folder}: {results.unreadable or 'no records that its campaign asks for'}")
    for name in (TABLES, FIGURES):
        (results.folder / name).mkdir(exist_ok=True)
    frames = from_records(records)
    for name, text in texts(frames, records, results.folder).items():
        store.replace(results.folder / name, text)
        yield results.folder / name
    yield from score_figures.make(frames, results.folder / FIGURES)
    yield from surface_figures.make(records, results.folder / FIGURES)
    yield checksums.write(results.folder)


def texts(frames: Frames, records: Sequence[Record], folder: Path) -> dict[str, str]:
    """The tables and the page, by their names in the folder that has the records' files; `frames` are the records'."""
    tables, source = citable.make(frames), captions.source(records, folder)
    found = {f"{TABLES}/{name}": text for table in tables for name, text in captions.texts(table, source).items()}
    return found | {PAGE: page.render(frames, records, tables, source)}
