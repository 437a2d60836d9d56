"""This machine as asv knows it: by the class of its hardware, never by its host's name."""

import platform

from optbench.records.provenance import machine_class


def register() -> str:
    """Write the machine into asv's own file and give its name; needs asv."""
    from asv.machine import Machine, MachineCollection

    name = machine_class()
    # `asv machine --machine NAME` would keep no field that it can guess
    MachineCollection.save(
        name, Machine.get_defaults() | {"machine": name, "os": platform.system()}
    )
    return name
