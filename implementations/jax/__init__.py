"""The optimizers in JAX; the twin of implementations.torch."""

import sys

from implementations import hyperparameters
from implementations.jax import backend
from implementations.jax.objective import Objective

OPTIMIZERS = hyperparameters.optimizers(sys.modules[__name__])

__all__ = ["OPTIMIZERS", "Objective", "backend"]
