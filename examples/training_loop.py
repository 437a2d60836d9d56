"""One training loop in each framework: same problem, same numbers, same losses."""

import matplotlib.pyplot as plt

from optbench import implementations, problems
from optbench.problems import networks, seeds

STEPS, NETWORK, SEED = 60, "tanh_64", 0
problem = problems.get("poisson_sine_2d")


def train(framework):
    """Take STEPS steps of KFAC*, and return the loss before each of them."""
    backend = framework.backend
    objective = framework.Objective(problem, NETWORK)
    optimizer = framework.OPTIMIZERS["kfac_star"]()
    # drawn in NumPy: both frameworks start from the same parameters and see the same points
    params = networks.initial_parameters(NETWORK, problem.inputs, problem.outputs, SEED)
    batch = seeds.batch(problem, SEED, 0, {"interior": 900, "boundary": 120})
    params, batch = backend.from_numpy_tree(params), backend.from_numpy_tree(batch)
    state = optimizer.init(objective, params)

    @backend.compile
    def step(params, state):
        return optimizer.step(objective, params, state, batch)

    history = []
    for _ in range(STEPS):
        params, state, losses = step(params, state)
        history.append(float(backend.to_numpy(losses.total)))
    return history


histories = {name: train(implementations.load(name)) for name in ("torch", "jax")}
for name, losses in histories.items():
    print(
        f"{name:5}  loss {losses[0]:.12e} at first, {losses[-1]:.12e} before the last step"
    )
pairs = zip(*histories.values(), strict=True)
print(f"largest relative difference: {max(abs(a - b) / a for a, b in pairs):.0e}")

figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
for (name, losses), style in zip(histories.items(), ("-", "--"), strict=True):
    axes.semilogy(losses, style, label=name)
axes.set(xlabel="step", ylabel="loss", title=f"KFAC* on {problem.name}, {NETWORK}")
axes.legend()
figure.savefig("training_loop.svg")
