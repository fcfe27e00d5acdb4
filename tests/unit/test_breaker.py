"""When too many records are bad."""

from lastlogin_consumer.breaker import Breaker


def test_more_than_half_of_200_within_a_minute_open_it() -> None:
    """Half of them does not, nor do fewer, nor what is spread over more than a minute."""
    breaker = Breaker()
    breaker.count(199, 199, 0.0)
    assert 0.0 == breaker.open_for(0.0)
    breaker.count(199, 0, 30.0)
    assert 0.0 == breaker.open_for(30.0)
    breaker.count(100, 100, 61.0)
    assert 0.0 == breaker.open_for(61.0)
    breaker.count(100, 100, 62.0)
    assert 300.0 == breaker.open_for(62.0)


def test_it_closes_after_five_minutes_and_counts_anew() -> None:
    """What is counted meanwhile does not count; afterwards it takes as much to open it again."""
    breaker = Breaker()
    breaker.count(1_000, 600, 0.0)
    breaker.count(1_000, 1_000, 100.0)

    assert 200.0 == breaker.open_for(100.0)
    assert 0.0 == breaker.open_for(300.0)
    breaker.count(150, 150, 301.0)
    assert 0.0 == breaker.open_for(301.0)
    breaker.count(150, 150, 302.0)
    assert 300.0 == breaker.open_for(302.0)


def test_it_can_be_off() -> None:
    """A backlog that is known to be bad is set aside at once."""
    breaker = Breaker(on=False)
    breaker.count(1_000, 1_000, 0.0)

    assert 0.0 == breaker.open_for(0.0)
