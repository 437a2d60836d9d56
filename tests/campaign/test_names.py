"""Names of cases and optimizers: shown, told apart, and never what a run is known by."""

from pathlib import Path

import pytest
from campaign_files import GOOD, read

from optbench.campaign import campaign, results_folder
from optbench.campaign.errors import CampaignError
from optbench.records import store

RESULTS = Path(__file__).parents[2] / "results"
TWO = """
version = "1.0"
steps = 3
frameworks = ["jax"]
[optimizers]
sgd = {}
[[case]]
problem = "poisson_sine_2d"
network = "tanh_8"
[[case]]
problem = "poisson_sine_2d"
network = "tanh_8"
"""
SECOND = TWO.rindex("[[case]]")


def second(lines, first=""):
    """The campaign of two cases with more lines in the second, and in the first."""
    return f"{TWO[:SECOND]}{first}\n{TWO[SECOND:]}{lines}\n"


ALIKE = {
    "points": second("points = { interior = 7, boundary = 3 }"),
    "budget": second("steps = 20"),
    "seeds": second("seeds = [5]"),
    "name": second('name = "small"\nsteps = 4', 'name = "small"'),
    "problem": second('name = "small"', 'name = "small"').replace(
        'poisson_sine_2d"\nnetwork = "tanh_8"\nname',
        'heat_sine_1d"\nnetwork = "tanh_8"\nname',
    ),
    "blanks": second('name = "a  b"\nsteps = 4', 'name = "a b"'),
    "composed": second('name = "Poincar\u0065\u0301"\nsteps = 4', 'name = "Poincar\u00e9"'),
    "default": second("steps = 20", 'name = "poisson_sine_2d, tanh_8"'),
    "precision": second('precision = "float32"\nname = "a"', 'name = "a, float32"'),
    "equal": TWO,
}


@pytest.mark.parametrize("differs", ALIKE)
def test_cases_that_tables_would_call_alike_are_refused(differs, tmp_path):
    with pytest.raises(CampaignError) as caught:
        read(ALIKE[differs], tmp_path)
    said = str(caught.value)
    assert said.startswith("mine.toml: case[1]: is called ")
    assert "as case[0] is: give one of them a name of its own" in said


@pytest.mark.parametrize(
    "text",
    [
        second('name = "more"\npoints = { interior = 7, boundary = 3 }'),
        second('precision = "float32"'),
        TWO.replace("tanh_8", "tanh_4", 1),
    ],
)
def test_cases_that_are_called_differently_are_two(text, tmp_path):
    assert len({run.case for run in read(text, tmp_path)}) == 2


LABELS = [
    ('kfac = { name = "sgd" }', "kfac: runs sgd under the name of kfac: give it another"),
    ('"K-FAC" = { name = "sgd" }', "K-FAC: runs sgd under the name of kfac"),
    ('adam_lbfgs = { name = "sgd" }', "runs sgd under the name of adam_lbfgs"),
    (
        'sgd = [{ name = "adam", share = 0.5 }, { name = "lbfgs" }]',
        "sgd: runs adam+lbfgs under the name of sgd",
    ),
    ('"mine.py:Mine" = { name = "sgd" }', "runs sgd under the name of mine.py:Mine"),
    (
        '"a b" = { name = "sgd" }\n"a  b" = { name = "sgd", momentum = 0.5 }',
        "optimizers.a  b: looks as case[0].optimizers.a b does: give one of them another",
    ),
]


@pytest.mark.parametrize(("table", "message"), LABELS)
def test_a_label_of_another_optimizer_or_of_two_is_refused(table, message, tmp_path):
    with pytest.raises(CampaignError) as caught:
        read(GOOD.replace("kfac = { damping = 1e-3 }", table), tmp_path)
    assert message in str(caught.value)


def test_a_label_runs_one_optimizer_in_all_cases(tmp_path):
    tables = [
        f'[case.optimizers]\nfast = {{ name = "{name}" }}' for name in ("sgd", "adam")
    ]
    text = second('name = "b"\n' + tables[1], tables[0])
    with pytest.raises(CampaignError) as caught:
        read(text, tmp_path)
    assert str(caught.value) == (
        "mine.toml: case[1].optimizers.fast: runs adam, and case[0].optimizers.fast runs "
        "sgd: give one of them another label"
    )
    assert len(read(text.replace('"adam"', '"sgd"'), tmp_path)) == 2


BAD = {
    "a\\nb": "must not hold the control character U+000A",
    "a\\u0000b": "must not hold the control character U+0000",
    "\\u202Eevil\\u2066": "must not hold the control character U+202E",
    "\\u001b[31mred": "must not hold the control character U+001B",
    "a\\u200bb": "must not hold the control character U+200B",
    " ": "must not be blank",
    "x" * 101: "has 101 characters: must have 100 at most",
}


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_shown_is_refused_in_one_line(name, tmp_path):
    case = GOOD.replace("network =", f'name = "{name}"\nnetwork =')
    label = GOOD.replace("kfac =", f'"{name}" =').replace("1e-3", '1e-3, name = "kfac"')
    version = GOOD.replace('"1.0"', f'"{name}"')
    for text in (case, label, version):
        with pytest.raises(CampaignError) as caught:
            read(text, tmp_path)
        assert BAD[name] in str(caught.value)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["../../../var/evil", "/var/evil", "..", "a/b: ✓ Δ|*"])
def test_a_name_is_no_path(name, tmp_path):
    from optbench.problems.own import slug
    from optbench.records import store

    text = GOOD.replace("network =", f'name = "{name}"\nnetwork =')
    (run,) = read(
        text.replace("kfac =", f'"{name}" =').replace("{ d", '{ name = "kfac", d'), tmp_path
    )
    assert store.path(tmp_path, run).parent == tmp_path / "runs"
    assert "/" not in slug(run.case)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("single.toml", "single is the folder of other results: rename the file"),
        ("scale.toml", "scale is the folder of other results"),
        ("..toml", "is no name of a folder"),
        ("...toml", "is no name of a folder"),
        ("a\nb.toml", "must not hold the control character U+000A"),
        ("x" * 250 + ".toml", "has 250 characters"),
    ],
)
def test_a_campaigns_file_has_a_name_that_a_folder_can_have(file, message, tmp_path):
    with pytest.raises(CampaignError, match=message.replace("+", r"\+")) as caught:
        campaign.name_of(tmp_path / file)
    assert str(caught.value).isprintable()


def test_every_published_campaign_is_in_order():
    shipped = [campaign.name_of(file) for file in campaign.shipped().values()]
    assert {"cpu", "gpu", "paper", "quick"} <= set(shipped)
    for file in RESULTS.rglob(results_folder.CAMPAIGN):
        # those whose optimizers have had other fields say which are meant
        runs = sorted((file.parent / "runs").glob("*lbfgs*seed0*"))
        records = {run: store.read(run) for run in runs}
        results = results_folder.Results(file.parent, records, ())
        assert results.unreadable is None
        assert results.requests


def test_seeds_and_frameworks_are_named_once(tmp_path):
    for key, values, twice in (
        ("seeds", "[0, 1, 0]", "0"),
        ("frameworks", '["jax", "jax"]', "jax"),
    ):
        text = GOOD.replace('frameworks = ["jax"]\n', "") + ""
        with pytest.raises(CampaignError) as caught:
            read(f"{key} = {values}\n{text}", tmp_path)
        assert str(caught.value) == f"mine.toml: {key} = {values}: holds {twice} twice"
