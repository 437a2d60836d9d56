"""A signal ends a command once; the next ones do not disturb how it ends."""

import signal
import sys

import pytest

from optbench import __main__
from optbench.cli import exit_codes

SIGHUP = getattr(signal, "SIGHUP", None)


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in exit_codes.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", exit_codes.SIGNALS)
def test_the_first_signal_interrupts_and_the_next_are_ignored(number):
    exit_codes.heed_signals()
    with pytest.raises(exit_codes.Interrupted) as caught:
        signal.raise_signal(number)
    assert caught.value.args == (number,)
    for again in exit_codes.SIGNALS:
        signal.raise_signal(again)


@pytest.mark.skipif(SIGHUP is None, reason="no terminal hangs up there")
def test_what_nohup_ignores_stays_ignored():
    signal.signal(SIGHUP, signal.SIG_IGN)
    exit_codes.heed_signals()
    signal.raise_signal(SIGHUP)


def test_an_interruption_of_the_imports_is_one_line(monkeypatch, capsys):
    class Interrupted:
        @staticmethod
        def find_spec(name, *_):
            if name == "optbench.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "optbench.cli.app", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Interrupted, *sys.meta_path])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "optbench: interrupted before it began\n"
