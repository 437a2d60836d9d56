"""The optimizers in PyTorch; the twin of implementations.jax."""

from optbench.implementations import hyperparameters
from optbench.implementations.torch import backend, optimizers
from optbench.implementations.torch.passes.objective import Objective

OPTIMIZERS = hyperparameters.optimizers(optimizers)

__all__ = ["OPTIMIZERS", "Objective", "backend"]
