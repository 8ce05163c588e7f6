"""When a stream beats."""

import time

from config.sse import Pulse


def test_a_timer_that_rings_a_moment_early_makes_a_beat_and_only_one() -> None:
    pulse = Pulse()
    assert not pulse.due()
    pulse.at = time.monotonic() + Pulse.EARLY / 2
    assert pulse.due()
    assert not pulse.due()


def test_beats_that_were_missed_are_not_made_up_for() -> None:
    pulse = Pulse()
    pulse.at = time.monotonic() - 60
    assert pulse.due()
    assert not pulse.due()
