"""Records of several weighted terms: they are in order, and what is forged shows."""

import pytest
from published import complaints, on_cpu, put, seal

from optbench import implementations
from optbench.campaign import campaign, expansion
from optbench.records import store
from optbench.training import run as train

FRAMEWORK = implementations.installed()[0]
CAMPAIGN = f"""
version = "1.0"
steps = 7
frameworks = ["{FRAMEWORK}"]
seeds = [0, 1]
resample_every = 2
[optimizers]
adam = {{}}
[[case]]
problem = "burgers_1d"
network = "box_3_fourier_3_1.0_tanh_5"
points = {{ interior = 9, initial = 4, boundary = 6 }}
weights = {{ initial = 3.0 }}
[[case]]
problem = "kdv_1d"
network = "tanh_5"
points = {{ interior = 9, initial = 4, boundary = 6, slope = 3 }}
march = 6
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    file = tmp_path_factory.mktemp("campaign") / "campaign.toml"
    file.write_text(CAMPAIGN)
    requests = expansion.requests(campaign.read(file), "terms", file.name)
    return [on_cpu(train.perform(request)) for request in requests]


@pytest.fixture
def folder(made, tmp_path):
    folder = tmp_path / "terms" / "a-machine"
    for record in made:
        put(folder, record)
    (folder / "campaign.toml").write_text(CAMPAIGN)
    seal(folder, made)
    return folder


def test_there_is_nothing_to_say_about_them(folder):
    assert complaints(folder) == {}


def with_rows(record, number, **changed):
    rows = list(record.history)
    rows[number] = rows[number].model_copy(update=changed)
    return record.model_copy(update={"history": tuple(rows)})


@pytest.mark.parametrize(
    ("number", "loss", "rule", "said"),
    [
        (0, 1e-3, "start", "initial = 0.001 before the first step"),
        (3, -1.0, "errors", "initial = -1 after step 3"),
        (-1, float("nan"), "history", "not finite"),
    ],
)
def test_a_forged_loss_of_a_further_term_is_found(number, loss, rule, said, folder, made):
    put(folder, with_rows(made[0], number, initial=loss))
    seal(folder, made)
    assert said in complaints(folder)[rule][0]


def test_a_record_without_a_term_s_loss_or_points_is_none(folder, made):
    file = store.path(folder, made[2].request)
    text = store.content(file).decode()
    start = text.index('"slope":', text.index('"history"'))
    file.write_bytes(store.packed(text[:start] + '"slop"' + text[start + 7 :]))
    with pytest.raises(store.InvalidRecord, match=r"losses of .*, but points of interior"):
        store.read(file)
