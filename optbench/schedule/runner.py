"""A campaign from its requests to its tables: what is done is not done again."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from rich.console import Console

from optbench import implementations
from optbench.campaign import sources
from optbench.campaign.results_folder import CAMPAIGN
from optbench.records import store
from optbench.records.record import Record, Request
from optbench.records.store import Store
from optbench.schedule.claims import Claims
from optbench.schedule.progress import Display, line
from optbench.schedule.skipping import Hopeless


class Crew(Protocol):
    """Who does runs: child processes here, or the workers of a cluster."""

    def records(self, requests: Iterable[Request], display: Display) -> Iterator[Record]:
        """Do runs, as many at a time as there is room for; each record as it comes, a lost run's too.

        A request is taken from `requests` just before its run, and announced with
        `display.begin`.
        """
        ...


def run(
    requests: Sequence[Request],
    crew: AbstractContextManager[Crew],
    folder: Path,
    console: Console,
    rerun: str | None = None,
    file: Path | None = None,
    least_steps: int = 0,
) -> None:
    """Do what is left of a campaign, then write its tables, its figure and checksums into `folder`.

    `file` is the campaign's, copied beside them; `rerun` names the runs that are done
    again. What times out before `least_steps` steps is not repeated over seeds.

    Raises:
        FrameworkMissing: none of its frameworks is installed.
    """
    requests = _possible(requests, console)
    kept = Store(
        folder, lambda text: line(console, text), store.AGAIN[rerun] if rerun else ()
    )
    done = {
        record.identity: record for request in requests if (record := kept.find(request))
    }
    left = [request for request in requests if request.identity not in done]
    line(console, _state(requests[0].labels.campaign, list(done.values()), len(left)))
    if (
        file
    ):  # before the first run: what is done of a campaign can be reported and verified
        folder.mkdir(parents=True, exist_ok=True)
        store.replace(folder / CAMPAIGN, file.read_bytes())
    claims, hopeless = Claims(kept, left), Hopeless(least_steps, done.values())
    try:
        with Display("runs", len(left), console) as display, crew as workers:

            def keep(record: Record) -> None:
                kept.write(record)
                claims.release(record)
                display.end(record)

            for record in workers.records(hopeless.sift(claims), display):
                hopeless.learn(record)
                keep(record)
            for record in hopeless.skipped:
                keep(record)
    finally:
        claims.release_all()
    report(
        [record for request in requests if (record := kept.find(request))], folder, console
    )


def report(records: Sequence[Record], folder: Path, console: Console) -> None:
    """Print the table; write it, the figure and the checksums of all, and say where."""
    # pandas and matplotlib: after the runs, not in their way
    from optbench.records import checksums
    from optbench.records.frames import from_records
    from optbench.report import summary
    from optbench.report.report import write_summary

    frames = from_records(records)
    line(console, "")
    print(summary.texts(frames)["table.txt"], file=console.file)
    made = write_summary(frames, folder)
    copies = sources.keep([record.request for record in records], folder)
    written = [folder / "runs", *made, *copies, checksums.write(folder)]
    for path in written:
        line(console, f"written: {path}")


def _possible(requests: Sequence[Request], console: Console) -> list[Request]:
    """The requests whose framework is here; says which one is not."""
    missing = [
        name
        for name in dict.fromkeys(r.framework for r in requests)
        if not implementations.is_installed(name)
    ]
    possible = [request for request in requests if request.framework not in missing]
    if not possible:
        raise implementations.FrameworkMissing(missing[0])
    for name in missing:
        runs = sum(request.framework == name for request in requests)
        line(
            console,
            f"{implementations.FrameworkMissing(name)}; its {runs} runs are left out",
        )
    return possible


def _state(name: str, done: Sequence[Record], left: int) -> str:
    """What is done, what is left, what failed."""
    failed = Counter(record.status for record in done if record.status != "finished")
    failures = ", ".join(f"{count} {status}" for status, count in failed.items())
    return f"{name}: {len(done) + left} runs, {len(done)} done{f' ({failures})' if failures else ''}, {left} left"
