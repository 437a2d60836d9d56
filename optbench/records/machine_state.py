"""What the machine was like: clock frequencies, load, temperature.

Beside them stands the time of a calibration product that is always the same.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import numpy as np
import psutil
from pydantic import BaseModel, ConfigDict, Field

from optbench.records import cores

# the calibration is a float64 product of two SIZE × SIZE matrices: 2 · SIZE³ flops
SIZE = 512
REPEATS = 3  # of which the best counts


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class GPU(_Strict):
    """What NVML tells of a GPU; None where it does not tell."""

    clock: int | None  # MHz, of the multiprocessors
    memory_clock: int | None  # MHz
    temperature: int | None  # °C
    # why its clock is below the highest: "SwPowerCap"; "GpuIdle" is no complaint
    throttled: tuple[str, ...] | None


class Conditions(_Strict):
    """The machine at one moment, as the run's own process sees it."""

    # MHz, of the cores that the process may use; empty where the machine does not tell
    cpu_clocks: tuple[float, ...]
    # processes that run or wait, over 1, 5 and 15 minutes
    load_average: tuple[float, float, float] | None
    gpus: tuple[GPU, ...] | None  # None without an NVIDIA driver, or the extra "gpu"
    calibration_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]

    @property
    def calibration_flops(self) -> float:
        """Flops per second of the calibration product, with the process's NumPy threads."""
        return 2 * SIZE**3 / self.calibration_seconds


def observe() -> Conditions:
    """Observe the conditions now; takes about 20 ms, most of it the calibration."""
    return Conditions(
        cpu_clocks=_cpu_clocks(),
        load_average=_load_average(),
        gpus=_gpus(),
        calibration_seconds=_calibrate(),
    )


def _calibrate() -> float:
    """Seconds of the fastest of a few matrix products."""
    matrix = np.full((SIZE, SIZE), 0.5)
    product = np.empty_like(matrix)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        np.matmul(matrix, matrix, out=product)
        times.append(time.perf_counter() - start)
    return min(times)


def _cpu_clocks() -> tuple[float, ...]:
    with suppress(AttributeError, NotImplementedError, OSError):  # not every system tells
        clocks = [float(core.current) for core in psutil.cpu_freq(percpu=True) or ()]
        mine = cores.usable()
        return tuple(
            clock for core, clock in enumerate(clocks) if core in mine or len(clocks) == 1
        )
    return ()


def _load_average() -> tuple[float, float, float] | None:
    with suppress(AttributeError, OSError):
        return psutil.getloadavg()
    return None


def _gpus() -> tuple[GPU, ...] | None:
    try:
        import pynvml
    except ModuleNotFoundError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return None
    try:
        return tuple(
            _gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(i))
            for i in range(pynvml.nvmlDeviceGetCount())
        )
    except pynvml.NVMLError:  # a GPU that this process may not ask
        return None
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: Any, handle: Any) -> GPU:
    def answer(question: Callable[..., int], *details: int) -> int | None:
        with suppress(nvml.NVMLError):  # not every GPU answers everything
            return question(handle, *details)
        return None

    reasons = answer(nvml.nvmlDeviceGetCurrentClocksThrottleReasons)
    return GPU(
        clock=answer(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_SM),
        memory_clock=answer(nvml.nvmlDeviceGetClockInfo, nvml.NVML_CLOCK_MEM),
        temperature=answer(nvml.nvmlDeviceGetTemperature, nvml.NVML_TEMPERATURE_GPU),
        throttled=None if reasons is None else _named(nvml, reasons),
    )


def _named(nvml: Any, reasons: int) -> tuple[str, ...]:
    """Name a bit mask's single bits; older names of the same bit do not count."""
    prefix = "nvmlClocksThrottleReason"
    bits = {
        getattr(nvml, name): name.removeprefix(prefix)
        for name in sorted(dir(nvml))
        if name.startswith(prefix)
    }
    return tuple(
        name for bit, name in sorted(bits.items()) if bit & reasons and bit.bit_count() == 1
    )
