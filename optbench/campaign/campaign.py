"""A campaign: a TOML file, quick to read.

What a table does not say is taken from the one around it.
"""

import tomllib
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    ValidationInfo,
)

from optbench import implementations
from optbench.campaign.errors import CampaignError, explain, keys
from optbench.campaign.names import fault
from optbench.campaign.presets import PRESETS
from optbench.problems import own
from optbench.problems.names import UnknownName
from optbench.records.record import Origin, Positive, Precision, Sampling, Share

# in the folder of campaigns: what asv measures, and where tuning looks
NO_CAMPAIGNS = ("asv.toml", "spaces.toml")
RESERVED = ("single", "scale")  # what is no campaign's has a folder too
# from a problem's or optimizer's name to itself, or to one with an absolute path
Locate = Callable[[str], str]


def _once(values: list[Any]) -> list[Any]:
    """Refuse what is there twice: the second would be left out without a word."""
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise ValueError(f"holds {twice[0]} twice")
    return values


Seeds = Annotated[list[NonNegativeInt], Field(min_length=1), AfterValidator(_once)]
Frameworks = Annotated[list[str], Field(min_length=1), AfterValidator(_once)]


def _located(name: str, info: ValidationInfo) -> str:
    locate: Any = info.context
    return locate(name)


Name = Annotated[str, AfterValidator(_located)]


class Table(BaseModel):
    """Keys that the file, a case and an optimizer's table share."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    # by the names of the problem's terms; those that are not named have its defaults
    points: dict[str, PositiveInt] | None = None
    weights: dict[str, Positive] | None = None
    sampling: Sampling | None = None
    march: NonNegativeInt | None = None
    resample_every: NonNegativeInt | None = None
    steps: PositiveInt | None = None
    seconds: Positive | None = None
    origin: Origin | None = Field(default=None, alias="from")  # of hyperparameters


class StageTable(BaseModel):
    """One of several optimizers that follow each other, with its share of the budget."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: Name
    share: Share | None = None  # the last has none: it takes what is left


class OptimizerTable(Table):
    """`[case.optimizers.<label>]`: hyperparameters or stages, and keys of its own."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    name: Name | None = None  # the optimizer, where the label is not its name
    stages: Annotated[list[StageTable], Field(min_length=1)] | None = None
    frameworks: Frameworks | None = None
    experiment: str | None = None  # the paper's, where the hyperparameters are from it


def _staged(tables: Any) -> Any:
    """Make tables with stages of lists, and of presets' names alone."""
    return (
        {label: _with_stages(label, table) for label, table in tables.items()}
        if isinstance(tables, dict)
        else tables
    )


def _with_stages(label: str, table: Any) -> Any:
    if isinstance(table, list):
        return {"stages": table}
    if (
        not isinstance(table, dict)
        or "stages" in table
        or (name := table.get("name", label)) not in PRESETS
    ):
        return table
    return {"from": "default", "stages": PRESETS[name]} | {
        key: value for key, value in table.items() if key != "name"
    }


def _named(
    tables: dict[str, OptimizerTable], info: ValidationInfo
) -> dict[str, OptimizerTable]:
    """Locate a label that is a file's name, as a name is located."""
    return {
        label: table.model_copy(update={"name": _located(label, info)})
        if table.name is None and not table.stages and own.is_own(label)
        else table
        for label, table in tables.items()
    }


Optimizers = Annotated[
    dict[str, OptimizerTable], BeforeValidator(_staged), AfterValidator(_named)
]


class Case(Table):
    """`[[case]]`: a problem and a network."""

    name: str | None = None
    problem: Name
    network: str
    precision: Precision | None = None
    seeds: Seeds | None = None
    more_seeds: dict[str, Seeds] | None = (
        None  # by an optimizer's label, beside the others'
    )
    frameworks: Frameworks | None = None
    optimizers: Optimizers | None = None


class Campaign(Table):
    """The whole file."""

    version: str  # the same major version means comparable
    description: str = ""
    processes: Literal["per-framework", "per-run"] = "per-run"
    # "alike": machines whose CPUs may be of several models share a folder of results, and
    # every case and seed is done by one of them
    machines: Literal["same", "alike"] = "same"
    threads: PositiveInt = 1  # cores per run
    limit: Positive | None = None  # wall-clock seconds per run
    memory: Positive | None = None  # GB per run
    # a run whose seconds have no room for so many is timed out at once
    least_steps: PositiveInt | None = None
    checkpoint: Positive = 60.0  # seconds between two checkpoints of a run
    precision: Precision = "float64"
    seeds: Seeds = [0]
    frameworks: Frameworks = list(implementations.FRAMEWORKS)
    optimizers: Optimizers = {}
    case: list[Case] = Field(min_length=1)


def shipped() -> dict[str, Path]:
    """List the campaigns that come with the repository, by name."""
    tables = sorted(Path(str(files("optbench.benchmarks"))).glob("*.toml"))
    return {file.stem: file for file in tables if file.name not in NO_CAMPAIGNS}


def find(name: str) -> Path:
    """Find the file of a path or of a shipped campaign's name; raises UnknownName."""
    file = Path(name)
    if file.is_file():
        return file
    if name not in shipped():
        raise UnknownName(
            "campaign", name, [*shipped(), *map(str, sorted(file.parent.glob("*.toml")))]
        )
    return shipped()[name]


def name_of(file: Path) -> str:
    """Give a campaign's name, which its folder of results has; raises CampaignError."""
    name = file.stem
    message = fault(name)
    if name in RESERVED:
        message = f"{name} is the folder of other results: rename the file"
    elif name in (".", ".."):
        message = "is no name of a folder: rename the file"
    if message:
        raise CampaignError(file.name, (), message)
    return name


def read(file: Path, locate: Locate | None = None) -> Campaign:
    """Read the campaign of a TOML file; raises CampaignError.

    `locate` says where problems and optimizers of the user's own are, if not relative to
    the file's folder.
    """
    locate = locate or partial(own.located, folder=file.parent)
    return parse(tables(file), file.name, locate)


def tables(file: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a mark of its byte order; raises CampaignError."""
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except ValueError as error:  # malformed TOML, or no UTF-8
        raise CampaignError(file.name, (), f"no TOML file: {error}") from error
    except RecursionError as error:
        raise CampaignError(file.name, (), "its lists are nested too deep") from error


def parse(tables: dict[str, Any], source: str, locate: Locate | None = None) -> Campaign:
    """Make the campaign of a file's tables; `source` is what an error calls the file.

    Raises CampaignError. Names of the user's own files get the absolute paths that `locate`
    gives; if not given, those from this folder.
    """
    try:
        return Campaign.model_validate(
            tables, context=locate or partial(own.located, folder=Path())
        )
    except ValidationError as error:
        parent = error.errors()[0]["loc"][:-1]
        model = Case if parent else Campaign
        raise explain(source, error, keys(model)) from error
