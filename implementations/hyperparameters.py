"""Hyperparameters: fields of a frozen dataclass, validated where they are made."""

import pkgutil
from dataclasses import fields
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from optbench.implementations.protocol import Optimizer

T = TypeVar("T")
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
# momentum, and the share of the past in a moving average
Fraction = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, le=1)]  # what is left of something
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # of numbers that a step draws

CONFIGURATION = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def optimizer(cls: type[T]) -> type[T]:
    """Make a class of hyperparameters a frozen dataclass.

    A wrong field raises pydantic.ValidationError, a ValueError that names the field, its
    value and what is allowed.
    """
    complete(cls)
    made: Any = dataclass(frozen=True, kw_only=True, config=CONFIGURATION)(cls)
    return made


def spelled_out(made: Optimizer) -> dict[str, Any]:
    """List an optimizer's hyperparameters by name, as a run's identity has them.

    Those that came later, which its class names in `later`, are left out where they say
    nothing: older runs keep their identity.
    """
    later = getattr(made, "later", ())
    return {
        field.name: value
        for field in fields(made)
        if (value := getattr(made, field.name)) != field.default or field.name not in later
    }


def complete(cls: Any) -> type[Optimizer]:
    """Give a class that does not name the base what `Optimizer` has by default.

    A `working` from before it was given the objective goes on working.
    """
    if not issubclass(cls, Optimizer):
        Optimizer.register(cls)
        for name in ("check", "progress", "working", "counters", "float64_only"):
            if not hasattr(cls, name):
                setattr(cls, name, getattr(Optimizer, name))
    working: Any = cls.working
    if len(signature(working).parameters) == 3:
        cls.working = lambda self, objective, params, batch: working(self, params, batch)
    return cls


def optimizers(package: ModuleType) -> dict[str, type[Optimizer]]:
    """Collect the optimizers that the files of a package define, by name."""
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {c.name: c for module in modules for c in defined(module)}


def defined(module: ModuleType) -> list[type[Optimizer]]:
    """Collect the optimizers that a module defines itself, and does not import."""
    classes = [value for value in vars(module).values() if isinstance(value, type)]
    return [
        c for c in classes if c.__module__ == module.__name__ and issubclass(c, Optimizer)
    ]
