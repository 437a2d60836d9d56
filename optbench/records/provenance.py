"""Where a run came from: commit, versions, hardware, precision flags. Never a host name."""

import functools
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from operator import not_
from pathlib import Path
from typing import Any

import psutil
from pydantic import BaseModel, ConfigDict, Field

from optbench.records.cores import usable

CLONE = Path(__file__).parents[2]
PACKAGES = ("numpy", "torch", "jax", "jaxlib")
GPU_LINE = re.compile(r"\S.*, \d+(\.\d+)+")  # "NVIDIA H100 80GB HBM3, 580.159.04"


class Provenance(BaseModel):
    """What produced a record; None where there is nothing to tell."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    commit: str | None  # of the clone that ran
    dirty: bool | None  # whether the clone held uncommitted changes outside of results/
    python: str
    system: str
    packages: dict[str, str | None]
    # native thread pools of the run's process: library, version, threads; torch's own BLAS
    blas: tuple[str, ...]
    machine: str  # class of hardware
    cpu: str
    cores: int  # logical cores of the machine
    threads: int  # cores that the run's process may use
    memory: int  # bytes
    gpus: tuple[str, ...]  # name, driver
    device: str | None  # what the framework computed on
    precision: dict[str, bool | str | None]
    # whether another process of ours used the same cores: seconds are then no measure
    shared_cores: bool = False
    # operations per second of the framework's own products, by their shapes; none in older
    # records
    product_rates: dict[str, float] = Field(default={}, exclude_if=not_)


def collect(
    device: str | None = None,
    machine: str | None = None,
    product_rates: dict[str, float] | None = None,
) -> Provenance:
    """Collect the provenance of this process, on a device as the framework names it.

    `machine` is the class under which its results are kept, if not this one's own name.
    """
    commit, dirty = _commit()
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        packages=versions(),
        blas=_thread_pools(),
        machine=machine or machine_class(device or "cpu"),
        cpu=cpu_model(),
        cores=os.cpu_count() or 1,
        threads=len(usable()),
        memory=psutil.virtual_memory().total,
        gpus=gpus(),
        device=device,
        precision=_precision(),
        product_rates=product_rates or {},
    )


def versions() -> dict[str, str | None]:
    """Give the versions of the packages that compute; None for one that is missing."""
    return {package: _version(package) for package in PACKAGES}


@functools.cache
def machine_class(device: str = "cpu") -> str:
    """Name the hardware in words fit for a folder: accelerator or CPU, cores, memory.

    `device` is what a framework computes on, as it names it: a GPU that no framework uses
    is no part of the name.
    """
    memory = psutil.virtual_memory().total
    return class_of(device, cpu_model(), os.cpu_count() or 1, memory)


def class_of(device: str, cpu: str, cores: int, memory: int) -> str:
    """Name the class of a machine with a device, a CPU, its cores and bytes of memory."""
    models = [device] if device != "cpu" else []
    models += [re.sub(r"\((R|TM)\)|CPU|Processor", " ", cpu)]
    words = f"{' '.join(models)} {cores} cores {round(memory / 2**30)} GiB"
    return re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-")


def same_class(one: str, other: str) -> bool:
    """Say whether two classes are one; memory at a border is rounded both ways."""
    parts = [re.fullmatch(r"(.*-)(\d+)-gib", name) for name in (one, other)]
    if one == other or None in parts:
        return one == other
    (words, memory), (others, another) = (part.groups() for part in parts if part)
    return words == others and abs(int(memory) - int(another)) <= 1


def class_of_alike(name: str) -> str:
    """Name the machines that differ from one of this class in their CPU's model alone."""
    return re.sub(r".*-(?=\d+-cores-\d+-gib$)", "", name)


def is_alike(name: str, alike: str) -> bool:
    """Say whether a machine of the class `name` is one of those that `alike` names."""
    is_without_model = re.fullmatch(r"\d+-cores-\d+-gib", alike)
    return bool(is_without_model) and same_class(class_of_alike(name), alike)


def class_beside(names: Iterable[str], device: str = "cpu", alike: bool = False) -> str:
    """Give this machine's class, by the name that one of `names` already gives it.

    `alike`: on the CPU, that of all machines that differ in its model alone.
    """
    mine = machine_class(device)
    mine = class_of_alike(mine) if alike and device == "cpu" else mine
    return (
        mine
        if mine in (names := sorted(names))
        else next((name for name in names if same_class(name, mine)), mine)
    )


@functools.cache
def cpu_model() -> str:
    """Give the CPU's model name."""
    if Path("/proc/cpuinfo").exists():
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        names = re.findall(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
        if names:
            return names[0]
    import cpuinfo  # takes a second, so only where the kernel does not say

    return cpuinfo.get_cpu_info().get("brand_raw", platform.machine())


@functools.cache
def gpus() -> tuple[str, ...]:
    """List every NVIDIA GPU's name and driver."""
    lines = _output(
        "nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"
    )
    # without a GPU some versions say so in words, and end well
    return tuple(filter(GPU_LINE.fullmatch, (lines or "").splitlines()))


@functools.cache
def unknown_commit() -> str | None:
    """Say why the commit of this clone is unknown; None where it is known, or no clone."""
    if not _is_clone():
        return None
    try:
        _run("git", "-C", str(CLONE), "rev-parse", "HEAD")
    except subprocess.CalledProcessError as error:
        reason = error.stderr.strip().partition("\n")[0].removeprefix("fatal: ")
        return f"the commit of {CLONE} is unknown: {reason}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"the commit of {CLONE} is unknown: git does not run ({error})"
    return None


@functools.cache
def _commit() -> tuple[str | None, bool | None]:
    commit = ask_clone("rev-parse", "HEAD")
    # what runs write is no change of what runs
    changes = ask_clone("status", "--porcelain", "--", ".", ":(exclude)results")
    return commit, None if changes is None else bool(changes)


def ask_clone(*words: str) -> str | None:
    """Give what git prints of this clone; None where it fails, or where there is none."""
    return _output("git", "-C", str(CLONE), *words) if _is_clone() else None


def _is_clone() -> bool:
    """Say whether this is a clone: an installed copy may lie inside some other one."""
    return (CLONE / ".git").exists()


def _output(*command: str) -> str | None:
    """Run a command and give what it prints; None where it fails."""
    try:
        return _run(*command)
    except (OSError, subprocess.SubprocessError):
        return None


def _run(*command: str) -> str:
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=True,
        timeout=30,
    ).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _thread_pools() -> tuple[str, ...]:
    import threadpoolctl

    pools = {
        f"{p['internal_api']} {p['version'] or ''} threads {p['num_threads']}"
        for p in threadpoolctl.threadpool_info()
    }
    torch: Any = sys.modules.get("torch")
    if torch is not None:  # its BLAS is linked in, where threadpoolctl does not look
        lines = re.findall(
            r"^\s*- (.*Math Kernel Library Version \S+|OpenBLAS.*)",
            torch.__config__.show(),
            re.MULTILINE,
        )
        pools |= {f"torch: {line} threads {torch.get_num_threads()}" for line in lines}
    return tuple(sorted(pools))


def _precision() -> dict[str, bool | str | None]:
    """Read the flags that change what a framework computes.

    Only the frameworks that this process has imported are asked.
    """
    flags: dict[str, bool | str | None] = {}
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        flags["torch_matmul_tf32"] = bool(torch.backends.cuda.matmul.allow_tf32)
        flags["torch_cudnn_tf32"] = bool(torch.backends.cudnn.allow_tf32)
        flags["torch_deterministic"] = torch.are_deterministic_algorithms_enabled()
    jax: Any = sys.modules.get("jax")
    if jax is not None:
        flags["jax_enable_x64"] = bool(jax.config.jax_enable_x64)
        flags["jax_default_matmul_precision"] = jax.config.jax_default_matmul_precision
    return flags
