"""A campaign from its requests to its tables: what is done is not done again."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

import implementations
from harness import store
from harness.campaign import Campaign
from harness.executors import workers
from harness.progress import Display, line
from harness.record import Record, Request


def run(campaign: Campaign, requests: Sequence[Request], folder: Path, console: Console) -> None:
    """Do what is left of a campaign, then write its tables and its figure into `folder`.

    Raises:
        FrameworkMissing: none of its frameworks is installed.
    """
    requests = _possible(requests, console)
    done = dict(_done(requests, folder, console))
    left = [request for request in requests if request.identity not in done]
    line(console, _state(requests[0].labels.campaign, done, len(left)))
    display = Display("runs", len(left), console)
    with workers(campaign.processes, campaign.threads, campaign.limit) as crew, display as shown:
        for request in left:
            shown.begin(request)
            record = crew.run(request, shown.update)
            store.write(store.path(folder, request), record)
            done[request.identity] = record
            shown.end(record)
    report([done[request.identity] for request in requests], folder, console)


def report(records: Sequence[Record], folder: Path, console: Console) -> None:
    """Print the table; write it and the figure, and say where."""
    from harness import plots, tables  # pandas and matplotlib: after the runs, not in their way
    from harness.frames import from_records

    frames = from_records(records)
    summary = tables.summarise(frames)
    line(console, "")
    print(tables.render(summary, "text"), file=console.file)
    for style, suffix in tables.FORMATS.items():
        store.replace(folder / f"table.{suffix}", tables.render(summary, style))
    figures = plots.error_over_seconds(frames, folder)
    written = [folder / "runs", *(folder / f"table.{suffix}" for suffix in tables.FORMATS.values()), *figures]
    for path in written:
        line(console, f"written: {path}")


def _possible(requests: Sequence[Request], console: Console) -> list[Request]:
    """The requests whose framework is here; says which one is not."""
    installed = implementations.installed()
    missing = [name for name in dict.fromkeys(r.framework for r in requests) if name not in installed]
    possible = [request for request in requests if request.framework in installed]
    if not possible:
        raise implementations.FrameworkMissing(missing[0])
    for name in missing:
        runs = sum(request.framework == name for request in requests)
        line(console, f"{implementations.FrameworkMissing(name)}; its {runs} runs are left out")
    return possible


def _done(requests: Sequence[Request], folder: Path, console: Console) -> Iterator[tuple[str, Record]]:
    """The records that are there, with today's labels; a torn one is named, and its run is done again."""
    for request in requests:
        file = store.path(folder, request)
        if file.exists():
            try:
                yield request.identity, store.read(file).model_copy(update={"request": request})
            except store.InvalidRecord as error:
                line(console, f"{error}; its run is done again")


def _state(name: str, done: dict[str, Record], left: int) -> str:
    """What is done, what is left, what failed."""
    failed = Counter(record.status for record in done.values() if record.status != "finished")
    failures = ", ".join(f"{count} {status}" for status, count in failed.items())
    return f"{name}: {len(done) + left} runs, {len(done)} done{f' ({failures})' if failures else ''}, {left} left"
