"""The optimizers in PyTorch; the twin of implementations.jax."""

from optbench.implementations import hyperparameters
from optbench.implementations.protocol import Framework
from optbench.implementations.torch import backend, optimizers
from optbench.implementations.torch.blocks import compile_block
from optbench.implementations.torch.inductor import lacks_compiler
from optbench.implementations.torch.passes.objective import Objective

FRAMEWORK = Framework(
    "torch", hyperparameters.optimizers(optimizers), Objective, backend, compile_block
)

__all__ = ["FRAMEWORK", "lacks_compiler"]
