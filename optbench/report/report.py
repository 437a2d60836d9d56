"""`optbench report`: what is published of a campaign, made from its raw records alone."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from optbench.campaign import results_folder
from optbench.measure import certificate
from optbench.records import checksums, files
from optbench.records.frames import Frames, from_records
from optbench.records.record import Record
from optbench.report import captions, curves, figures, page, summary, tables
from optbench.report.exchange import exchanged

TABLES, FIGURES, PAGE = "tables", "figures", "report.html"
SUMMARY = tuple(f"table.{suffix}" for suffix in summary.FORMATS.values())
CURVES = tuple(f"{curves.NAME}.{suffix}" for suffix in ("png", "svg"))
# what the curves were called in folders of earlier versions
FORMER = ("error_over_seconds.png", "error_over_seconds.svg")


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
    frames = from_records(records)
    # what another version or another set of cases left must not stay
    names = (*SUMMARY, *CURVES, *FORMER, TABLES, FIGURES, PAGE)
    with exchanged(folder, names, last=checksums.NAME) as new:
        (new / TABLES).mkdir()
        (new / FIGURES).mkdir()
        made = tables.make(frames, records)
        written = [
            *_write(summary.texts(frames), new),
            *curves.draw(frames, new),
            *_write(texts(frames, records, made, results), new),
            *figures.make(frames, records, made, new / FIGURES),
        ]
        kept = {file.relative_to(folder): file for file in checksums.published(folder)}
        kept = {name: file for name, file in kept.items() if name.parts[0] not in names}
        kept |= {file.relative_to(new): file for file in written}
        written += _write({checksums.NAME: checksums.text(kept)}, new)
    yield from (folder / file.relative_to(new) for file in written)


def write_summary(frames: Frames, folder: Path) -> list[Path]:
    """Write the table and the figure that a run leaves too: the same files; their paths.

    The table is there even if the figure fails.
    """
    with exchanged(folder, SUMMARY) as new:
        table = _write(summary.texts(frames), new)
    with exchanged(folder, (*CURVES, *FORMER)) as new:
        figure = curves.draw(frames, new)
    return [folder / file.name for file in (*table, *figure)]


def _write(texts: dict[str, str], folder: Path) -> list[Path]:
    """Write texts by their names in a folder, and give their paths."""
    for name, text in texts.items():
        files.replace(folder / name, text)
    return [folder / name for name in texts]


def texts(
    frames: Frames,
    records: Sequence[Record],
    made: Sequence[captions.Table],
    results: results_folder.Results,
) -> dict[str, str]:
    """Give the tables' files and the page, by their names in the folder of the results.

    The frames are the records', and so are the tables that `tables.make` made. The
    certificate of the baselines is a table more where the folder has it.
    """
    source = captions.source(
        records,
        results.folder,
        missing=len(results.requests) - len(records),
        unasked=len(results.records) - len({record.identity for record in records}),
    )
    made = [*made, *_certified(results.folder)]
    files = {
        f"{TABLES}/{name}": text
        for table in made
        for name, text in captions.texts(table, source).items()
    }
    return files | {PAGE: page.render(frames, records, made, source)}


def _certified(folder: Path) -> Iterator[captions.Table]:
    if (file := folder / certificate.NAME).is_file():
        kept = certificate.read(file)
        yield captions.Table(
            name="baselines",
            heading="Our baselines beside others' implementations",
            title=certificate.caption(kept),
            data=certificate.data(kept),
            shown=certificate.shown(kept),
        )
