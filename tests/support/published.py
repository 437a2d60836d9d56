"""A folder of results as it is published, with records of a CPU, and what `verify` says."""

from optbench.campaign import results_folder
from optbench.records import checksums, store
from optbench.records.frames import from_records
from optbench.records.machine_state import Conditions
from optbench.report import summary as tables
from optbench.verify import verify as check

MEASURED = Conditions(cpu_clocks=(), load_average=None, gpus=None, calibration_seconds=0.01)


def on_cpu(record, before=MEASURED, after=None, device="cpu"):
    provenance = record.provenance.model_copy(update={"device": device})
    return record.model_copy(
        update={"provenance": provenance, "before": before, "after": after}
    )


def put(folder, record):
    store.write(store.path(folder, record.request), record)


def seal(folder, records):
    """Write what follows from the records: tables and checksums."""
    summary = tables.summarise(from_records(records))
    for style, suffix in tables.FORMATS.items():
        (folder / f"table.{suffix}").write_text(tables.render(summary, style))
    checksums.write(folder)


def complaints(folder):
    """Give the issues by rule."""
    found = check.findings(results_folder.find(folder.parent))
    return {finding.rule: finding.issues for finding in found if finding.issues}
