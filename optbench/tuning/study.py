"""What is tuned: each optimizer in a framework, on each case or once for all cases.

All have as many trials and the same budget.
"""

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench import implementations
from optbench.campaign import expansion
from optbench.campaign.campaign import Campaign, parse
from optbench.campaign.errors import CampaignError
from optbench.problems import own
from optbench.records.record import Request
from optbench.schedule.place import Place, working
from optbench.tuning import space as spaces
from optbench.tuning.space import Space

FIRST_SEED = 1_000_000  # tuning's seeds start here, a report's are others
BUDGETS = ("seconds", "steps")

Tables = dict[str, Any]  # a campaign, or a part of one, as its TOML file has it


@dataclass(frozen=True)
class Protocol:
    """What is the same for every optimizer and framework."""

    trials: int = 20
    seeds: int = 1  # runs per trial
    seed: int = 0  # of the samplers
    frameworks: tuple[str, ...] = ()  # none: the first of the campaign's that is installed
    # {"seconds": …} or {"steps": …}; empty: the case's
    budget: dict[str, Any] = field(default_factory=dict)
    together: bool = False  # one choice for all cases

    @property
    def run_seeds(self) -> list[int]:
        """The seeds of a trial's runs."""
        return list(range(FIRST_SEED, FIRST_SEED + self.seeds))

    def command(self, campaign: str) -> str:
        """Give the command line that asks for it."""
        numbers = {"trials": self.trials, "seeds": self.seeds, "seed": self.seed}
        words = ["optbench", "tune", campaign]
        for option, value in (numbers | self.budget).items():
            words += [f"--{option}", str(value)]
        for framework in self.frameworks:
            words += ["--framework", framework]
        words += ["--together"] if self.together else []
        return shlex.join(words)


@dataclass(frozen=True)
class Study:
    """The hyperparameters of one optimizer in one framework, on a case or on all."""

    cases: tuple[int, ...]  # their numbers in the campaign
    label: str  # of the optimizer's table
    framework: str
    space: Space
    # a campaign of these cases, optimizer and framework alone, on tuning's seeds
    tables: Tables
    name_of_runs: str  # what their records call the campaign
    source: str
    seed: int  # of the sampler
    place: Place  # where its runs are done

    def requests(self, hyperparameters: dict[str, Any]) -> list[Request]:
        """Give a trial's runs, one per case and seed.

        They are as a campaign's would be, but measured at the selection points.
        """
        cases = [
            case
            | {
                "optimizers": {
                    self.label: with_values(case["optimizers"][self.label], hyperparameters)
                }
            }
            for case in self.tables["case"]
        ]
        plan = parse(self.tables | {"case": cases}, self.source)
        runs = expansion.requests(plan, self.name_of_runs, self.source)
        runs = [run.model_copy(update={"evaluation": "selection"}) for run in runs]
        return self.place.of_this_device(runs)

    @cached_property
    def firsts(self) -> list[Request]:
        """A run with the defaults of each case."""
        return self.requests({})[:: len(self.tables["seeds"])]

    @property
    def first(self) -> Request:
        """A run with the defaults."""
        return self.firsts[0]

    @property
    def defaults(self) -> dict[str, Any]:
        """The default of every hyperparameter that is looked for."""
        optimizers, found = implementations.load_any().OPTIMIZERS, {}
        for key in self.space:
            stage, _, name = key.rpartition(".")  # as in "1.learning_rate"
            part = self.first.parts[int(stage or 1) - 1]
            # a request is silent on some that have their default
            found[key] = getattr(optimizers[part.optimizer](**part.hyperparameters), name)
        return found

    @property
    def title(self) -> str:
        """The study in a few words."""
        where = " and ".join(run.case for run in self.firsts)
        return f"{where}, {own.bare(self.label)}, {self.framework}"

    @cached_property
    def name(self) -> str:
        """Readable words, and a digest of all that the trials depend on."""
        run = self.first
        space = {key: entry.model_dump() for key, entry in self.space.items()}
        runs = [run.identity for run in self.firsts]
        several = len(runs) > 1
        content = [runs if several else runs[0], self.tables["seeds"], self.seed, space]
        content.append(self.place.machine)
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        where = ("together",) if several else (own.slug(run.problem), run.network)
        words = (*where, own.slug(run.optimizer), run.framework)
        return f"{'-'.join(words)}-{digest[:16]}"


def studies(
    campaign: Campaign,
    name: str,
    source: str,
    file: Path,
    protocol: Protocol,
    place: Place,
) -> list[Study]:
    """List the studies of a campaign; `file` has the search spaces.

    Two that differ by nothing but what is looked for have one name: it is done once.

    Raises:
        CampaignError: the campaign, the spaces or the budget are wrong, or the campaign
            reports on tuning's seeds.
        UnknownName: there is no such framework.
        FrameworkMissing: it is not installed.
    """
    for framework in protocol.frameworks:
        implementations.load(framework)
    tables = _tunable(as_tables(campaign), protocol.budget)
    # a mistake is named where it is in the file
    runs = expansion.requests(parse(tables, source), name, source)
    if taken := {run.seed for run in runs} & set(protocol.run_seeds):
        raise CampaignError(
            source, ("seeds",), f"must not hold {min(taken)}, which is a seed of tuning's"
        )
    optimizers = implementations.load_any().OPTIMIZERS
    searched = spaces.read(file, optimizers)
    if missing := {part.optimizer for run in runs for part in run.parts} - set(searched):
        raise CampaignError(
            file.name,
            (min(missing),),
            "is missing: an optimizer needs a search space to be tuned",
        )
    return [
        Study(
            cases=cases,
            label=label,
            framework=framework,
            space=space,
            tables=part,
            name_of_runs=f"{name}-tuning",
            source=source,
            seed=protocol.seed,
            place=place,
        )
        for cases, label, framework, space, part in _parts(tables, protocol, searched)
    ]


def once(studies: Iterable[Study]) -> list[Study]:
    """Leave out the studies that are there already, under another title."""
    first: dict[str, Study] = {}
    for study in studies:
        first.setdefault(study.name, study)
    return list(first.values())


def shared(studies: Sequence[Study]) -> Iterator[str]:
    """Say which of a campaign's studies are one."""
    first = {study.name: study for study in once(studies)}
    for study in studies:
        if (other := first[study.name]) is not study:
            yield (
                f"{study.title} is the same study as {other.title}: done once, its choice "
                "is written for both"
            )


def frameworks(campaign: Campaign, chosen: Sequence[str]) -> list[str]:
    """Name the frameworks that a campaign is tuned in: the chosen, or each case's first.

    One that there is not is left to `studies`, which says where it stands. Raises
    NoFramework where a chosen one, or all of a case, do not work here.
    """
    asked = [case.frameworks or campaign.frameworks for case in campaign.case]
    known = [
        [name for name in names if name in implementations.NAMES]
        for names in ([chosen] if chosen else asked)
    ]
    if chosen:
        return [name for each in known[0] for name in working([each])]
    return [name for names in known if names for name in _first(names)]


def as_tables(campaign: Campaign) -> Tables:
    """Give a campaign as `campaign.parse` reads it."""
    return campaign.model_dump(by_alias=True, exclude_none=True)


def without(table: Tables, *keys: str) -> Tables:
    """Leave some of a table's keys out."""
    return {key: value for key, value in table.items() if key not in keys}


def with_values(table: Tables, hyperparameters: Tables) -> Tables:
    """Give an optimizer's table other hyperparameters.

    Those of its first stage are called "1.learning_rate".
    """
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


def _space(label: str, table: Tables, searched: dict[str, Space]) -> Space:
    """Say where a table's hyperparameters are looked for, stages' by their numbers."""
    if "stages" not in table:
        return searched[table.get("name", label)]
    numbered = enumerate(table["stages"], 1)
    return {
        f"{number}.{key}": entry
        for number, stage in numbered
        for key, entry in searched[stage["name"]].items()
    }


def _fixed(table: Tables, space: Space) -> Tables:
    """Leave out of a table what is looked for."""
    if "stages" not in table:
        return without(table, *space)
    numbered = enumerate(table["stages"], 1)
    return table | {
        "stages": [without(stage, *_of_stage(number, space)) for number, stage in numbered]
    }


def _tunable(tables: Tables, budget: Tables) -> Tables:
    """Give all optimizers of a case one budget: this one, or the case's if it is empty."""
    replaced = BUDGETS if budget else ()
    cases = [_alike(without(case, *replaced)) for case in tables["case"]]
    return _alike(without(tables, *replaced)) | budget | {"case": cases}


def _alike(level: Tables) -> Tables:
    """Leave out budgets and origins of a campaign's or a case's optimizers."""
    if "optimizers" not in level:
        return level
    optimizers = {
        label: without(table, "from", "experiment", *BUDGETS)
        for label, table in level["optimizers"].items()
    }
    return level | {"optimizers": optimizers}


def _parts(
    tables: Tables, protocol: Protocol, searched: dict[str, Space]
) -> Iterator[tuple[tuple[int, ...], str, str, Space, Tables]]:
    """Give the cases, label, framework and space of each study, and their campaign.

    What is looked for is left out of that campaign. A choice for all cases is one study of
    a label and a framework, whose tables look for the same in every case that has them.
    """
    studies: dict[Any, list[tuple[int, Space, Tables]]] = {}
    for number, case in enumerate(tables["case"]):
        for framework in protocol.frameworks or _first(
            case.get("frameworks", tables["frameworks"])
        ):
            for label, table in case.get("optimizers", tables["optimizers"]).items():
                space = _space(label, table, searched)
                alone = without(case, "seeds", "more_seeds", "frameworks") | {
                    "optimizers": {label: _fixed(table, space)}
                }
                of = tuple(space) if protocol.together else number
                studies.setdefault((of, label, framework), []).append(
                    (number, space, alone)
                )
    for (_, label, framework), parts in studies.items():
        part = {
            "seeds": protocol.run_seeds,
            "frameworks": [framework],
            "optimizers": {},
            "case": [alone for _, _, alone in parts],
        }
        cases = tuple(number for number, _, _ in parts)
        yield cases, label, framework, parts[0][1], tables | part


def _first(frameworks: list[str]) -> list[str]:
    """Give the first framework that works here."""
    return working(frameworks)[:1]
