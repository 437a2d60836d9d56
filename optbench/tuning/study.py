"""What is tuned: each optimizer of each case in a framework, all with as many trials and the same budget."""

import hashlib
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench import implementations
from optbench.campaign import expansion
from optbench.campaign.campaign import Campaign, parse
from optbench.campaign.errors import CampaignError
from optbench.problems import own
from optbench.records.provenance import machine_class
from optbench.records.record import Request
from optbench.tuning import space as spaces
from optbench.tuning.space import Space

FIRST_SEED = 1_000_000  # tuning's seeds start here, a report's are others
BUDGETS = ("seconds", "steps")

Tables = dict[str, Any]  # a campaign, or a part of one, as its TOML file has it


@dataclass(frozen=True)
class Protocol:
    """What is the same for every optimizer and framework."""

    trials: int = 20
    seeds: int = 1  # runs a trial
    seed: int = 0  # of the samplers
    frameworks: tuple[str, ...] = ()  # none: the first of the campaign's that is installed
    budget: dict[str, Any] = field(
        default_factory=dict
    )  # {"seconds": …} or {"steps": …}; empty: the case's

    @property
    def run_seeds(self) -> list[int]:
        """The seeds of a trial's runs."""
        return list(range(FIRST_SEED, FIRST_SEED + self.seeds))

    def command(self, campaign: str) -> str:
        """The command line that asks for it."""
        given = {
            "trials": self.trials,
            "seeds": self.seeds,
            "seed": self.seed,
            **self.budget,
        }
        options = [*given.items(), *(("framework", name) for name in self.frameworks)]
        return shlex.join(
            [
                "optbench",
                "tune",
                campaign,
                *(word for k, v in options for word in (f"--{k}", str(v))),
            ]
        )


@dataclass(frozen=True)
class Study:
    """The hyperparameters of one optimizer on one case in one framework."""

    case: int  # its number in the campaign
    label: str  # of the optimizer's table
    framework: str
    space: Space
    tables: (
        Tables  # a campaign of this case, optimizer and framework alone, on tuning's seeds
    )
    name_of_runs: str  # what their records call the campaign
    source: str
    seed: int  # of the sampler

    def requests(self, hyperparameters: dict[str, Any]) -> list[Request]:
        """A trial's runs, one a seed: as a campaign's would be, but measured at the selection points."""
        case = self.tables["case"][0]
        table = with_values(case["optimizers"][self.label], hyperparameters)
        plan = parse(
            self.tables | {"case": [case | {"optimizers": {self.label: table}}]},
            self.source,
        )
        runs = expansion.requests(plan, self.name_of_runs, self.source)
        return [run.model_copy(update={"evaluation": "selection"}) for run in runs]

    @cached_property
    def first(self) -> Request:
        """A run with the defaults."""
        return self.requests({})[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of every hyperparameter that is looked for."""
        return {key: self.first.settings[key] for key in self.space}

    @property
    def title(self) -> str:
        """The study in a few words."""
        return f"{own.bare(self.first.problem)}, {self.first.network}, {self.label}, {self.framework}"

    @cached_property
    def name(self) -> str:
        """Readable words, and a digest of all that the trials depend on."""
        run, space = (
            self.first,
            {key: entry.model_dump() for key, entry in self.space.items()},
        )
        asked = json.dumps(
            [run.identity, self.tables["seeds"], self.seed, space, machine_class()],
            sort_keys=True,
        )
        words = (own.slug(run.problem), run.network, own.slug(run.optimizer), run.framework)
        return f"{'-'.join(words)}-{hashlib.sha256(asked.encode()).hexdigest()[:16]}"


def studies(
    campaign: Campaign, name: str, source: str, file: Path, protocol: Protocol
) -> list[Study]:
    """The studies of a campaign, each once; `file` has the search spaces.

    Raises:
        CampaignError: the campaign, the spaces or the budget are wrong, or the campaign
        reports on tuning's seeds. UnknownName, FrameworkMissing: there is no such
        framework, or it is not installed.
    """
    for framework in protocol.frameworks:
        implementations.load(framework)
    tables = _tunable(as_tables(campaign), protocol.budget)
    runs = expansion.requests(
        parse(tables, source), name, source
    )  # a mistake is named where it is in the file
    if taken := {run.seed for run in runs} & set(protocol.run_seeds):
        raise CampaignError(
            source, ("seeds",), f"must not hold {min(taken)}, which is a seed of tuning's"
        )
    found = spaces.read(
        file, implementations.load(implementations.installed()[-1]).OPTIMIZERS
    )
    if missing := {part.optimizer for run in runs for part in run.parts} - set(found):
        raise CampaignError(
            file.name,
            (min(missing),),
            "is missing: an optimizer needs a search space to be tuned",
        )
    every = [
        Study(case, label, framework, space, part, f"{name}-tuning", source, protocol.seed)
        for case, label, framework, space, part in _parts(tables, protocol, found)
    ]
    once: dict[str, Study] = {}
    for study in every:  # the first of equal ones
        once.setdefault(study.name, study)
    return list(once.values())


def as_tables(campaign: Campaign) -> Tables:
    """A campaign as `campaign.parse` reads it."""
    return campaign.model_dump(by_alias=True, exclude_none=True)


def without(table: Tables, *keys: str) -> Tables:
    """A table without some of its keys."""
    return {key: value for key, value in table.items() if key not in keys}


def with_values(table: Tables, hyperparameters: Tables) -> Tables:
    """An optimizer's table with other hyperparameters; those of its first stage are called "1.learning_rate"."""
    if "stages" not in table:
        return table | hyperparameters
    numbered = enumerate(table["stages"], 1)
    return table | {
        "stages": [stage | _of_stage(number, hyperparameters) for number, stage in numbered]
    }


def _of_stage(number: int, hyperparameters: Tables) -> Tables:
    prefix = f"{number}."
    return {
        key.removeprefix(prefix): value
        for key, value in hyperparameters.items()
        if key.startswith(prefix)
    }


def _space(label: str, table: Tables, found: dict[str, Space]) -> Space:
    """Where the hyperparameters of a table are looked for, those of stages by their numbers."""
    if "stages" not in table:
        return found[table.get("name", label)]
    numbered = enumerate(table["stages"], 1)
    return {
        f"{number}.{key}": entry
        for number, stage in numbered
        for key, entry in found[stage["name"]].items()
    }


def _fixed(table: Tables, space: Space) -> Tables:
    """A table without what is looked for."""
    if "stages" not in table:
        return without(table, *space)
    numbered = enumerate(table["stages"], 1)
    return table | {
        "stages": [without(stage, *_of_stage(number, space)) for number, stage in numbered]
    }


def _tunable(tables: Tables, budget: Tables) -> Tables:
    """One budget for all optimizers of a case: the given one, or the case's."""
    given = BUDGETS if budget else ()
    cases = [_alike(without(case, *given)) for case in tables["case"]]
    return _alike(without(tables, *given)) | budget | {"case": cases}


def _alike(level: Tables) -> Tables:
    """The campaign or a case, its optimizers without budgets and origins of their own."""
    made = {
        label: without(table, "from", "experiment", *BUDGETS)
        for label, table in level.get("optimizers", {}).items()
    }
    return level | {"optimizers": made} if "optimizers" in level else level


def _parts(
    tables: Tables, protocol: Protocol, found: dict[str, Space]
) -> Iterator[tuple[int, str, str, Space, Tables]]:
    """Case, label, framework, where is looked, and the campaign of them alone, without what is looked for."""
    for number, case in enumerate(tables["case"]):
        for framework in protocol.frameworks or _first(
            case.get("frameworks", tables["frameworks"])
        ):
            for label, table in case.get("optimizers", tables["optimizers"]).items():
                space = _space(label, table, found)
                alone = without(case, "seeds", "frameworks") | {
                    "optimizers": {label: _fixed(table, space)}
                }
                part = {
                    "seeds": protocol.run_seeds,
                    "frameworks": [framework],
                    "optimizers": {},
                    "case": [alone],
                }
                yield number, label, framework, space, tables | part


def _first(frameworks: list[str]) -> list[str]:
    """The first framework that is installed."""
    here = [
        framework for framework in frameworks if implementations.is_installed(framework)
    ]
    if not here:
        raise implementations.FrameworkMissing(frameworks[0])
    return here[:1]
