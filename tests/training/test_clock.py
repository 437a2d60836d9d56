"""Every second of a run belongs to exactly one section."""

import pytest
from fakes import Ticks

from optbench.training.clock import SECTIONS, Clock


def test_time_goes_to_the_section_it_was_spent_in():
    ticks = Ticks()
    clock = Clock(ticks)
    ticks.pass_by(1)
    with clock.section("train"):
        ticks.pass_by(2)
        with clock.section("evaluate"):
            ticks.pass_by(4)
        ticks.pass_by(8)
    ticks.pass_by(16)
    clock.enter("log")
    assert clock.seconds == dict.fromkeys(SECTIONS, 0.0) | {
        "setup": 17,
        "train": 10,
        "evaluate": 4,
    }
    assert clock.wall == sum(clock.seconds.values()) == 31


def test_an_exception_leaves_its_section():
    ticks = Ticks()
    clock = Clock(ticks)

    def fail():
        with clock.section("train"):
            ticks.pass_by(3)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    ticks.pass_by(5)
    clock.enter("log")
    assert (clock.seconds["train"], clock.seconds["setup"]) == (3, 5)


def test_an_unknown_section_is_named():
    with pytest.raises(KeyError, match=r"trian.*train"):
        Clock().enter("trian")
