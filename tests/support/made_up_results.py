"""A folder of results of a campaign whose runs are faked."""

from fakes import Fake, request

from optbench.campaign import campaign, expansion
from optbench.records import store

TOML = """
version = "1.0"
seeds = [0, 1, 2]
steps = 30
points = { interior = 9, boundary = 6 }
[optimizers]
quick = { name = "sgd", learning_rate = 0.9 }
slow = { name = "sgd", learning_rate = 0.5 }
broken = { name = "sgd", learning_rate = 1e200, frameworks = ["jax"] }
[[case]]
problem = "poisson_sine_2d"
network = "tanh_4"
[[case]]
problem = "poisson_sine_2d"
network = "tanh_8"
"""
# names that are markup, mathematics, formulas or comments somewhere
HOSTILE = r"""
version = "1.0 $a, =1+1"
seeds = [0, 1]
steps = 30
points = { interior = 9, boundary = 6 }
[optimizers]
'a|b' = { name = "sgd", learning_rate = 0.9 }
"<b>bold</b> &amp; x" = { name = "sgd", learning_rate = 0.8 }
'=HYPERLINK("http://x")' = { name = "sgd", learning_rate = 0.7 }
'#2' = { name = "sgd", learning_rate = 0.6 }
'a, #2' = { name = "sgd", learning_rate = 0.65 }
'--><script>alert(2)</script>' = { name = "sgd", learning_rate = 0.5 }
'**x** _y_ `z` \textbf{w} % [l](http://x)' = { name = "sgd", learning_rate = 0.4 }
'_$5 to $6_' = { name = "sgd", learning_rate = 0.3 }
[[case]]
name = 'Δu ≥ f, ν = 0.01 & 5 ~ 6 ^ \lambdaa # {中} ő'
problem = "poisson_sine_2d"
network = "tanh_4"
[[case]]
name = '[damping] $\lambdaa$, \$5 and _under_'
problem = "poisson_sine_2d"
network = "tanh_8"
"""
POWERS = {"quick": 7.0, "slow": 3.5, "broken": -1.0}  # of ten, by which the error falls


def folder_of(place, toml=TOML, name="c"):
    """`<place>/<name>/m` with the campaign and a record of every run."""
    folder = place / name / "m"
    (folder / "runs").mkdir(parents=True)
    file = folder / "campaign.toml"
    file.write_text(toml)
    for asked in expansion.requests(campaign.read(file), name, file.name):
        store.write(store.path(folder, asked), falling(Fake().perform(asked)))
    return folder


def falling(record):
    """The record with errors that fall evenly in the logarithm, further for each seed."""
    power = POWERS.get(record.request.labels.optimizer, 2.0) + 0.1 * record.request.seed
    errors = [10 ** (-power * row.step / 30) for row in record.history]
    rows = zip(record.history, errors, strict=True)
    history = tuple(
        row.model_copy(update={"relative_l2": error, "rms": error / 2})
        for row, error in rows
    )
    return record.model_copy(update={"history": history})


def ran(label, errors, seed=0, seconds=4.0, **fields):
    """A run whose error was this after each whole second."""
    record = Fake().perform(request(seed=seed, steps=None, seconds=seconds, **fields))
    first = record.history[0]
    rows = [
        first.model_copy(update={"step": at, "seconds": float(at), "relative_l2": error})
        for at, error in enumerate(errors)
    ]
    labels = record.request.labels.model_copy(update={"optimizer": label})
    asked = record.request.model_copy(update={"labels": labels})
    return record.model_copy(
        update={"history": tuple(rows), "request": asked, "steps": len(rows) - 1}
    )
