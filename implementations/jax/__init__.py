"""The optimizers in JAX; the twin of implementations.torch."""

from optbench.implementations import hyperparameters
from optbench.implementations.jax import backend, optimizers
from optbench.implementations.jax.passes.objective import Objective

OPTIMIZERS = hyperparameters.optimizers(optimizers)

__all__ = ["OPTIMIZERS", "Objective", "backend"]
