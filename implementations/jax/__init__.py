"""The optimizers in JAX; the twin of implementations.torch."""

from optbench.implementations import hyperparameters
from optbench.implementations.jax import backend, optimizers
from optbench.implementations.jax.blocks import compile_block
from optbench.implementations.jax.passes.objective import Objective
from optbench.implementations.protocol import Framework

FRAMEWORK = Framework(
    "jax", hyperparameters.optimizers(optimizers), Objective, backend, compile_block
)
