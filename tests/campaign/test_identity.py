"""An identity is what was asked: whatever differs makes another, and no label does."""

import json
from pathlib import Path

import pytest
from fakes import request
from hypothesis import given, settings
from hypothesis import strategies as st

from optbench.records import store
from optbench.records.record import Labels, Request, Stage

RESULTS = Path(__file__).parents[2] / "results"
RECORDS = sorted(filter(store.is_record, RESULTS.rglob("runs/*")))
STAGES = (
    Stage(optimizer="adam", optimizer_version=1, hyperparameters={}, share=0.5),
    Stage(optimizer="sgd", optimizer_version=1, hyperparameters={}),
)
TERMS, NUMBERS = ("interior", "boundary"), st.sampled_from([1.0, 2.0])
ASKED = {
    "problem": st.sampled_from(["poisson_sine_2d", "heat_sine_1d"]),
    "problem_version": st.integers(1, 3),
    "network": st.sampled_from(["tanh_4", "tanh_44", "tanh_4_4"]),
    "points": st.fixed_dictionaries({term: st.integers(1, 3) for term in TERMS}),
    "weights": st.just({}) | st.fixed_dictionaries(dict.fromkeys(TERMS, NUMBERS)),
    "sampling": st.sampled_from(["uniform", "sobol"]),
    "march": st.integers(0, 2),
    "resample_every": st.integers(0, 2),
    "optimizer": st.sampled_from(["sgd", "adam"]),
    "optimizer_version": st.integers(1, 3),
    "hyperparameters": st.dictionaries(
        st.sampled_from(["learning_rate", "momentum"]),
        st.sampled_from([0.1, 1.0, None, ""]),
    ),
    "stages": st.sampled_from([(), STAGES, STAGES[::-1]]),
    "framework": st.sampled_from(["torch", "torch-compiled", "jax"]),
    "threads": st.integers(1, 3),
    "mode": st.sampled_from(["eager", "inductor", "jit"]),
    "device": st.sampled_from([None, "cpu"]),
    "dtype": st.sampled_from(["float64", "float32"]),
    "tf32": st.booleans(),
    "blocks": st.booleans(),
    "steps": st.integers(1, 3),
    "seed": st.integers(0, 3),
    "evaluation": st.sampled_from(["report", "selection"]),
    "files": st.dictionaries(
        st.sampled_from(["a.py", "b.py"]), st.sampled_from(["0", "1"])
    ),
}
CALLED = st.builds(
    Labels,
    campaign=st.text(),
    campaign_version=st.text(),
    case=st.text(),
    optimizer=st.text(),
    hyperparameters_from=st.sampled_from(["paper", "default"]),
    experiment=st.none() | st.text(),
)


def test_every_field_that_is_asked_is_tried():
    assert {*ASKED, "seconds", "labels"} == set(Request.model_fields)


@settings(max_examples=50, deadline=None)
@given(st.fixed_dictionaries(ASKED), st.fixed_dictionaries(ASKED), CALLED, CALLED)
def test_two_requests_are_one_run_where_they_ask_the_same(one, other, called, too):
    asked = [
        request(**fields, labels=labels) for fields, labels in ((one, called), (other, too))
    ]
    assert (asked[0].identity == asked[1].identity) == (one == other)
    assert request(**one, labels=too).identity == asked[0].identity


@pytest.mark.parametrize("field", ASKED)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_one_field_alone_makes_another_identity(field, data):
    values = data.draw(ASKED[field]), data.draw(ASKED[field])
    one, other = (request(**{field: value}).identity for value in values)
    assert (one == other) == (values[0] == values[1])


def test_a_budget_of_seconds_is_no_budget_of_steps():
    assert request(steps=3).identity != request(seconds=3.0).identity


def test_published_records_have_the_identity_of_what_they_asked():
    assert len(RECORDS) > 1500
    for file in RECORDS:
        content = json.loads(store.content(file))
        asked = Request.model_validate_json(json.dumps(content["request"]))
        assert asked.identity == content["identity"], file
        assert asked.device is None
        there = asked.model_copy(update={"device": "cpu"})
        assert there.identity != asked.identity
