"""Where tuning looks: each optimizer's search space.

It is in `benchmarks/spaces.toml` or a file like it.
"""

from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from optbench.campaign import campaign
from optbench.campaign.errors import CampaignError, Where, explain, keys, unknown_key
from optbench.problems.names import UnknownName
from optbench.records.record import Positive

SHIPPED = Path(str(files("optbench.benchmarks"))) / "spaces.toml"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Uniform(_Strict):
    """A number between two others."""

    kind: Literal["uniform"] = "uniform"
    low: Finite
    high: Finite

    def suggest(self, trial: Any, name: str) -> float:
        """Ask an Optuna trial for a value."""
        return trial.suggest_float(name, self.low, self.high)


class LogUniform(_Strict):
    """A positive number between two others, uniform in its logarithm."""

    kind: Literal["log-uniform"] = "log-uniform"
    low: Positive
    high: Positive

    def suggest(self, trial: Any, name: str) -> float:
        """Ask an Optuna trial for a value."""
        return trial.suggest_float(name, self.low, self.high, log=True)


class Integer(_Strict):
    """A whole number between two others, both included."""

    kind: Literal["integer"] = "integer"
    low: int
    high: int

    def suggest(self, trial: Any, name: str) -> int:
        """Ask an Optuna trial for a value."""
        return trial.suggest_int(name, self.low, self.high)


class Categorical(_Strict):
    """One of a few values."""

    kind: Literal["categorical"] = "categorical"
    values: list[bool | int | float | str] = Field(min_length=1)

    def suggest(self, trial: Any, name: str) -> Any:
        """Ask an Optuna trial for a value."""
        return trial.suggest_categorical(name, self.values)


Range = Uniform | LogUniform | Integer | Categorical
Space = dict[str, Range]  # of one optimizer, by hyperparameter
KINDS: dict[str, type[Range]] = {
    "uniform": Uniform,
    "log-uniform": LogUniform,
    "integer": Integer,
    "categorical": Categorical,
}


def read(file: Path, optimizers: dict[str, Any]) -> dict[str, Space]:
    """Read the search spaces of a file, by optimizer; `optimizers` are the known classes.

    Both ends of a range make an optimizer, and the default is in it: it is the first that
    tuning tries.

    Raises:
        CampaignError: one line that names the file, the key, its value and what is allowed.
    """
    return {
        name: _space(file.name, name, table, optimizers)
        for name, table in campaign.tables(file).items()
    }


def ends(entry: Range) -> tuple[Any, ...]:
    """Give the lowest and the highest value, or all of a categorical's."""
    return (
        tuple(entry.values) if isinstance(entry, Categorical) else (entry.low, entry.high)
    )


def _space(source: str, name: str, table: Any, optimizers: dict[str, Any]) -> Space:
    if name not in optimizers:
        raise CampaignError(
            source, (name,), str(UnknownName("optimizer", name, optimizers))
        )
    if not isinstance(table, dict):
        raise CampaignError(
            source, (name,), "must be a table of hyperparameters", value=table
        )
    return {
        key: _range(source, (name, key), entry, optimizers[name])
        for key, entry in table.items()
    }


def _range(source: str, where: Where, entry: Any, optimizer: Any) -> Range:
    known, key = [field.name for field in fields(optimizer)], str(where[-1])
    if key not in known:
        raise CampaignError(source, where, unknown_key(key, known), value=entry)
    if not isinstance(entry, dict) or entry.get("kind") not in KINDS:
        raise CampaignError(
            source, where, f"must have a kind: {', '.join(KINDS)}", value=entry
        )
    kind = KINDS[entry["kind"]]
    try:
        made = kind.model_validate(entry)
    except ValidationError as error:
        raise explain(source, error, keys(kind), above=where) from error
    _check(source, where, made, optimizer)
    return made


def _check(source: str, where: Where, entry: Range, optimizer: Any) -> None:
    key, values = str(where[-1]), ends(entry)
    for value in values:
        try:
            optimizer(**{key: value})
        except ValidationError as error:
            raise explain(source, error, (), above=where[:-1]) from error
    default, ordered = getattr(optimizer(), key), not isinstance(entry, Categorical)
    if ordered and not values[0] < values[1]:
        raise CampaignError(
            source, (*where, "high"), f"must be > low = {values[0]:g}", value=values[1]
        )
    if default is None or not (
        values[0] <= default <= values[1] if ordered else default in values
    ):
        raise CampaignError(
            source, where, f"must hold the default, {default}", value=list(values)
        )
