"""`optbench report`: everything that is published of a campaign, made again from its raw records alone."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from optbench.campaign import results_folder
from optbench.records import checksums, store
from optbench.records.frames import Frames, from_records
from optbench.records.record import Record
from optbench.report import figures, formats, page, surfaces
from optbench.report import tables as citable

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"


def make(place: Path) -> Iterator[Path]:
    """Write tables, figures and the page of every campaign's folder below a place; the paths.

    The same records give the same bytes. Raises FileNotFoundError where there are no
    results.
    """
    for results in results_folder.find(place):
        if results.is_campaign:
            yield from _of(results)


def _of(results: results_folder.Results) -> Iterator[Path]:
    records = results_folder.in_order(results)
    if not records:
        raise FileNotFoundError(
            f"{results.folder}: {results.unreadable or 'no records that its campaign asks for'}"
        )
    for name in (
        TABLES,
        FIGURES,
    ):  # what another version or another set of cases left must not stay
        shutil.rmtree(results.folder / name, ignore_errors=True)
        (results.folder / name).mkdir()
    frames = from_records(records)
    for name, text in texts(frames, records, results).items():
        store.replace(results.folder / name, text)
        yield results.folder / name
    yield from figures.make(frames, results.folder / FIGURES)
    yield from surfaces.make(records, results.folder / FIGURES)
    yield checksums.write(results.folder)


def texts(
    frames: Frames, records: Sequence[Record], results: results_folder.Results
) -> dict[str, str]:
    """The tables and the page, by their names in the folder of the results; `frames` are the records'."""
    tables = citable.make(frames)
    source = formats.source(records, results.folder, len(results.requests) - len(records))
    found = {
        f"{TABLES}/{name}": text
        for table in tables
        for name, text in formats.texts(table, source).items()
    }
    return found | {PAGE: page.render(frames, records, tables, source)}
