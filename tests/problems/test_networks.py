"""Networks are a rule: names, parameter counts, initial parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from optbench.problems import networks

exact = settings(derandomize=True, database=None, deadline=None)


@given(
    st.from_regex(r"[a-z][a-z0-9]{0,9}", fullmatch=True),
    st.lists(st.integers(1, 9_999_999), min_size=1, max_size=8),
)
@exact
def test_names_round_trip(activation, widths):
    network = networks.Network(activation, tuple(widths))
    assert networks.parse(str(network)) == network
    assert networks.parse(network) == network


@given(st.text(alphabet="abtanh_0123456789- .٣\n"))
@exact
def test_what_parses_is_its_own_name_and_the_rest_is_one_line(name):
    try:
        message = None
        network = networks.parse(name)
    except ValueError as error:
        message = str(error)
    assert (
        str(network) == name
        if message is None
        else repr(name) in message and "\n" not in message
    )


MALFORMED = [
    "",
    "tanh",
    "tanh_",
    "_64",
    "64_64",
    "tanh_0",
    "tanh_064",
    "tanh_-4",
    "tanh_64_",
    "tanh__64",
    "Tanh_64",
]
MALFORMED += ["tanh_6.4", "tanh 64", "tanh_64\n", "tanh_64_relu", "tanh_٣"]


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_names_are_refused(name):
    with pytest.raises(
        ValueError, match="write <activation>_<width>_<width>… with at least one width"
    ):
        networks.parse(name)


def test_parse_reads_activation_and_widths():
    assert networks.parse("sin_64_64_48_48") == networks.Network(
        activation="sin", widths=(64, 64, 48, 48)
    )


# D of the paper's networks, by number of inputs
PAPER = [
    *(
        ("tanh_64", 2, 257),
        ("tanh_64_64_48_48", 2, 9873),
        ("tanh_256_256_128_128", 2, 116097),
    ),
    *(
        ("tanh_64", 5, 449),
        ("tanh_64_64_48_48", 5, 10065),
        ("tanh_256_256_128_128", 5, 116865),
    ),
    *(("tanh_256_256_128_128", 10, 118145), ("tanh_768_768_512_512", 100, 1325057)),
]


@pytest.mark.parametrize(("name", "dim", "count"), PAPER)
def test_parameter_counts_are_the_papers(name, dim, count):
    assert networks.parameter_count(name, dim, 1) == count
    assert sum(p.size for p in networks.initial_parameters(name, dim, 1, 0)) == count
    assert networks.describe(name, dim, 1) == f"{name} (D = {count:,})"


def test_shapes_are_out_by_in_plus_one():
    assert networks.shapes("tanh_7_5", inputs=3, outputs=2) == [(7, 4), (5, 8), (2, 6)]


def test_initial_parameters_are_uniform_with_the_bias_column():
    first, second, last = networks.initial_parameters("tanh_400_300", 9, 2, seed=5)
    assert [p.shape for p in (first, second, last)] == [(400, 10), (300, 401), (2, 301)]
    for p, fan_in in ((first, 9), (second, 400), (last, 300)):
        assert p.dtype == np.float64
        bound = 1 / np.sqrt(fan_in)
        for part in (p[:, :-1].ravel(), p[:, -1]):
            assert np.abs(part).max() <= bound
            assert kstest(part, "uniform", (-bound, 2 * bound)).pvalue > 1e-3


def test_one_draw_a_layer_from_the_parameters_stream():
    generator = np.random.default_rng(np.random.SeedSequence(3, spawn_key=(0, 0)))
    for p, (rows, columns) in zip(
        networks.initial_parameters("tanh_6_4", 2, 1, 3),
        [(6, 3), (4, 7), (1, 5)],
        strict=True,
    ):
        bound = 1 / np.sqrt(columns - 1)
        np.testing.assert_allclose(
            p, generator.uniform(-bound, bound, (rows, columns)), rtol=1e-14, atol=1e-15
        )


def test_parameters_depend_on_the_seed_alone():
    one, same, other = (
        networks.initial_parameters("tanh_8", 2, 1, seed) for seed in (0, 0, 1)
    )
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
