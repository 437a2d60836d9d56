"""The optimizers in PyTorch; the twin of implementations.jax."""

import sys

from implementations import hyperparameters
from implementations.torch import backend
from implementations.torch.objective import Objective

OPTIMIZERS = hyperparameters.optimizers(sys.modules[__name__])

__all__ = ["OPTIMIZERS", "Objective", "backend"]
