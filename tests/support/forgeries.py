"""What a forger does to a finished campaign's folder, by name and level.

Levels: "plain", the edit alone; "listed", with SHA256SUMS made again; "sealed", with seals,
identities and names of files made again too. What is made from the records is equal then,
for the forger makes it with the suite's own code.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from published import list_checksums

from optbench.records import store
from optbench.records.record import Request
from optbench.training.loop import IN_A_ROW

FAR = "9999-01-01T00:00:00+00:00"
COMMIT = 40 * "7"


class Forgery(NamedTuple):
    name: str
    level: str
    act: Callable[[Path], None]
    place: str = "campaign"  # whose copy it is done to

    def __str__(self):
        return f"{self.name} ({self.level})"


def finish(folder, level):
    """Make again what the level says."""
    if level == "sealed":
        for file in store.files_of(folder):
            content = json.loads(store.content(file))
            request = Request.model_validate_json(json.dumps(content["request"]))
            content["identity"] = request.identity
            if content.get("seal"):
                content["seal"] = store.seal(content)
            file.unlink()
            store.path(folder, request).write_bytes(store.packed(json.dumps(content)))
    if level != "plain":
        list_checksums(folder)


def files(folder, **wanted):
    """The records' files, of requests or labels with these fields."""
    found = []
    for file in store.files_of(folder):
        record = json.loads(store.content(file))
        request = record["request"] | {
            "label": record["request"]["labels"]["optimizer"],
            "status": record["status"],
        }
        if all(request[name] == value for name, value in wanted.items()):
            found.append(file)
    assert found, wanted
    return found


FIRST: dict[str, Any] = {"seed": 0, "label": "adam", "problem": "poisson_sine_2d"}
DEEP: dict[str, Any] = {"seed": 0, "label": "adam", "problem": "poisson_cosine_5d"}
SEARCHED: dict[str, Any] = {"seed": 0, "label": "kfac", "problem": "poisson_sine_2d"}


def rewrite(file, change):
    record = json.loads(store.content(file))
    change(record)
    text = json.dumps(record)
    packed = file.name.endswith(store.PACKED)
    file.write_bytes(store.packed(text) if packed else text.encode())


def record(change, everywhere=False, **wanted):
    """Change a record, or all that are wanted."""

    def act(folder):
        found = files(folder, **(wanted or FIRST))
        for file in found if everywhere else found[:1]:
            rewrite(file, change)

    return act


def rows(change, which=slice(None), **wanted):
    """Change rows of one record's history."""

    def of(record):
        for row in record["history"][which]:
            change(row)

    return record(of, **wanted)


def times(factor, *names):
    return lambda row: row.update({name: row[name] * factor for name in names})


def put(**fields):
    return lambda content: content.update(fields)


def provenance(everywhere=False, **fields):
    return record(
        lambda content: content["provenance"].update(fields),
        everywhere,
        **({"framework": "torch"} if everywhere else FIRST),
    )


def request(**fields):
    return record(lambda content: content["request"].update(fields))


ERRORS, LOSSES = ("relative_l2", "rms"), ("interior", "boundary")
LAST = slice(-1, None)


def faster(factor):
    """Divide a run's seconds wherever they stand."""

    def change(content):
        for row in content["history"]:
            row["seconds"] /= factor
        saved = content["clock"]["train"] * (1 - 1 / factor)
        content["clock"]["train"] = content["history"][-1]["seconds"]
        content["wall_seconds"] -= saved

    return change


def some_seconds(content):
    for row in content["history"][1:10]:
        row["seconds"] /= 1000


def without(number):
    return record(lambda content: content["history"].pop(number))


def twice(content):
    content["history"].insert(10, dict(content["history"][10]))


def swapped(content):
    one, other = content["history"][10], content["history"][20]
    for name in (*ERRORS, *LOSSES):
        one[name], other[name] = other[name], one[name]


def never_up(content):
    """Let every error be the smallest so far."""
    for before, row in zip(content["history"], content["history"][1:], strict=False):
        for name in ERRORS:
            row[name] = min(row[name], 0.999 * before[name])


def numbers_of(first=1, last=None, **wanted):
    """Copy rows' numbers from another record."""

    def act(folder):
        other = json.loads(store.content(files(folder, **wanted)[0]))["history"]

        def change(content):
            for row, theirs in list(zip(content["history"], other, strict=False))[
                first:last
            ]:
                row.update({name: theirs[name] for name in (*ERRORS, *LOSSES)})

        rewrite(files(folder, **FIRST)[0], change)

    return act


def finished(content):
    content.update(status="finished", error=None, steps=60)


def gave_up(content):
    content.update(status="diverged", error="the loss is more than 1e+08 times the first")


def stopped(stalls):
    """Cut a run where it was best and call it stalled, with so many empty steps counted."""

    def change(content):
        content["history"] = content["history"][:31]
        last = content["history"][-1]
        spent = content["clock"]["train"] - last["seconds"]
        content["clock"]["train"] -= spent
        content["clock"]["log"] += spent
        why = f"no parameter has changed since step {last['step']}: {IN_A_ROW}"
        counters = content["counters"] | {"stalls": stalls}
        content.update(status="stalled", error=why, steps=last["step"], counters=counters)
        content["surface"] = None

    return change


def still(content):
    """Let the best numbers stay to the end."""
    best = content["history"][31]
    for row in content["history"][32:]:
        row.update({name: best[name] for name in (*ERRORS, *LOSSES)})


def exact(content):
    from optbench import problems
    from optbench.training import solution_grid

    problem = problems.get("poisson_sine_2d")
    u = problem.solution(solution_grid.grid(problem))[:, 0]
    content["surface"] = [float(f"{value:.5g}") for value in u]


def remove(**wanted):
    def act(folder):
        for file in files(folder, **wanted):
            file.unlink()

    return act


def add(folder):
    file = files(folder, **FIRST)[0]
    copy = file.with_name("copy.json.gz")
    shutil.copy(file, copy)
    rewrite(copy, lambda content: content["request"].update(seed=9))


def text(name, old, new, count=1):
    """Edit a file of the folder, or the first of a pattern."""

    def act(folder):
        file = sorted(folder.glob(name))[0]
        content = file.read_bytes()
        assert old.encode() in content, (file, old)
        file.write_bytes(content.replace(old.encode(), new.encode(), count))

    return act


def digit(name):
    """Change the last digit of a text, or the last byte but 40 of a figure."""

    def act(folder):
        file = sorted(folder.glob(name))[0]
        content = bytearray(file.read_bytes())
        places = [place for place, byte in enumerate(content) if chr(byte) in "12345678"]
        content[places[-1 if file.suffix != ".html" else len(places) // 2]] += 1
        file.write_bytes(bytes(content))

    return act


def gone(name):
    return lambda folder: sorted(folder.glob(name))[0].unlink()


def new_file(name):
    def act(folder):
        other = sorted(folder.glob(f"{Path(name).parent}/*{Path(name).suffix}"))[0]
        shutil.copy(other, folder / name)

    return act


def sums(change):
    def act(folder):
        file = folder / "SHA256SUMS"
        lines = file.read_text().splitlines(keepends=True)
        change(lines)
        file.write_text("".join(lines))

    return act


def old_looks(content):
    """Take away all that came with seals."""
    del content["seal"], content["provenance"]["shared_cores"], content["request"]["device"]


def both(*acts):
    def act(folder):
        for each in acts:
            each(folder)

    return act


ELSEWHERE = provenance(True, machine="other-64-cores-512-gib", cpu="Other", cores=64)
ELSEWHERE = both(ELSEWHERE, provenance(True, memory=512 * 2**30))
ALL = ("plain", "listed", "sealed")


def many(name, act, levels=ALL, place="campaign"):
    return [Forgery(name, level, act, place) for level in levels]


FORGERIES = [
    *many("last error / 1000", rows(times(1e-3, *ERRORS), LAST)),
    *many(
        "last error / 1000, in five dimensions", rows(times(1e-3, *ERRORS), LAST, **DEEP)
    ),
    *many("all errors / 1000", rows(times(1e-3, *ERRORS))),
    *many("all errors but the first / 2", rows(times(0.5, *ERRORS), slice(1, None))),
    *many("last relative error alone", rows(times(1e-3, "relative_l2"), LAST)),
    *many("a negative error", rows(times(-1, *ERRORS), LAST)),
    *many("an error of zero", rows(times(0, *ERRORS), LAST)),
    *many("no number", rows(put(relative_l2="NaN"), LAST), ("listed", "sealed")),
    *many("errors that never go up", record(never_up), ("listed", "sealed")),
    *many("last losses / 1000", rows(times(1e-3, *LOSSES), LAST), ("listed", "sealed")),
    *many("all losses / 1000", rows(times(1e-3, *LOSSES)), ("sealed",)),
    *many("a negative loss", rows(times(-1, "boundary"), LAST), ("sealed",)),
    *many("more steps", record(put(steps=600)), ("listed", "sealed")),
    *many("seconds / 7", record(faster(7)), ("listed", "sealed")),
    *many("seconds / 27,000", record(faster(27_000)), ("listed", "sealed")),
    *many("seconds / 7 for all seeds", record(faster(7), True, label="adam"), ("sealed",)),
    *many("seconds of the history alone", rows(times(1 / 7, "seconds")), ("sealed",)),
    *many("seconds of a few rows", record(some_seconds), ("sealed",)),
    *many(
        "wall-clock time / 2",
        record(lambda c: c.update(wall_seconds=c["wall_seconds"] / 2)),
        ("sealed",),
    ),
    *many("a row less", without(12), ("listed", "sealed")),
    *many("the first row less", without(0), ("sealed",)),
    *many("the last row less", without(-1), ("sealed",)),
    *many("a row twice", record(twice), ("sealed",)),
    *many("two rows exchanged", record(swapped), ("sealed",)),
    *many("rows of another seed", numbers_of(5, 9, **FIRST | {"seed": 1}), ("sealed",)),
    *many("a history of another seed", numbers_of(**FIRST | {"seed": 1}), ("sealed",)),
    *many("a history of another optimizer", numbers_of(0, **SEARCHED), ("sealed",)),
    *many("diverged, called finished", record(finished, label="wild", status="diverged")),
    *many("finished, called diverged", record(gave_up), ("listed", "sealed")),
    *many("cut, called stalled", record(stopped(0)), ("listed", "sealed")),
    *many("cut, called stalled, with stalls", record(stopped(20)), ("sealed",)),
    *many("numbers that stay", record(still), ("sealed",)),
    *many("started in the future", record(put(started=FAR)), ("listed", "sealed")),
    *many(
        "started long ago", record(put(started="1999-01-01T00:00:00+00:00")), ("sealed",)
    ),
    *many("an accuracy that allows more", record(put(floor=0.1)), ("sealed",)),
    *many("fewer parameters", record(put(parameters=3)), ("sealed",)),
    *many(
        "fewer evaluations counted",
        record(lambda c: c["counters"].update(evaluations=1), **SEARCHED),
        ("sealed",),
    ),
    *many("another commit", provenance(commit=COMMIT), ("listed", "sealed")),
    *many(
        "another machine",
        provenance(machine="other-64-cores-512-gib"),
        ("listed", "sealed"),
    ),
    *many("another device", provenance(device="NVIDIA H100"), ("sealed",)),
    *many("no uncommitted changes", provenance(dirty=None), ("listed",)),
    *many("other packages", provenance(packages={"numpy": "1"}), ("listed", "sealed")),
    *many("other threads", provenance(threads=0), ("listed", "sealed")),
    *many("another seed", request(seed=5), ("listed", "sealed")),
    *many(
        "another learning rate",
        record(lambda c: c["request"]["hyperparameters"].update(learning_rate=0.5)),
        ("listed", "sealed"),
    ),
    *many("another version", request(optimizer_version=7), ("sealed",)),
    *many(
        "another label",
        record(lambda c: c["request"]["labels"].update(optimizer="best")),
        ("listed", "sealed"),
    ),
    *many(
        "another origin", text("campaign.toml", '"tuned"', '"paper"'), ("listed", "sealed")
    ),
    *many("an unfavourable record less", remove(label="wild", seed=1)),
    *many("a seed less", remove(seed=2), ("listed",)),
    *many("a record more", add, ("listed", "sealed")),
    *many(
        "a record of another campaign",
        record(lambda c: c["request"]["labels"].update(campaign="paper")),
        ("sealed",),
    ),
    *many("a table", digit("table.md"), ("plain", "listed")),
    *many("a table to cite", digit("tables/errors.tex"), ("listed",)),
    *many("numbers of a table", digit("tables/headline.csv"), ("listed",)),
    *many("a caption", text("tables/errors.md", "commit ", "commit 7"), ("listed",)),
    *many("a table more", new_file("tables/best.md"), ("listed",)),
    *many("the page", digit("report.html"), ("plain", "listed")),
    *many("curves", digit("curves.svg"), ("plain", "listed")),
    *many("curves in pixels", digit("curves.png"), ("listed",)),
    *many("a heat map", digit("figures/heatmap.svg"), ("listed",)),
    *many("a figure to cite", digit("figures/heatmap.pdf"), ("listed",)),
    *many("a figure less", gone("figures/heatmap.svg"), ("listed",)),
    *many("a figure more", new_file("figures/best.svg"), ("listed",)),
    *many(
        "a figure of another version",
        text("curves.svg", "Matplotlib v", "Matplotlib v9"),
        ("listed",),
    ),
    *many(
        "a checksum",
        sums(lambda lines: lines.insert(0, 64 * "0" + lines.pop(0)[64:])),
        ("plain",),
    ),
    *many("a checksum less", sums(lambda lines: lines.pop(3)), ("plain",)),
    *many("no checksums", gone("SHA256SUMS"), ("plain",)),
    *many("no seal", record(put(seal=None)), ("listed",)),
    *many(
        "no seal, with the looks of old",
        record(old_looks, True, framework="torch"),
        ("listed",),
    ),
    *many("a seal made up", record(put(seal=64 * "0")), ("listed",)),
    *many("a solution that is exact", record(exact), ("listed", "sealed")),
    *many(
        "elsewhere, last error / 1000",
        both(rows(times(1e-3, *ERRORS), LAST, **DEEP), ELSEWHERE),
        ("sealed",),
    ),
    *many(
        "elsewhere, all errors but the first / 20",
        both(rows(times(0.05, *ERRORS), slice(1, None), **DEEP), ELSEWHERE),
        ("sealed",),
    ),
    *many("a trial's value", digit("trials.csv"), ("listed",), "tuning"),
    *many(
        "what was chosen",
        text("tuned.toml", "learning_rate = 0", "learning_rate = 1"),
        ("listed",),
        "tuning",
    ),
    *many("a trial's record less", gone("runs/*.json*"), ("listed",), "tuning"),
    *many(
        "a record of the GPU, faster",
        record(faster(7), optimizer="kfac", framework="jax"),
        ("sealed",),
        "gpu",
    ),
    *many(
        "a record of the GPU, better",
        rows(times(1e-3, *ERRORS), LAST, optimizer="kfac"),
        ("sealed",),
        "gpu",
    ),
    *many(
        "a record of the GPU, on a CPU",
        record(lambda c: c["provenance"].update(device="cpu"), optimizer="kfac"),
        ("sealed",),
        "gpu",
    ),
]

# what nobody can find who has the records alone, and why
CANNOT = {
    "peak memory / 2": (
        record(lambda c: c.update(peak_memory=(c["peak_memory"] or 2) // 2)),
        "memory depends on the allocator and on what else the process did",
    ),
    "uncommitted changes denied": (
        provenance(dirty=False, python="3.99"),
        "nothing else of the record depends on it",
    ),
    "all runs on another machine": (
        ELSEWHERE,
        "its numbers are the same; the folder's name is a remark, and could be changed too",
    ),
    "the campaign asks for a seed less": (
        both(remove(seed=2), text("campaign.toml", "[0, 1, 2]", "[0, 1]")),
        "this is what a smaller campaign would have left",
    ),
}
