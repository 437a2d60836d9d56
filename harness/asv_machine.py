"""This machine as asv knows it: by the class of its hardware, never by its host's name."""

import platform

from harness.provenance import machine_class


def register() -> str:
    """Write the machine into asv's own file and give its name; needs asv."""
    from asv.machine import Machine, MachineCollection

    name = machine_class()
    MachineCollection.save(
        name, Machine.get_defaults() | {"machine": name}
    )  # `asv machine` keeps no field that it guessed
    return name
