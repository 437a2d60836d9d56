"""What the machine was like: told where it can be, None where it cannot."""

import subprocess
import sys
from types import SimpleNamespace

import pydantic
import pytest

from optbench.records import machine_state, provenance
from optbench.records.machine_state import SIZE, Conditions, observe


class NVMLError(Exception):
    pass


def refuse(*asked):
    raise NVMLError("Not Supported")


def nvml(**changes):
    """A driver with two GPUs, hot and slowed down."""
    told = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlClocksThrottleReasonAll": 0b1111,
        "nvmlClocksThrottleReasonNone": 0,
        "nvmlClocksThrottleReasonGpuIdle": 0b0001,
        "nvmlClocksThrottleReasonSwPowerCap": 0b0100,
        "nvmlClocksThrottleReasonHwSlowdown": 0b1000,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetClockInfo": lambda gpu, kind: {1: 1980, 2: 2619}[kind] - gpu,
        "nvmlDeviceGetTemperature": lambda gpu, sensor: 83 - gpu,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda gpu: 0 if gpu else 0b1100,
    }
    return SimpleNamespace(**told | changes)


def gpus(monkeypatch, **changes):
    monkeypatch.setitem(sys.modules, "pynvml", nvml(**changes))
    return observe().gpus


def test_every_gpu_tells_its_clocks_its_temperature_and_why_it_is_slow(monkeypatch):
    hot, cool = gpus(monkeypatch)
    assert (hot.clock, hot.memory_clock, hot.temperature) == (1980, 2619, 83)
    assert hot.throttled == ("SwPowerCap", "HwSlowdown")
    assert (cool.clock, cool.temperature, cool.throttled) == (1979, 82, ())


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    assert gpus(monkeypatch, nvmlInit=refuse) is None


def test_what_a_gpu_does_not_tell_is_none(monkeypatch):
    silent, _ = gpus(
        monkeypatch,
        nvmlDeviceGetTemperature=refuse,
        nvmlDeviceGetCurrentClocksThrottleReasons=refuse,
    )
    assert (silent.clock, silent.temperature, silent.throttled) == (1980, None, None)


def test_the_library_is_closed_also_after_an_error(monkeypatch):
    closed = []
    answer = gpus(
        monkeypatch, nvmlDeviceGetCount=refuse, nvmlShutdown=lambda: closed.append(True)
    )
    assert answer is None
    assert closed == [True]


def test_the_library_that_is_installed_has_every_name_that_is_asked_for():
    import pynvml

    absent = [name for name in vars(nvml()) if not hasattr(pynvml, name)]
    assert absent == []
    assert machine_state._named(pynvml, 0b100) == ("SwPowerCap",)


def test_the_calibration_kernel_is_timed_by_its_best(monkeypatch):
    instants = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(machine_state.time, "perf_counter", lambda: next(instants))
    assert machine_state._calibrate() == 1.0
    assert observed(calibration_seconds=0.5).calibration_flops == 4 * SIZE**3


@pytest.mark.parametrize("error", [NotImplementedError, OSError])
def test_a_machine_that_tells_nothing_is_no_error(error, monkeypatch):
    def silent(kind):
        def raise_it(**asked):
            raise kind

        return raise_it

    monkeypatch.setattr(machine_state.psutil, "cpu_freq", silent(error))
    monkeypatch.setattr(machine_state.psutil, "getloadavg", silent(OSError))
    found = observe()
    assert (found.cpu_clocks, found.load_average) == ((), None)


def test_only_the_process_s_own_cores_are_told_of(monkeypatch):
    monkeypatch.setattr(
        machine_state.psutil,
        "cpu_freq",
        lambda percpu: [SimpleNamespace(current=n) for n in range(4)],
    )
    monkeypatch.setattr(machine_state.cores, "usable", lambda: [1, 3])
    assert observe().cpu_clocks == (1.0, 3.0)


def test_conditions_come_back_as_they_were_and_are_strict(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    found = observe()
    assert Conditions.model_validate_json(found.model_dump_json()) == found
    for wrong in (
        {"calibration_seconds": 0.0},
        {"calibration_seconds": "1"},
        {"weather": "fine"},
    ):
        with pytest.raises(pydantic.ValidationError):
            observed(**wrong)


def observed(**changes):
    told = {
        "cpu_clocks": (),
        "load_average": None,
        "gpus": None,
        "calibration_seconds": 1.0,
    }
    return Conditions(**told | changes)


def test_what_runs_write_is_no_change_of_the_code(tmp_path, monkeypatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    code, written = (
        tmp_path / "optbench" / "records" / "provenance.py",
        tmp_path / "results" / "local.json",
    )
    for file in (code, written):
        file.parent.mkdir(parents=True)
        file.write_text("1")
    for words in (
        ["init", "--quiet"],
        ["add", "optbench"],
        ["commit", "--quiet", "--message", "first"],
    ):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(provenance, "CLONE", tmp_path)
    assert provenance._commit.__wrapped__()[1] is False
    code.write_text("2")
    assert provenance._commit.__wrapped__()[1] is True
