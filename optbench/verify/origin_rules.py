"""Where records come from: one machine, a commit that was there, a date that can be.

What git can tell is asked of the clone that this module lies in.
"""

import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from optbench.campaign.results_folder import Results
from optbench.records.provenance import ask_clone, class_of, is_alike, same_class
from optbench.records.record import ANSWERS, Record, runs_of
from optbench.verify.finding import Remark

BEGAN = datetime(2026, 11, 24, tzinfo=UTC)  # of the project's first commit
CLOCKS = timedelta(hours=1)  # by which two machines' clocks may differ
CLUSTER = "cluster"  # the folder of runs of many machines
SEALS = "def seal(", "optbench/records/store.py"  # what a version with seals has, and where
PACKAGES = {"torch": ("torch",), "torch-compiled": ("torch",), "jax": ("jax", "jaxlib")}


def check_place(results: Results) -> Iterator[str]:
    """Check that a folder's runs are of one campaign, machine and device.

    A folder that is called otherwise than its records say is worth a remark.
    """
    records, folder = results.records.values(), results.folder
    machines = {record.provenance.machine for record in records}
    one = min(machines, default="")
    if folder.name != CLUSTER:
        others = sorted(name for name in machines if not same_class(name, one))
        if others:
            names = ", ".join([one, *others])
            yield f"{folder}: runs of {1 + len(others)} machines: {names}"
        elif machines and not same_class(folder.absolute().name, one):
            yield Remark(f"the folder is called {folder.name}, its records say {one}")
        yield from _several("devices", results, lambda record: record.provenance.device)
        models: dict[tuple[str, int], set[str]] = {}
        for record in records:
            key = record.request.case, record.request.seed
            models.setdefault(key, set()).add(record.provenance.cpu)
        for (case, seed), cpus in models.items():
            if len(cpus) > 1:
                names = ", ".join(sorted(cpus))
                yield f"{folder}: {case}, seed {seed}: runs of {len(cpus)} CPUs: {names}"
    yield from _several("campaigns", results, lambda record: record.request.labels.campaign)
    tuned = f"{folder.absolute().parents[1].name}-{results.name}"
    if results.campaign not in (results.name, tuned):
        yield Remark(
            f"the folder is called {results.name}, its records say {results.campaign}"
        )


def _several(
    what: str, results: Results, of: Callable[[Record], str | None]
) -> Iterator[str]:
    """Say where a folder has more than one of something; None is none."""
    found = Counter(value for each in results.records.values() if (value := of(each)))
    if len(found) > 1:
        yield f"{results.folder}: {len(found)} {what}: {runs_of(found)}"


def check_seals(results: Results) -> Iterator[str]:
    """Check that no record lost its seal.

    One from before there were seals is told apart by its fields, its siblings and its
    commit.
    """
    sealed = {
        record.provenance.commit for record in results.records.values() if record.seal
    }
    for file, record in results.records.items():
        if record.seal:
            continue
        provenance, commit = record.provenance, record.provenance.commit
        is_younger = (
            "shared_cores" in provenance.model_fields_set
            or "device" in record.request.model_fields_set
            or commit in sealed - {None}
            or (commit is not None and _seals(commit))
        )
        if is_younger:
            yield f"{file} has no seal, and its version seals every record"


def unsealed(records: Sequence[Record]) -> str:
    """Say how many records are from before there were seals."""
    count = sum(record.seal is None for record in records)
    return (
        f"{count} of {len(records)} unsealed, from before there were seals" if count else ""
    )


def check_origin(results: Results) -> Iterator[str]:
    """Check that what a record says of its origin is possible and fits together."""
    now = datetime.now(UTC)
    for file, record in results.records.items():
        for issue in (*_of_machine(record), *_of_date(record, now)):
            yield f"{file}: {issue}"


def _of_machine(record: Record) -> Iterator[str]:
    said, request = record.provenance, record.request
    if said.device is not None:
        name = class_of(said.device, said.cpu, said.cores, said.memory)
        if not (same_class(name, said.machine) or is_alike(name, said.machine)):
            yield f"the machine is called {said.machine}, its hardware is {name}"
    if record.status not in ANSWERS:
        return  # its process may have died before it loaded anything
    if none := [
        name for name in PACKAGES[request.framework] if not said.packages.get(name)
    ]:
        yield f"ran in {request.framework} without {', '.join(none)}"
    if said.threads < request.threads:
        yield f"ran with {request.threads} threads on {said.threads} cores"
    if (count := said.precision.get("torch_matmul_tf32")) not in (None, request.tf32):
        yield f"asked for TF32 {request.tf32}, computed with TF32 {count}"
    if request.dtype == "float64" and said.precision.get("jax_enable_x64") is False:
        yield "asked for float64, computed with JAX's x64 off"


def _of_date(record: Record, now: datetime) -> Iterator[str]:
    try:
        started = datetime.fromisoformat(record.started)
        started = started if started.tzinfo else started.replace(tzinfo=UTC)
    except ValueError:
        yield f"started at no date: {record.started}"
        return
    if started > now + CLOCKS:
        yield f"started in the future: {record.started}"
    commit = record.provenance.commit
    made = _date(commit) if commit else None
    if commit and made is None and _knows_all_commits():
        yield f"made by commit {commit}, which this clone's history does not have"
    if started < (made or BEGAN) - CLOCKS:
        yield f"started at {record.started}, before its commit was made"


def commits(records: Sequence[Record]) -> str:
    """Name the commits behind records, and say why one may be unknown."""
    words = sorted(
        {
            f"{record.provenance.commit or 'unknown'}"
            + (" with uncommitted changes" if record.provenance.dirty else "")
            for record in records
        }
    )
    unknown = sum(record.provenance.commit is None for record in records)
    why = (
        f"; {unknown} of {len(records)} by an unknown commit: they ran from an installed "
        "package, or git did not answer (a clone of another user's?)"
    )
    return f"commits: {', '.join(words)}{why if unknown else ''}" if words else ""


@functools.cache
def _date(commit: str) -> datetime | None:
    """Give when a commit was made; None where the clone does not have it."""
    seconds = ask_clone("show", "--no-patch", "--format=%ct", f"{commit}^{{commit}}")
    return datetime.fromtimestamp(int(seconds), UTC) if seconds else None


@functools.cache
def _seals(commit: str) -> bool:
    words, file = SEALS
    return bool(ask_clone("grep", "--fixed-strings", "-e", words, commit, "--", file))


@functools.cache
def _knows_all_commits() -> bool:
    """Say whether this is a clone with its whole history."""
    return ask_clone("rev-parse", "--is-shallow-repository") == "false"
