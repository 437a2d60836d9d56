"""The device that computes is part of the folder and the identity; a GPU there is not."""

import stat
import sys
from pathlib import Path

import pytest
from fakes import Fake, request

from optbench import implementations
from optbench.campaign import campaign, expansion, results_folder
from optbench.campaign.errors import CampaignError
from optbench.implementations import FrameworkBroken, devices
from optbench.implementations.devices import Answer
from optbench.records import provenance, store
from optbench.schedule import place as places
from optbench.schedule.place import NoFramework, Place
from optbench.training import status

H100 = "NVIDIA H100 80GB HBM3"
RESULTS = Path(__file__).parents[2] / "results"
FOLDERS = "gpu_short", "scale", "cpu"


@pytest.fixture
def answers(monkeypatch):
    """What the frameworks say, to be filled in."""
    said = {}
    monkeypatch.setattr(devices, "_answers", said)
    return said


@pytest.fixture
def smi(tmp_path, monkeypatch):
    """A driver's program with words of its own."""

    def say(words):
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\necho '{words}'\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        provenance.gpus.cache_clear()

    yield say
    provenance.gpus.cache_clear()


@pytest.mark.skipif(sys.platform == "win32", reason="a program is no shell script there")
@pytest.mark.parametrize(
    "words",
    [
        "No devices were found",
        "[N/A], [N/A]",
        "NVIDIA-SMI has failed because it could not communicate with the driver.",
    ],
)
def test_words_of_the_driver_are_no_gpu(words, smi, answers, tmp_path):
    smi(words)
    answers["torch"] = Answer("cpu", None)
    place = Place.of(tmp_path, "c", ["torch"], "c.toml")
    asked = request()
    assert provenance.gpus() == ()
    assert place.machine == provenance.machine_class()
    assert place.of_this_device([asked]) == [asked]


@pytest.mark.skipif(sys.platform == "win32", reason="a program is no shell script there")
def test_a_cpu_beside_a_gpu_has_its_own_folder_and_identity(smi, answers, tmp_path):
    smi(f"{H100}, 550.54")
    answers["torch"] = Answer("cpu", None)
    place, asked = Place.of(tmp_path, "c", ["torch"], "c.toml"), request()
    (told,) = place.of_this_device([asked])
    assert provenance.gpus() == (f"{H100}, 550.54",)
    assert place.machine == provenance.machine_class()
    assert "h100" not in place.machine
    assert told.device == "cpu"
    assert told.identity != asked.identity
    answers["torch"] = Answer(H100, None)
    on_gpu = Place.of(tmp_path, "c", ["torch"], "c.toml")
    assert on_gpu.machine.startswith("nvidia-h100-80gb-hbm3-")
    (told,) = on_gpu.of_this_device([asked])
    assert told.blocks
    assert told.model_copy(update={"blocks": False}) == asked


def test_cpus_that_are_alike_share_a_folder(tmp_path, monkeypatch, answers):
    answers["torch"] = Answer("cpu", None)
    names = set()
    for model in ("AMD EPYC Processor", "Intel(R) Xeon(R) Processor"):
        monkeypatch.setattr(provenance, "cpu_model", lambda model=model: model)
        provenance.machine_class.cache_clear()
        one = Place.of(tmp_path, "c", ["torch"], "c.toml")
        alike = Place.of(tmp_path, "c", ["torch"], "c.toml", alike=True)
        assert provenance.is_alike(one.machine, alike.machine)
        assert not provenance.is_alike(one.machine, f"1{alike.machine}")
        names |= {one.machine, alike.machine}
    provenance.machine_class.cache_clear()
    assert len(names) == 3
    answers["torch"] = Answer(H100, None)
    on_gpu = Place.of(tmp_path, "c", ["torch"], "c.toml", alike=True)
    assert on_gpu.machine.startswith("nvidia-h100-80gb-hbm3-")


def test_a_case_and_seed_stay_with_the_cpu_that_began_them(tmp_path, monkeypatch):
    first, second = request(seed=0), request(seed=0, steps=7)
    later, wider = request(seed=1), request(seed=0, network="tanh_5")
    asked = [first, second, later, wider]
    store.Store(tmp_path).write(Fake().perform(first))
    assert places.of_this_cpu(asked, tmp_path) == asked
    monkeypatch.setattr(places, "cpu_model", lambda: "another")
    assert places.of_this_cpu(asked, tmp_path) == [first, later, wider]


def test_an_accelerator_that_no_driver_of_nvidias_knows_is_in_the_name(answers, tmp_path):
    answers["jax"] = Answer("TPU v4", None)
    place = Place.of(tmp_path, "c", ["jax"], "c.toml")
    assert place.machine.startswith("tpu-v4-")
    assert place.device == "TPU v4"


def test_no_table_mixes_devices(answers, tmp_path):
    answers |= {"torch": Answer(H100, None), "jax": Answer("cpu", None)}
    with pytest.raises(CampaignError, match=f"torch on {H100}, jax on cpu"):
        Place.of(tmp_path, "c", ["torch", "jax"], "c.toml")
    assert Place.of(tmp_path, "c", ["torch"], "c.toml").device == H100


def test_a_run_that_computes_elsewhere_is_no_measure():
    record = Fake().perform(request(), device="cpu", machine="a CPU")
    assert record.status == "failed"
    assert record.error == (
        "torch computes on a fake here, and the run is kept among those of cpu"
    )
    assert record.provenance.machine == "a CPU"
    assert not record.history
    assert Fake().perform(request(), device="a fake").status == "finished"


def published():
    """Every folder of records that has its campaign beside it."""
    return [
        file.parent
        for root in FOLDERS
        for file in sorted((RESULTS / root).rglob("campaign.toml"))
    ]


@pytest.mark.parametrize("folder", published(), ids=lambda folder: folder.parts[-2:][0])
def test_every_published_identity_is_unchanged(folder, answers, monkeypatch):
    """Expanded as on the machine that did the runs, GPU or not."""
    on_gpu = folder.name.startswith("nvidia")
    monkeypatch.setattr(places, "gpus", lambda: (f"{H100}, 550.54",) if on_gpu else ())
    place = Place(folder, H100 if on_gpu else "cpu")
    records = [record for _, record in store.records(folder)]
    file = folder / "campaign.toml"
    name = records[0].request.labels.campaign
    versions = results_folder.versions(records)
    asked = expansion.requests(campaign.read(file), name, file.name, versions)
    # those of GPUs are from before steps were done in blocks
    expanded = {
        one.model_copy(update={"blocks": False}).identity
        for one in place.of_this_device(asked)
    }
    assert {record.identity for record in records} <= expanded
    assert {record.provenance.machine for record in records} == {folder.name}


def test_what_does_not_work_is_told_once_and_left_out(answers):
    answers |= {
        "torch": Answer("cpu", None),
        "jax": Answer(None, "jax does not import: RuntimeError: another jaxlib"),
    }
    asked = [request(), request(framework="jax", mode="jit"), request(seed=4)]
    said = []
    assert places.possible(asked, said.append) == [asked[0], asked[2]]
    assert said == [f"{answers['jax'].error}; its one run is left out"]
    with pytest.raises(NoFramework) as caught:
        places.possible(asked[1:2], said.append)
    assert str(caught.value) == answers["jax"].error


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A framework that is found and does not import."""

    def write(code):
        (tmp_path / "jax").mkdir()
        (tmp_path / "jax" / "__init__.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            "raise RuntimeError('jaxlib is\\n another')",
            "import: RuntimeError: jaxlib is another",
        ),
        ("raise SystemExit(3)", "import: SystemExit: 3"),
        ("import os; os._exit(7)", "work: its process ended with code 7"),
    ],
)
def test_a_framework_that_is_found_and_does_not_import_says_why(
    code, words, broken, answers
):
    broken(code)
    assert implementations.is_installed("jax")
    assert devices.ask_all(["jax"]) == {"jax": Answer(None, f"jax does not {words}")}


def test_the_reason_reaches_another_process_as_it_is():
    import pickle

    for error in (
        implementations.FrameworkMissing("jax"),
        FrameworkBroken("jax", "does not import: no"),
        NoFramework("jax", "neither works"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_a_compilers_words_are_one_line():
    text = "C++ compile error\n\nCommand: c++ -O3 x.cpp\n  x.cpp: error: planted\n  note"
    kept = status.classify(RuntimeError(text))[1]
    assert kept == "RuntimeError: C++ compile error … x.cpp: error: planted"
    assert len(status.in_one_line("long " * 1000)) == status.LONGEST
