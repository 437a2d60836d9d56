"""A folder of results as it is published, with records of a CPU, and what `verify` says."""

import shutil

from fakes import Fake

from optbench.campaign import results_folder
from optbench.records import checksums, store
from optbench.records.frames import from_records
from optbench.records.machine_state import Conditions
from optbench.records.provenance import machine_class
from optbench.report import summary as tables
from optbench.verify import start
from optbench.verify import verify as check

MEASURED = Conditions(cpu_clocks=(), load_average=None, gpus=None, calibration_seconds=0.01)


def on_cpu(record, before=MEASURED, after=None, device="cpu"):
    provenance = record.provenance.model_copy(
        update={"device": device, "machine": machine_class(device)}
    )
    return record.model_copy(
        update={"provenance": provenance, "before": before, "after": after}
    )


def computed_by_the_fake(monkeypatch):
    """Let `verify` compute the first rows as the fake framework does."""
    fake = Fake()
    functions = fake, fake._losses, fake._predict
    monkeypatch.setattr(start, "_functions", lambda *asked: functions)
    monkeypatch.setattr(start, "_row", start._row.__wrapped__)


def put(folder, record):
    store.write(store.path(folder, record.request), record)


def seal(folder, records):
    """Write what follows from the records: tables and checksums."""
    summary = tables.summarise(from_records(records))
    for style, suffix in tables.FORMATS.items():
        (folder / f"table.{suffix}").write_text(tables.render(summary, style))
    list_checksums(folder)


def list_checksums(folder):
    """Write the checksums of whatever is there, which the suite's own code refuses to."""
    listed = {
        file.relative_to(folder).as_posix(): checksums.of(file)
        for file in checksums.published(folder)
    }
    lines = [f"{checksum}  {name}\n" for name, checksum in listed.items()]
    (folder / checksums.NAME).write_text("".join(lines))


def copied_from(folder):
    """Stand in for drawing figures: copy those of a folder."""

    def draw(_, scratch):
        for suffix in ("svg", "png", "pdf"):
            for file in folder.glob(f"**/*.{suffix}"):
                copy = scratch / file.relative_to(folder)
                copy.parent.mkdir(exist_ok=True)
                shutil.copy(file, copy)
        return [file for file in scratch.rglob("*") if file.is_file()]

    return draw


def complaints(folder, leave_out=()):
    """Give the issues by rule."""
    found = check.findings(results_folder.find(folder.parent), leave_out=leave_out)
    return {finding.rule: finding.issues for finding in found if finding.issues}
