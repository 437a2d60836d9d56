"""Solvers of the optimizers: linear algebra, conjugate gradients, line searches."""
