"""From a campaign to the runs that it asks for, each spelled out in full and checked."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import partial
from itertools import accumulate, chain
from typing import Any

from pydantic import ValidationError

from optbench import implementations, problems
from optbench.campaign import batches, presets, source_files
from optbench.campaign.campaign import Campaign, Case, OptimizerTable, StageTable, Table
from optbench.campaign.errors import CampaignError, Where, dotted, explain, keys
from optbench.campaign.names import claimed, fault, seen
from optbench.implementations import lookup
from optbench.implementations.former_versions import FORMER
from optbench.implementations.hyperparameters import spelled_out
from optbench.implementations.protocol import Optimizer
from optbench.problems.names import UnknownName
from optbench.problems.own import bare, is_own
from optbench.problems.problem import Problem
from optbench.records.record import Labels, Mode, Precision, Request, Stage

MODES: dict[str, Mode] = {"torch": "eager", "torch-compiled": "inductor", "jax": "jit"}

PRECISIONS: dict[Precision, dict[str, Any]] = {
    "float64": {"dtype": "float64"},
    "float32": {"dtype": "float32"},
    "tf32": {"dtype": "float32", "tf32": True},
}
NOW: Mapping[str, int] = {}  # every optimizer as it is
NO_TF32 = "needs an NVIDIA GPU, and there is none"
FLOAT64_ALONE = "{} runs in float64 alone"  # an optimizer's name goes in


def requests(
    campaign: Campaign, name: str, source: str, versions: Mapping[str, int] = NOW
) -> list[Request]:
    """Give every run that a campaign asks for; imports one framework.

    What it asks for under two names is there under both, with one identity. `versions` are
    those of optimizers that had other fields when a folder's campaign was written.

    Raises:
        CampaignError: one line that names the file (`source`), the key, the value and what
            is allowed.
        FrameworkMissing: there is no framework at all.
    """
    # one framework checks for both: the twins have the same fields and versions
    expansion = Expansion(campaign, name, source, implementations.load_any(), versions)
    runs = list(expansion.requests())
    source_files.distinct(runs, source)
    return runs


def once(requests: Iterable[Request]) -> list[Request]:
    """Leave out the runs that are there already, under another name."""
    first: dict[str, Request] = {}
    for request in requests:
        first.setdefault(request.identity, request)
    return list(first.values())


def shared(requests: Iterable[Request]) -> Iterator[str]:
    """Say which of a campaign's names are of the same runs."""
    first: dict[str, str] = {}
    same: dict[str, str] = {}
    for request in requests:
        name = f"{bare(request.labels.optimizer)} on {request.case}"
        earlier = first.setdefault(request.identity, name)
        if earlier != name:
            same[name] = earlier
    for name, earlier in same.items():
        yield f"{name} is the same as {earlier}: done once, shown under both names"


def check_precision(campaign: Campaign, source: str, device: str) -> None:
    """Raise CampaignError where a campaign asks for TF32 on a device that is no GPU.

    TF32 is for products of float32 matrices on NVIDIA's GPUs: factors have 10 bits.
    """
    levels: list[tuple[Where, Campaign | Case]] = [((), campaign)]
    levels += [(("case", number), case) for number, case in enumerate(campaign.case)]
    for where, level in levels:
        if level.precision == "tf32" and device == "cpu":
            raise CampaignError(source, (*where, "precision"), NO_TF32, value="tf32")


@dataclass(frozen=True)
class Expansion:
    """A campaign with what is needed to check it."""

    campaign: Campaign
    name: str
    source: str
    framework: implementations.Framework
    versions: Mapping[str, int]

    def requests(self) -> Iterator[Request]:
        """Give the runs, case by case."""
        self._name(("version",), self.campaign.version)
        self._budget((), self.campaign)
        self._frameworks((), self.campaign.frameworks)
        cases: dict[str, Where] = {}
        labels: dict[str, tuple[Where, str]] = {}
        for number, case in enumerate(self.campaign.case):
            where = ("case", number)
            runs = list(self._case(where, case, labels))
            name = runs[0].case
            if (other := cases.setdefault(seen(name), where)) != where:
                message = (
                    f"is called {name!r}, as {dotted(other)} is: "
                    "give one of them a name of its own"
                )
                raise CampaignError(self.source, where, message)
            yield from runs

    def _case(
        self, where: Where, case: Case, labels: dict[str, tuple[Where, str]]
    ) -> Iterator[Request]:
        """Give a case's runs; `labels` are those seen so far, and what they run."""
        if case.name:
            self._name((*where, "name"), case.name)
        problem = self._checked((*where, "problem"), case.problem, problems.get)
        objective = partial(self.framework.Objective, problem)
        self._checked((*where, "network"), case.network, objective)
        self._budget(where, case)
        frameworks = self._frameworks(
            where, _first(case.frameworks, self.campaign.frameworks)
        )
        inside = (*where, "optimizers") if case.optimizers is not None else ("optimizers",)
        tables = _first(case.optimizers, self.campaign.optimizers)
        if not tables:
            raise CampaignError(
                self.source,
                (*where, "optimizers"),
                "is missing: a case needs optimizers to run",
            )
        runs = []
        for label, table in tables.items():
            at = (*inside, label)
            self._name(at, label)
            run = self._optimizer(at, label, problem, case, where, table)
            self._label(at, label, bare(run["optimizer"]), labels)
            names = _optimizers(label, table)
            runs.append((run, self._written_for(at, names, table, frameworks)))
        seeds = _first(case.seeds, self.campaign.seeds)
        more = case.more_seeds or {}
        self._more_seeds((*where, "more_seeds"), more, seeds, [*tables])
        for seed in dict.fromkeys(chain(seeds, *more.values())):
            for run, its_frameworks in runs:
                label = run["labels"].optimizer
                if seed not in (*seeds, *more.get(label, ())):
                    continue
                for framework in its_frameworks:
                    yield Request(
                        framework=framework,
                        mode=MODES[framework],
                        threads=self.campaign.threads,
                        seed=seed,
                        **run,
                    )

    def _more_seeds(
        self, where: Where, more: dict[str, list[int]], seeds: list[int], labels: list[str]
    ) -> None:
        """Check that further seeds are of optimizers of the case, and are no others."""
        for label, its in more.items():
            if label not in labels:
                message = str(UnknownName("optimizer of the case", label, labels))
                raise CampaignError(self.source, (*where, label), message)
            for number, seed in enumerate(its):
                if seed in seeds:
                    message = "is a seed of all optimizers already"
                    raise CampaignError(
                        self.source, (*where, label, number), message, value=seed
                    )

    def _name(self, where: Where, name: str) -> None:
        """Check what a name holds."""
        if message := fault(name):
            raise CampaignError(self.source, where, message, value=name)

    def _label(
        self, where: Where, label: str, runs: str, labels: dict[str, tuple[Where, str]]
    ) -> None:
        """Check that a label is of what it runs, and of nothing else in the campaign."""
        known = [*self.framework.OPTIMIZERS, *presets.PRESETS]
        claim = bare(label) if is_own(label) else claimed(label, known)
        if claim not in (None, runs):
            message = f"runs {runs} under the name of {claim}: give it another label"
            raise CampaignError(self.source, where, message)
        # a table may be the campaign's, and so that of every case
        other, others = labels.setdefault(seen(label), (where, runs))
        if runs != others:
            message = (
                f"runs {runs}, and {dotted(other)} runs {others}: "
                "give one of them another label"
            )
            raise CampaignError(self.source, where, message)
        if label != other[-1]:
            message = f"looks as {dotted(other)} does: give one of them another label"
            raise CampaignError(self.source, where, message)

    def _optimizer(
        self,
        where: Where,
        label: str,
        problem: Problem,
        case: Case,
        around: Where,
        table: OptimizerTable,
    ) -> dict[str, Any]:
        """Make the part of a request that its seed and framework do not change.

        The table is at `where` in the file, its case at `around`.
        """
        self._budget(where, table)
        levels = (table, case, self.campaign)
        places: tuple[Where, ...] = (where, around, ())
        budget = next((level for level in levels if level.steps or level.seconds), None)
        if budget is None:
            raise CampaignError(self.source, where, "has no budget: give seconds or steps")
        whole = (
            self._stages(where, table, table.stages)
            if table.stages
            else self._whole(where, label, table)
        )
        self._precision(around, case, _optimizers(label, table))
        return {
            "problem": case.problem,
            "problem_version": problem.version,
            "network": case.network,
            **batches.spelled_out(
                problem, tuple(zip(places, levels, strict=True)), self.source
            ),
            **whole,
            "files": self._files(where, case.problem, _optimizers(label, table)),
            **PRECISIONS[_first(case.precision, self.campaign.precision)],
            "steps": budget.steps,
            "seconds": budget.seconds,
            "labels": self._labels(label, case, table),
        }

    def _whole(self, where: Where, label: str, table: OptimizerTable) -> dict[str, Any]:
        """Spell out one optimizer from the start to the end."""
        naming = (*where, "name") if table.name else where
        stage = self._stage(where, naming, table.name or label, table)
        return {
            "optimizer": stage.optimizer,
            "optimizer_version": stage.optimizer_version,
            "hyperparameters": stage.hyperparameters,
        }

    def _stages(
        self, where: Where, table: OptimizerTable, stages: list[StageTable]
    ) -> dict[str, Any]:
        """Spell out several optimizers, one after the other."""
        whole = {"name": table.name} if table.name else {}
        for key, value in (whole | (table.model_extra or {})).items():
            message = (
                "is not for a table with stages: "
                "each of them has a name and hyperparameters of its own"
            )
            raise CampaignError(self.source, (*where, key), message, value=value)
        if len(stages) < 2:
            raise CampaignError(
                self.source,
                where,
                "has one stage alone: give at least two, or a table without stages",
            )
        self._shares(where, stages)
        return {
            "optimizer": presets.named([bare(stage.name) for stage in stages]),
            "optimizer_version": presets.VERSION,
            "hyperparameters": {},
            "stages": tuple(
                self._stage((*where, number), (*where, number, "name"), stage.name, stage)
                for number, stage in enumerate(stages)
            ),
        }

    def _shares(self, where: Where, stages: list[StageTable]) -> None:
        """Check that all stages but the last have a share, and leave something to it."""
        last = len(stages) - 1
        if (share := stages[last].share) is not None:
            message = "is one too many: the last stage takes what is left"
            raise CampaignError(self.source, (*where, last, "share"), message, value=share)
        for number, stage in enumerate(stages[:last]):
            if stage.share is None:
                raise CampaignError(
                    self.source,
                    (*where, number, "share"),
                    "is missing: only the last stage has none",
                )
        sums = accumulate(stage.share or 0 for stage in stages[:last])
        for number, total in enumerate(sums):
            if round(total, 12) >= 1:
                message = (
                    f"the shares add up to {total:g}: must be < 1, "
                    "the last stage takes what is left"
                )
                raise CampaignError(
                    self.source,
                    (*where, number, "share"),
                    message,
                    value=stages[number].share,
                )

    def _stage(
        self, where: Where, naming: Where, name: str, table: OptimizerTable | StageTable
    ) -> Stage:
        """Spell out an optimizer and its hyperparameters; `naming` is where its name is."""
        classes = self.framework.OPTIMIZERS
        if is_own(name):
            classes = {name: self._checked(where, name, lookup.from_file)}
        if name not in classes:
            message = str(UnknownName("optimizer", name, classes))
            raise CampaignError(self.source, naming, message)
        kind = FORMER.get((name, self.versions.get(name)), classes[name])
        try:
            optimizer = kind(**(table.model_extra or {}))
        except ValidationError as error:
            known = keys(type(table)) | {field.name for field in fields(kind)}
            raise explain(self.source, error, known, above=where) from error
        return Stage(
            optimizer=name,
            # that of the records, where only the path is another since then
            optimizer_version=min(
                optimizer.version, self.versions.get(name, optimizer.version)
            ),
            hyperparameters=spelled_out(optimizer),
            share=table.share if isinstance(table, StageTable) else None,
        )

    def _precision(self, around: Where, case: Case, optimizers: list[str]) -> None:
        """Refuse an optimizer, whole or a stage, that is for another precision."""
        where = (*around, "precision") if case.precision is not None else ("precision",)
        asked = _first(case.precision, self.campaign.precision)
        for name in optimizers:
            if asked != "float64" and self._known(name).float64_only:
                message = f"must be 'float64': {FLOAT64_ALONE.format(bare(name))}"
                raise CampaignError(self.source, where, message, value=asked)

    def _known(self, name: str) -> type[Optimizer]:
        """Give the class of an optimizer that there is."""
        return lookup.from_file(name) if is_own(name) else self.framework.OPTIMIZERS[name]

    def _files(self, where: Where, problem: str, optimizers: list[str]) -> dict[str, str]:
        """Find the user's own files that the run needs."""
        try:
            return source_files.digests(problem, *optimizers)
        except ValueError as error:
            raise CampaignError(
                self.source, where, str(error), value=" ".join(map(bare, optimizers))
            ) from error

    def _labels(self, label: str, case: Case, table: OptimizerTable) -> Labels:
        given = "ours" if _has_hyperparameters(table) else "default"
        origin = _first(table.origin, case.origin, self.campaign.origin, given)
        return Labels(
            campaign=self.name,
            campaign_version=self.campaign.version,
            case=case.name or "",
            optimizer=label,
            hyperparameters_from=origin,
            experiment=table.experiment,
        )

    def _frameworks(self, where: Where, frameworks: list[str]) -> list[str]:
        for number, framework in enumerate(frameworks):
            if framework not in implementations.NAMES:
                message = str(UnknownName("framework", framework, implementations.NAMES))
                raise CampaignError(self.source, (*where, "frameworks", number), message)
        return frameworks

    def _written_for(
        self, where: Where, optimizers: list[str], table: OptimizerTable, case: list[str]
    ) -> list[str]:
        """Give the frameworks that an optimizer runs in: its table's, or the case's.

        Raises CampaignError where one of the user's own is not written in one of them.
        """
        frameworks = self._frameworks(where, _first(table.frameworks, case))
        for name in filter(is_own, optimizers):
            own = lookup.from_file(name).framework
            for framework in frameworks:
                if framework != own:
                    message = (
                        f"is written in {own}, not in {framework}: "
                        f'ask for frameworks = ["{own}"]'
                    )
                    raise CampaignError(self.source, where, message)
        return frameworks

    def _budget(self, where: Where, table: Table) -> None:
        if table.steps is not None and table.seconds is not None:
            message = (
                f"steps = {table.steps} is given too; a run has one budget, "
                "seconds or steps"
            )
            raise CampaignError(
                self.source, (*where, "seconds"), message, value=table.seconds
            )

    def _checked(self, where: Where, name: str, get: Callable[[str], Any]) -> Any:
        try:
            return get(name)
        except ValueError as error:
            raise CampaignError(self.source, where, str(error), value=bare(name)) from error


def _optimizers(label: str, table: OptimizerTable) -> list[str]:
    """Name the optimizers that a table asks for."""
    return [stage.name for stage in table.stages] if table.stages else [table.name or label]


def _has_hyperparameters(table: OptimizerTable) -> bool:
    """Say whether a table or one of its stages has hyperparameters."""
    return any(part.model_extra for part in (table, *(table.stages or ())))


def _first(*levels: Any) -> Any:
    """Take the innermost level that says something."""
    return next(level for level in levels if level is not None)
