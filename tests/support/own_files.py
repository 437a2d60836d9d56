"""Files as a user writes them: Helmholtz's equation, and an optimizer in one framework."""

PDE = """
from functools import partial
import numpy as np
from optbench.problems.domains import box, faces
from optbench.problems.problem import DIRICHLET, Operator, Problem, Term

K, LOWER, UPPER = 2.0, np.zeros(2), np.ones(2)

def solution(x):
    return np.sin(np.pi * x).prod(1, keepdims=True)

def source(x):
    return (K**2 - 2 * np.pi**2) * solution(x)

def residual(jet, x, y):
    return jet.curvature + K**2 * jet.value - y

helmholtz = Problem(
    name="helmholtz_2d", dim=2, outputs=1,
    interior=Term.of(
        Operator(residual, np.eye(2)), partial(box, lower=LOWER, upper=UPPER), source
    ),
    boundary=Term.of(DIRICHLET, partial(faces, dim=2), solution),
    bounds=(LOWER, UPPER), solution=solution, solution_norm=0.5,
    interior_points=9, boundary_points=6, resample_every=0, networks=("tanh_4",),
    reference="a test",
)
"""

# our SGD under another name
OPTIMIZER = """
from typing import ClassVar
from optbench.implementations.hyperparameters import optimizer
from optbench.implementations.FRAMEWORK.optimizers.sgd import SGD

@optimizer
class Mine(SGD):
    name: ClassVar[str] = "mine"
    framework: ClassVar[str] = "FRAMEWORK"
"""

REFERENCE = """
from pathlib import Path
from dataclasses import replace
from optbench.problems.reference import Reference

known = Reference.read(Path(__file__).parent / "data" / "known.npz")
gridded = replace(helmholtz, name="gridded_2d", solution=known, solution_norm=known.norm)
"""
