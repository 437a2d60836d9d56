"""A campaign's file that is in order, and the runs that such a file asks for."""

from optbench.campaign import campaign, expansion

GOOD = """
version = "1.0"
seconds = 2.0
frameworks = ["jax"]
[[case]]
problem = "poisson_sine_2d"
network = "tanh_64"
[case.optimizers]
kfac = { damping = 1e-3 }
"""


def read(text, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    return expansion.requests(campaign.read(file), "mine", file.name)
