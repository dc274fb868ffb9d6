"""A demo that is told to end ends as if by Ctrl-C, whatever the signal hit."""

import os
import signal

import pytest

from headrace.cli.demo import ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_ends_the_block(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) == before


def extension() -> None:
    """Does to a signal what the Kafka client was seen to do."""
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        raise TypeError("expected configuration property name as type unicode string") from None


def test_a_signal_inside_an_extension_is_no_error_of_that_extension() -> None:
    with pytest.raises(KeyboardInterrupt), ended_by_signals():
        extension()


def test_an_error_without_a_signal_stays_itself() -> None:
    with pytest.raises(TypeError, match="mine"), ended_by_signals():
        raise TypeError("mine")
