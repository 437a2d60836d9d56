"""A folder of results of a campaign whose runs are faked."""

from fakes import Fake

from harness import campaign, expansion, store

TOML = """
version = "1.0"
seeds = [0, 1, 2]
steps = 30
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
points = { interior = 9, boundary = 6 }
[case.optimizers]
quick = { name = "sgd", learning_rate = 0.9 }
slow = { name = "sgd", learning_rate = 0.5 }
broken = { name = "sgd", learning_rate = 1e200, frameworks = ["jax"] }
"""


def folder_of(place):
    """`<place>/c/m` with the campaign and a record of every run."""
    folder = place / "c" / "m"
    (folder / "runs").mkdir(parents=True)
    file = folder / "campaign.toml"
    file.write_text(TOML)
    for request in expansion.requests(campaign.read(file), "c", file.name):
        store.write(store.path(folder, request), Fake().perform(request))
    return folder
