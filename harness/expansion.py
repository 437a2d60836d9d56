"""From a campaign to the runs that it asks for, each spelled out in full and checked."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from pydantic import ValidationError

import implementations
import problems
from harness import sources
from harness.campaign import Campaign, Case, OptimizerTable, Table
from harness.errors import CampaignError, Where, explain, keys
from harness.record import Labels, Mode, Points, Request
from implementations import named
from problems import networks
from problems.names import UnknownName
from problems.own import bare, is_own
from problems.problem import Problem

MODES: dict[str, Mode] = {"torch": "eager", "torch-compiled": "inductor", "jax": "jit"}


def requests(campaign: Campaign, name: str, source: str) -> list[Request]:
    """Every run that a campaign asks for, once; imports one framework.

    Raises:
        CampaignError: one line that names the file (`source`), the key, the value and what is allowed.
        FrameworkMissing: there is no framework at all.
    """
    # one framework checks for both: the twins have the same fields and versions, and JAX is the quicker to import
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
        self._checked((*where, "network"), case.network, lambda name: self._objective(problem, name))
        self._budget(where, case)
        frameworks = self._frameworks(where, _first(case.frameworks, self.campaign.frameworks))
        inside = (*where, "optimizers") if case.optimizers is not None else ("optimizers",)
        tables = _first(case.optimizers, self.campaign.optimizers)
        if not tables:
            raise CampaignError(self.source, (*where, "optimizers"), "is missing: a case needs optimizers to run")
        runs = []
        for label, table in tables.items():
            run = self._optimizer((*inside, label), label, problem, case, table)
            runs.append((run, self._written_for((*inside, label), run["optimizer"], table, frameworks)))
        for seed in _first(case.seeds, self.campaign.seeds):
            for run, its_frameworks in runs:
                for framework in its_frameworks:
                    mode, threads = MODES[framework], self.campaign.threads
                    yield Request(framework=framework, mode=mode, threads=threads, seed=seed, **run)

    def _optimizer(
        self, where: Where, label: str, problem: Problem, case: Case, table: OptimizerTable
    ) -> dict[str, Any]:
        """The part of a request that its seed and framework do not change."""
        name = table.name or label
        optimizer = self._made(where, name, table)
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
            "resample_every": _first(*(level.resample_every for level in levels), problem.resample_every),
            "optimizer": name,
            "optimizer_version": optimizer.version,
            "hyperparameters": asdict(optimizer),
            "files": self._checked(where, name, lambda name: sources.digests(case.problem, name)),
            "dtype": _first(case.dtype, self.campaign.dtype),
            "steps": budget.steps,
            "seconds": budget.seconds,
            "labels": self._labels(label, case, table),
        }

    def _made(self, where: Where, name: str, table: OptimizerTable) -> Any:
        """The optimizer with its hyperparameters."""
        key = "name" if table.name else None
        classes = self.framework.OPTIMIZERS
        if is_own(name):
            classes = {name: self._checked(where, name, named.from_file)}
        if name not in classes:
            message = str(UnknownName("optimizer", name, classes))
            raise CampaignError(self.source, (*where, key) if key else where, message)
        optimizer = classes[name]
        try:
            return optimizer(**(table.model_extra or {}))
        except ValidationError as error:
            known = keys(OptimizerTable) | {field.name for field in fields(optimizer)}
            raise explain(self.source, error, known, above=where) from error

    def _labels(self, label: str, case: Case, table: OptimizerTable) -> Labels:
        return Labels(
            campaign=self.name,
            campaign_version=self.campaign.version,
            case=case.name or "",
            optimizer=label,
            hyperparameters_from=table.origin or ("ours" if table.model_extra else "default"),
            experiment=table.experiment,
        )

    def _objective(self, problem: Problem, network: str) -> Any:
        """An objective of the network's activation: the frameworks' own tables say which there are."""
        return self.framework.Objective(problem, activation=networks.parse(network).activation)

    def _frameworks(self, where: Where, frameworks: list[str]) -> list[str]:
        for number, framework in enumerate(frameworks):
            if framework not in implementations.NAMES:
                message = str(UnknownName("framework", framework, implementations.NAMES))
                raise CampaignError(self.source, (*where, "frameworks", number), message)
        return frameworks

    def _written_for(self, where: Where, name: str, table: OptimizerTable, given: list[str]) -> list[str]:
        """The frameworks that an optimizer runs in: its table's, or those given; one of the user's own has one."""
        frameworks = self._frameworks(where, _first(table.frameworks, given))
        written_for = named.from_file(name).framework if is_own(name) else None
        if written_for and (others := [framework for framework in frameworks if framework != written_for]):
            message = f'is written in {written_for}, not in {others[0]}: ask for frameworks = ["{written_for}"]'
            raise CampaignError(self.source, where, message)
        return frameworks

    def _budget(self, where: Where, table: Table) -> None:
        if table.steps is not None and table.seconds is not None:
            message = f"steps = {table.steps} is given too; a run has one budget, seconds or steps"
            raise CampaignError(self.source, (*where, "seconds"), message, value=table.seconds)

    def _checked(self, where: Where, name: str, get: Callable[[str], Any]) -> Any:
        try:
            return get(name)
        except ValueError as error:
            raise CampaignError(self.source, where, str(error), value=bare(name)) from error


def _default_points(problem: Problem) -> Points:
    return Points(interior=problem.interior_points, boundary=problem.boundary_points)


def _first(*levels: Any) -> Any:
    """The innermost level that says something."""
    return next(level for level in levels if level is not None)
