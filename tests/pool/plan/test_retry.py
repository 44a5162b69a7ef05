from __future__ import annotations

import pytest

from webinfer.pool.plan.retry import CAP, Breaker, backoff


def test_backoff_doubles_up_to_its_cap() -> None:
    assert [backoff(failures) for failures in range(7)] == [0, 1, 2, 4, 8, 15, 15]
    assert backoff(10_000) == CAP == 15


@pytest.mark.parametrize("now", [0.0, 1e6])
def test_breaker_stays_open_longer_with_every_failure(now: float) -> None:
    breaker = Breaker()
    for expected in (1, 2, 4, 8, 15, 15):
        breaker = breaker.failed(now, "browser.launch")
        assert breaker.until - now == expected
        now = breaker.until
    assert (breaker.failures, breaker.cause) == (6, "browser.launch")
