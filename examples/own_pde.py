"""A PDE of your own, from this file to a figure: Δu + u - u³ = f on the unit square."""

import subprocess
import sys
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from optbench import load
from optbench.problems.domains import box, faces
from optbench.problems.problem import DIRICHLET, Operator, Problem, Term

LOWER, UPPER = np.zeros(2), np.ones(2)


def solution(x):
    """Give u* = sin(πx₁) sin(πx₂), which we want to be found: x [n, 2] -> [n, 1]."""
    return np.sin(np.pi * x[:, :1]) * np.sin(np.pi * x[:, 1:])


def source(x):
    """Give the f that makes it the solution: Δu* + u* - u*³."""
    u = solution(x)
    return (1 - 2 * np.pi**2) * u - u**3


def residual(jet, x, y):
    """Give Δu + u - f - u³: jet.curvature is tr(A∇²u) with A = I, y is f(x)."""
    return jet.curvature + jet.value - jet.value**3 - y


allen_cahn = Problem(
    name="allen_cahn_2d",
    dim=2,
    outputs=1,
    interior=Term.of(
        Operator(residual, np.eye(2)), partial(box, lower=LOWER, upper=UPPER), source
    ),
    boundary=Term.of(DIRICHLET, partial(faces, dim=2), solution),
    bounds=(LOWER, UPPER),
    solution=solution,
    solution_norm=0.5,  # (E u*²)^½ over the square
    interior_points=400,
    boundary_points=100,
    resample_every=0,  # one fixed batch
    networks=("tanh_32",),
    reference="this file",
)


def optbench(*arguments):
    """Run a command, as you would in a shell."""
    subprocess.run([sys.executable, "-m", "optbench", *arguments], check=True)


def draw(folder):
    """Load the records of a folder, print their errors and draw them."""
    runs, history = load(folder)
    print(runs[["label", "steps", "train_seconds", "relative_l2"]].to_string(index=False))
    history = history.merge(runs[["run", "label"]], on="run")
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for label, run in history.groupby("label"):
        axes.semilogy(run["seconds"], run["relative_l2"], marker=".", label=label)
    axes.set(xlabel="seconds of optimizer steps", ylabel="relative L2 error")
    axes.legend()
    figure.savefig("own_pde.svg")


if __name__ == "__main__":
    optbench("check", __file__)
    one = ["--problem", f"{__file__}:allen_cahn_2d", "--framework", "torch"]
    for optimizer in (
        ["--optimizer", "adam", "--set", "learning_rate=1e-2", "--steps", "500"],
        ["--optimizer", "engd", "--steps", "40"],
    ):
        optbench("run", *one, *optimizer, "--network", "tanh_32", "--results", "results")
    draw("results")
