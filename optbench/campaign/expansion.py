"""From a campaign to the runs that it asks for, each spelled out in full and checked."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import accumulate
from typing import Any

from pydantic import ValidationError

from optbench import implementations, problems
from optbench.campaign import presets, sources
from optbench.campaign.campaign import Campaign, Case, OptimizerTable, StageTable, Table
from optbench.campaign.errors import CampaignError, Where, explain, keys
from optbench.implementations import named
from optbench.implementations.protocol import Objective
from optbench.problems import networks
from optbench.problems.names import UnknownName
from optbench.problems.own import bare, is_own
from optbench.problems.problem import Problem
from optbench.records.record import Labels, Mode, Points, Precision, Request, Stage

MODES: dict[str, Mode] = {"torch": "eager", "torch-compiled": "inductor", "jax": "jit"}

PRECISIONS: dict[Precision, dict[str, Any]] = {
    "float64": {"dtype": "float64"},
    "float32": {"dtype": "float32"},
    "tf32": {"dtype": "float32", "tf32": True},
}


def requests(campaign: Campaign, name: str, source: str) -> list[Request]:
    """Every run that a campaign asks for, once; imports one framework.

    Raises:
        CampaignError: one line that names the file (`source`), the key, the value and what
        is allowed. FrameworkMissing: there is no framework at all.
    """
    # one framework checks for both: the twins have the same fields and versions, and JAX is
    # the quicker to import
    installed = implementations.installed() or implementations.FRAMEWORKS
    expansion = Expansion(campaign, name, source, implementations.load(installed[-1]))
    found = list({request.identity: request for request in expansion.requests()}.values())
    sources.distinct(found, source)
    return found


@dataclass(frozen=True)
class Expansion:
    """A campaign with what is needed to check it."""

    campaign: Campaign
    name: str
    source: str
    framework: implementations.Framework

    def requests(self) -> Iterator[Request]:
        """The runs, case by case."""
        self._budget((), self.campaign)
        self._frameworks((), self.campaign.frameworks)
        for number, case in enumerate(self.campaign.case):
            yield from self._case(("case", number), case)

    def _case(self, where: Where, case: Case) -> Iterator[Request]:
        problem = self._checked((*where, "problem"), case.problem, problems.get)
        self._checked(
            (*where, "network"), case.network, lambda name: self._objective(problem, name)
        )
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
            run = self._optimizer((*inside, label), label, problem, case, table)
            runs.append(
                (
                    run,
                    self._written_for(
                        (*inside, label), _optimizers(label, table), table, frameworks
                    ),
                )
            )
        for seed in _first(case.seeds, self.campaign.seeds):
            for run, its_frameworks in runs:
                for framework in its_frameworks:
                    mode, threads = MODES[framework], self.campaign.threads
                    yield Request(
                        framework=framework, mode=mode, threads=threads, seed=seed, **run
                    )

    def _optimizer(
        self, where: Where, label: str, problem: Problem, case: Case, table: OptimizerTable
    ) -> dict[str, Any]:
        """The part of a request that its seed and framework do not change."""
        self._budget(where, table)
        levels = (table, case, self.campaign)
        budget = next((level for level in levels if level.steps or level.seconds), None)
        if budget is None:
            raise CampaignError(self.source, where, "has no budget: give seconds or steps")
        return {
            "problem": case.problem,
            "problem_version": problem.version,
            "network": case.network,
            "points": _first(*(level.points for level in levels), _default_points(problem)),
            "resample_every": _first(
                *(level.resample_every for level in levels), problem.resample_every
            ),
            **(
                self._stages(where, table, table.stages)
                if table.stages
                else self._whole(where, label, table)
            ),
            "files": self._files(where, case.problem, _optimizers(label, table)),
            **PRECISIONS[_first(case.precision, self.campaign.precision)],
            "steps": budget.steps,
            "seconds": budget.seconds,
            "labels": self._labels(label, case, table),
        }

    def _whole(self, where: Where, label: str, table: OptimizerTable) -> dict[str, Any]:
        """One optimizer from the start to the end."""
        made = self._made(
            where, (*where, "name") if table.name else where, table.name or label, table
        )
        told = {
            "optimizer_version": made.optimizer_version,
            "hyperparameters": made.hyperparameters,
        }
        return {"optimizer": made.optimizer, **told}

    def _stages(
        self, where: Where, table: OptimizerTable, stages: list[StageTable]
    ) -> dict[str, Any]:
        """Several, one after the other."""
        for key, value in (
            ({"name": table.name} if table.name else {}) | (table.model_extra or {})
        ).items():
            message = "is not for a table with stages: each of them has a name and hyperparameters of its own"
            raise CampaignError(self.source, (*where, key), message, value=value)
        if len(stages) < 2:
            raise CampaignError(
                self.source,
                where,
                "has one stage alone: give at least two, or a table without stages",
            )
        self._shares(where, stages)
        made = [
            self._made((*where, number), (*where, number, "name"), stage.name, stage)
            for number, stage in enumerate(stages)
        ]
        name = presets.named([bare(stage.name) for stage in stages])
        whole = {
            "optimizer": name,
            "optimizer_version": presets.VERSION,
            "hyperparameters": {},
        }
        return whole | {"stages": tuple(made)}

    def _shares(self, where: Where, stages: list[StageTable]) -> None:
        """All stages but the last have a share, and leave something to the last."""
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
                message = f"the shares add up to {total:g}: must be < 1, the last stage takes what is left"
                raise CampaignError(
                    self.source,
                    (*where, number, "share"),
                    message,
                    value=stages[number].share,
                )

    def _made(
        self, where: Where, naming: Where, name: str, table: OptimizerTable | StageTable
    ) -> Stage:
        """The optimizer with its hyperparameters; `naming` is where its name is."""
        classes = self.framework.OPTIMIZERS
        if is_own(name):
            classes = {name: self._checked(where, name, named.from_file)}
        if name not in classes:
            message = str(UnknownName("optimizer", name, classes))
            raise CampaignError(self.source, naming, message)
        optimizer, share = (
            classes[name],
            table.share if isinstance(table, StageTable) else None,
        )
        try:
            made = optimizer(**(table.model_extra or {}))
        except ValidationError as error:
            known = keys(type(table)) | {field.name for field in fields(optimizer)}
            raise explain(self.source, error, known, above=where) from error
        return Stage(
            optimizer=name,
            optimizer_version=made.version,
            hyperparameters=asdict(made),
            share=share,
        )

    def _files(self, where: Where, problem: str, optimizers: list[str]) -> dict[str, str]:
        """The user's own files that the run needs."""
        try:
            return sources.digests(problem, *optimizers)
        except ValueError as error:
            raise CampaignError(
                self.source, where, str(error), value=" ".join(map(bare, optimizers))
            ) from error

    def _labels(self, label: str, case: Case, table: OptimizerTable) -> Labels:
        return Labels(
            campaign=self.name,
            campaign_version=self.campaign.version,
            case=case.name or "",
            optimizer=label,
            hyperparameters_from=table.origin
            or ("ours" if _has_hyperparameters(table) else "default"),
            experiment=table.experiment,
        )

    def _objective(self, problem: Problem, network: str) -> Objective:
        """An objective of the network's activation: the frameworks' own tables say which there are."""
        return self.framework.Objective(
            problem, activation=networks.parse(network).activation
        )

    def _frameworks(self, where: Where, frameworks: list[str]) -> list[str]:
        for number, framework in enumerate(frameworks):
            if framework not in implementations.NAMES:
                message = str(UnknownName("framework", framework, implementations.NAMES))
                raise CampaignError(self.source, (*where, "frameworks", number), message)
        return frameworks

    def _written_for(
        self, where: Where, optimizers: list[str], table: OptimizerTable, given: list[str]
    ) -> list[str]:
        """The frameworks that an optimizer runs in: its table's, or those given; one of the user's own has one."""
        frameworks = self._frameworks(where, _first(table.frameworks, given))
        for name in filter(is_own, optimizers):
            written_for = named.from_file(name).framework
            if others := [
                framework for framework in frameworks if framework != written_for
            ]:
                message = f'is written in {written_for}, not in {others[0]}: ask for frameworks = ["{written_for}"]'
                raise CampaignError(self.source, where, message)
        return frameworks

    def _budget(self, where: Where, table: Table) -> None:
        if table.steps is not None and table.seconds is not None:
            message = f"steps = {table.steps} is given too; a run has one budget, seconds or steps"
            raise CampaignError(
                self.source, (*where, "seconds"), message, value=table.seconds
            )

    def _checked(self, where: Where, name: str, get: Callable[[str], Any]) -> Any:
        try:
            return get(name)
        except ValueError as error:
            raise CampaignError(self.source, where, str(error), value=bare(name)) from error


def _optimizers(label: str, table: OptimizerTable) -> list[str]:
    """The names of the optimizers that a table asks for."""
    return [stage.name for stage in table.stages] if table.stages else [table.name or label]


def _has_hyperparameters(table: OptimizerTable) -> bool:
    """Whether a table or one of its stages has any."""
    return any(part.model_extra for part in (table, *(table.stages or ())))


def _default_points(problem: Problem) -> Points:
    return Points(interior=problem.interior_points, boundary=problem.boundary_points)


def _first(*levels: Any) -> Any:
    """The innermost level that says something."""
    return next(level for level in levels if level is not None)
