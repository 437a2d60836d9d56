"""`optbench report`: what is published of a campaign, made from its raw records alone."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from optbench.campaign import results_folder
from optbench.records import checksums, files
from optbench.records.frames import Frames, from_records
from optbench.records.record import Record
from optbench.report import captions, curves, figures, page, summary, tables

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"
FORMER = "error_over_seconds"  # the name of the curves in folders of earlier versions


def make(place: Path) -> Iterator[Path]:
    """Write tables, figures and the page of every campaign below a place; their paths.

    The same records give the same bytes. Raises FileNotFoundError where there are no
    results, InvalidRecord where a record is torn or edited: nothing is written then.
    """
    found = [each.whole() for each in results_folder.find(place) if each.is_campaign]
    for results in found:
        yield from _of(results)


def _of(results: results_folder.Results) -> Iterator[Path]:
    folder, records = results.folder, results_folder.in_order(results)
    if not records:
        why = results.unreadable or "no records that its campaign asks for"
        raise FileNotFoundError(f"{folder}: {why}")
    # what another version or another set of cases left must not stay
    for name in (TABLES, FIGURES):
        shutil.rmtree(folder / name, ignore_errors=True)
        (folder / name).mkdir()
    frames = from_records(records)
    yield from write_summary(frames, folder)
    made = tables.make(frames, records)
    for name, text in texts(frames, records, made, results).items():
        files.replace(folder / name, text)
        yield folder / name
    yield from figures.make(frames, records, made, folder / FIGURES)
    yield checksums.write(folder)


def write_summary(frames: Frames, folder: Path) -> list[Path]:
    """Write the table and the figure that a run leaves too: the same files; their paths."""
    for former in folder.glob(f"{FORMER}.*"):
        former.unlink()
    written = []
    for name, text in summary.texts(frames).items():
        files.replace(folder / name, text)
        written.append(folder / name)
    return [*written, *curves.draw(frames, folder)]


def texts(
    frames: Frames,
    records: Sequence[Record],
    made: Sequence[captions.Table],
    results: results_folder.Results,
) -> dict[str, str]:
    """Give the tables' files and the page, by their names in the folder of the results.

    The frames are the records', and so are the tables that `tables.make` made.
    """
    source = captions.source(records, results.folder, len(results.requests) - len(records))
    files = {
        f"{TABLES}/{name}": text
        for table in made
        for name, text in captions.texts(table, source).items()
    }
    return files | {PAGE: page.render(frames, records, made, source)}
