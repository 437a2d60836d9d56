"""Hyperparameters: fields of a frozen dataclass, validated where they are made."""

import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

T = TypeVar("T")
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[
    float, Field(ge=0, lt=1)
]  # momentum, and the share of the past in a moving average
Share = Annotated[float, Field(gt=0, le=1)]  # what is left of something
Count = Annotated[int, Field(ge=1)]

CONFIGURATION = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def optimizer(cls: type[T]) -> type[T]:
    """Make a class of hyperparameters a frozen dataclass.

    A wrong field raises pydantic.ValidationError, a ValueError that names the field, its
    value and what is allowed.
    """
    made: Any = dataclass(frozen=True, kw_only=True, config=CONFIGURATION)(cls)
    return made


def optimizers(package: ModuleType) -> dict[str, Any]:
    """Every optimizer that a file of `package` defines, by its name: a class with a `name` and a `step`."""
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    classes = (
        c
        for module in modules
        for c in vars(module).values()
        if getattr(c, "__module__", "") == module.__name__
    )
    return {
        c.name: c
        for c in classes
        if isinstance(c, type) and hasattr(c, "name") and hasattr(c, "step")
    }
