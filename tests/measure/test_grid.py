"""What asv and `optbench regressions` measure by default, and what is left out."""

import pytest

from optbench.campaign import campaign
from optbench.measure import grid

TABLES = """
problems = ["poisson_sine_2d"]
widths = [16, 64]
full_alone = ["adam"]
[widths_of]
engd = [16]
[optimizers]
sgd = { learning_rate = 0.1 }
adam = {}
engd = {}
"""


def read(text, tmp_path):
    file = tmp_path / "grid.toml"
    file.write_text(text)
    return grid.read(file)


def test_a_file_says_what_is_measured_by_default(tmp_path):
    found = read(TABLES, tmp_path)
    assert found.by_default == ["sgd", "engd"]
    assert found.optimizers["sgd"] == {"learning_rate": 0.1}
    assert [found.measured_widths(name) for name in ("sgd", "engd")] == [[16, 64], [16]]


@pytest.mark.parametrize(
    ("old", "new"), [("engd = [16]", "egnd = [16]"), ('["adam"]', '["egnd"]')]
)
def test_a_name_without_hyperparameters_is_an_error(old, new, tmp_path):
    with pytest.raises(ValueError, match="egnd has no hyperparameters"):
        read(TABLES.replace(old, new), tmp_path)


def test_the_shipped_grid_is_no_campaign():
    assert len(grid.shipped().by_default) < len(grid.shipped().optimizers)
    assert not {"asv", "spaces"} & set(campaign.shipped())
