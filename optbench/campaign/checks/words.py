"""What the checks' words are made of."""

from typing import Any

import numpy as np

from optbench.problems.problem import Operator


def kind(array: Any) -> str:
    """Say what it is instead of what it should be."""
    if not isinstance(array, np.ndarray):
        return f"it is of type {type(array).__name__}"
    return f"it is {array.dtype} {list(array.shape)}"


def listed(numbers: Any) -> str:
    """Write one number, or the first four of several, in four digits."""
    shown = [f"{number:.4g}" for number in np.ravel(numbers)[:4]]
    more = ", …" if np.size(numbers) > 4 else ""
    return shown[0] if np.size(numbers) == 1 else f"({', '.join(shown)}{more})"


def read_there(operator: Operator, channels: np.ndarray, y: np.ndarray, point: int) -> str:
    """Describe what an operator reads at one of the points, by the names of its reads."""
    jet = operator.jet(channels)
    words = [f"u = {listed(jet.value[point])}"]
    if operator.diffusion is not None:
        words += [
            f"∇u = {listed(jet.gradient[point].T)}",
            f"tr(A∇²u) = {listed(jet.curvature[point])}",
        ]
    words += [f"{name} = {listed(getattr(jet, name)[point])}" for name in operator.reads]
    return ", ".join([*words, f"y = {listed(y[point])}"])
