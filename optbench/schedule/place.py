"""Where a campaign's runs are done and kept: which frameworks work, and on what device."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.campaign.errors import CampaignError
from optbench.implementations import FrameworkMissing, devices
from optbench.records import store
from optbench.records.provenance import cpu_model, gpus
from optbench.records.record import Request


class NoFramework(FrameworkMissing):
    """None of the frameworks that are asked for works here; the message says why."""

    def __init__(self, framework: str, why: str) -> None:
        super().__init__(framework)
        self.msg = why  # what is shown


@dataclass(frozen=True)
class Place:
    """A folder of results of this machine, and the device that its numbers come from."""

    folder: Path
    device: str  # as the frameworks name it

    @classmethod
    def of(
        cls,
        root: Path,
        campaign: str,
        frameworks: Iterable[str],
        source: str,
        alike: bool = False,
    ) -> "Place":
        """Find the place of a campaign that runs in these frameworks.

        `alike`: on machines whose CPUs may be of several models.

        Raises:
            CampaignError: they compute on different devices, which no table may mix.
        """
        answers = devices.ask_all(frameworks)
        on = {name: answer.device for name, answer in answers.items() if answer.device}
        if len(set(on.values())) > 1:
            each = ", ".join(f"{name} on {device}" for name, device in on.items())
            message = (
                f"compute on different devices here, {each}: leave one out, or hide the "
                "accelerator with CUDA_VISIBLE_DEVICES="
            )
            raise CampaignError(source, ("frameworks",), message)
        device = next(iter(on.values()), "cpu")
        return cls(store.folder(root, campaign, device, alike), device)

    @property
    def machine(self) -> str:
        """The class of machine that the folder is named after."""
        return self.folder.name

    def of_this_device(self, requests: Sequence[Request]) -> list[Request]:
        """Say in requests what is the device's own: steps in blocks on an accelerator.

        On the CPU of a machine that has a GPU, they are for the CPU.
        """
        if self.device != "cpu":
            update: dict[str, Any] = {"blocks": True}
        elif gpus():
            update = {"device": "cpu"}
        else:
            return list(requests)
        return [request.model_copy(update=update) for request in requests]


def of_this_cpu(requests: Sequence[Request], folder: Path) -> list[Request]:
    """Leave out what is to do of a case and a seed that another model of CPU has begun.

    The runs of one case and seed are compared with each other, so that one CPU does them.
    """
    kept = store.Store(folder)
    done = {request.identity: kept.find(request) for request in requests}
    begun = {
        (record.request.case, record.request.seed)
        for record in done.values()
        if record and record.provenance.cpu != cpu_model()
    }
    return [
        request
        for request in requests
        if done[request.identity] or (request.case, request.seed) not in begun
    ]


def possible(requests: Sequence[Request], say: Callable[[str], None]) -> list[Request]:
    """Keep the requests whose framework works here; say of which it does not, and why.

    Raises:
        NoFramework: none does.
    """
    names = [request.framework for request in requests]

    def left_out(name: str) -> str:
        runs = names.count(name)
        return f"its {runs} runs are left out" if runs > 1 else "its one run is left out"

    here = working(names, lambda name, error: say(f"{error}; {left_out(name)}"))
    return [request for request in requests if request.framework in here]


def working(
    frameworks: Iterable[str], say: Callable[[str, str], None] = lambda name, error: None
) -> list[str]:
    """Name those of the frameworks that work here; say of each other one why it does not.

    Raises:
        NoFramework: none does.
    """
    errors = {name: answer.error for name, answer in devices.ask_all(frameworks).items()}
    broken = {name: error for name, error in errors.items() if error}
    if len(broken) == len(errors):
        raise NoFramework(*next(iter(broken.items())))
    for name, error in broken.items():
        say(name, error)
    return [name for name in errors if name not in broken]
