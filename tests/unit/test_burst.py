"""Batches of one call of `write`: what is sent again, in which size, and what is left at the end."""

import asyncio

import cassandra
import pytest
from cassandra.protocol import ServerError

from lastlogin_consumer.batch_request import StatementsForgotten
from lastlogin_consumer.burst import Burst
from lastlogin_consumer.decode import Login
from tests.support.logins import AT_US


def logins(count: int) -> list[Login]:
    """Logins of as many users."""
    return [Login(f"u{number}", "imap", AT_US, b"", True, number) for number in range(count)]


def burst(*batches: list[Login]) -> Burst:
    """Of these batches."""
    return Burst(iter(batches), asyncio.get_running_loop().create_future())


def run(burst: Burst, refuse: dict[str, BaseException]) -> list[int]:
    """Send all that is to be sent, one after the other; how large each batch was. It fails with a user's error."""
    sizes = []
    while burst.has_halves or not burst.finished.done():
        batch = burst.next_batch()
        if batch is None:
            break
        burst.in_flight += 1
        sizes.append(len(batch))
        burst.settle(batch, next((refuse[login.user] for login in batch if login.user in refuse), None))
    return sizes


async def test_what_is_acknowledged_is_sent_once() -> None:
    """It is finished when the last answer has come."""
    sent = burst(logins(3), logins(2))

    assert [3, 2] == run(sent, {})
    assert sent.finished.done()
    assert ([], [], None) == (sent.failed, sent.refused, sent.error)


async def test_a_row_that_is_refused_is_found_by_halves() -> None:
    """The others are written at once; it comes with the refusal."""
    refusal = cassandra.InvalidRequest("Unable to write to denylisted partition [key]")
    sent = burst(logins(8))

    assert [8, 4, 4, 2, 2, 1, 1] == run(sent, {"u5": refusal})
    assert [("u5", refusal)] == [(login.user, error) for login, error in sent.refused]
    assert ([], None) == (sent.failed, sent.error)
    assert not sent.table_in_doubt
    assert sent.finished.done()


async def test_a_row_at_which_replicas_fail_is_alone_and_repeated() -> None:
    """Their disk may be the reason."""
    sent = burst(logins(4))
    run(sent, {"u0": cassandra.WriteFailure("disk"), "u3": ServerError(0, "", None)})

    assert ["u0", "u3"] == [login.user for login in sent.failed]
    assert [] == sent.refused
    assert sent.error is not None


@pytest.mark.parametrize(
    "error", [cassandra.OperationTimedOut(), cassandra.Unavailable("few"), StatementsForgotten("which"), OSError()]
)
async def test_what_says_nothing_about_rows_fails_whole(error: BaseException) -> None:
    """Halves would help nobody: the cluster is to blame."""
    sent = burst(logins(4), logins(2))

    assert [4, 2] == run(sent, {"u3": error})
    assert logins(4) == sent.failed
    assert error is sent.error


async def test_rows_of_their_own_fault_are_all_found_at_once() -> None:
    """However many: each is refused once and for all."""
    refusal = cassandra.InvalidRequest("Unable to write to denylisted partition [key]")
    everybody = logins(1_000)
    sent = burst(*(everybody[at : at + 50] for at in range(0, 1_000, 50)))
    run(sent, {f"u{number}": refusal for number in range(1_000)})

    assert everybody == sorted((login for login, _ in sent.refused), key=lambda login: login.offset)
    assert [] == sent.failed


async def test_a_burst_of_which_every_row_is_refused_for_what_it_is_not_is_given_up() -> None:
    """Else each row would cost two requests, over and over; what was not tried is to be repeated."""
    refusal = cassandra.InvalidRequest("Guardrail replica_disk_usage violated: Write request failed")
    everybody = logins(1_000)
    sent = burst(*(everybody[at : at + 50] for at in range(0, 1_000, 50)))
    sizes = run(sent, {f"u{number}": refusal for number in range(1_000)})

    assert len(sizes) < 200
    assert [] == sent.refused
    assert everybody == sorted(sent.failed, key=lambda login: login.offset)
    assert sent.table_in_doubt


async def test_an_answer_after_giving_up_makes_no_halves() -> None:
    """Nobody sends them any more."""
    sent = burst(logins(8))
    batch = sent.next_batch()
    assert batch is not None
    sent.in_flight += 1
    sent.give_up()
    sent.settle(batch, cassandra.InvalidRequest("late"))

    assert not sent.has_halves
    assert logins(8) == sent.failed
    assert sent.finished.done()


async def test_forgotten_statements_are_remembered_whatever_else_fails() -> None:
    """A later timeout of another node does not hide that they must be prepared again."""
    sent = burst(logins(1), [Login("v", "imap", AT_US, b"", True, 1)])
    run(sent, {"u0": StatementsForgotten("which"), "v": cassandra.OperationTimedOut()})

    assert sent.table_in_doubt
    assert isinstance(sent.error, cassandra.OperationTimedOut)


async def test_when_the_cluster_is_away_the_rest_is_not_tried() -> None:
    """After eight failures in a row what is not sent has failed, too."""
    sent = burst(*[logins(1)] * 20)

    assert [1] * 8 == run(sent, {"u0": cassandra.OperationTimedOut()})
    assert logins(1) * 20 == sent.failed
    assert sent.finished.done()
