"""The consumer process between a real Kafka and a real Cassandra: what ends up in the table, what is set aside."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lastlogin_schemas import codec, framing
from lastlogin_schemas.event import LoginEvent
from lastlogin_schemas.headers import CHECKSUM, message_headers
from lastlogin_schemas.schema import LOGIN_EVENT
from lastlogin_stack.layout import Layout
from lastlogin_stack.readback import StatsTable
from tests.support.consumer import ConsumerProcess
from tests.support.logins import login, message
from tests.support.process import wait_until
from tests.support.topics import Topics, own_topics


@pytest.fixture(scope="module")
def topics(stack: Layout) -> Iterator[Topics]:
    """Topics of this module."""
    with own_topics(stack, partitions=3) as topics:
        yield topics


@pytest.fixture(scope="module")
def consumer(stack: Layout, topics: Topics, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsumerProcess]:
    """One consumer for all tests of this module."""
    with ConsumerProcess(stack, topics, tmp_path_factory.mktemp("consumer")) as consumer:
        consumer.wait_for("assigned")
        yield consumer


@pytest.fixture(scope="module")
def rows(stack: Layout) -> Iterator[StatsTable]:
    """The table."""
    with StatsTable(stack) as table:
        yield table


@pytest.fixture
def user() -> str:
    """A user that no other test has."""
    return f"rows-{uuid4().hex}@example.org"


def _now_us() -> int:
    return time.time_ns() // 1000


def _publish_and_wait(topics: Topics, consumer: ConsumerProcess, *events: LoginEvent) -> None:
    topics.publish(*events)
    wait_until(lambda: topics.lag(consumer.group) == 0)


@pytest.mark.alone
def test_a_login_is_in_the_table_within_a_second(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """With the defaults a published login shows in its row in less than a second."""
    topics.publish(login(user + "-warm", _now_us()))
    rows.wait_for(user + "-warm", lambda row: "imap" in row, 10)

    begun = time.monotonic()
    topics.publish(login(user, _now_us(), ip="192.0.2.1"))
    row = rows.wait_for(user, lambda row: "imap" in row, 10)

    assert "192.0.2.1" == row["imap"].address
    assert time.monotonic() - begun < 1.0


def test_duplicates_in_reversed_order_end_at_the_newest(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """Whatever order logins come in, and however often, the row has the newest with its own address."""
    now = _now_us()
    events = [login(user, now - n * 1000, ip=f"192.0.2.{n + 1}") for n in range(20)]
    _publish_and_wait(topics, consumer, *events, *events[:5])
    _publish_and_wait(topics, consumer, *reversed(events[1:]))

    row = rows.row(user)
    assert (now, "192.0.2.1") == (row["imap"].time_written_us, row["imap"].address)


def test_a_newer_login_without_address_reads_as_none(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """The older address is gone, and does not come back with a repetition of the older login."""
    now = _now_us()
    _publish_and_wait(topics, consumer, login(user, now, ip="192.0.2.1"))
    _publish_and_wait(topics, consumer, login(user, now + 1000))
    _publish_and_wait(topics, consumer, login(user, now, ip="192.0.2.1"))

    cell = rows.row(user)["imap"]
    assert (now + 1000, None) == (cell.time_written_us, cell.address)
    assert now + 1000 == cell.address_written_us


def test_poison_lands_in_the_dead_letters_and_is_passed(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """A record of each kind of poison is kept with its bytes, headers and origin; the login behind it is written."""
    value, headers = message(login(user, _now_us()))
    body = value[10:]
    future, future_headers = message(login(user, _now_us() + 600_000_000))
    prefix = framing.prefix(LOGIN_EVENT)
    poison = {
        "null_value": (None, []),
        "unknown_framing": (b"not an event", [("origin", b"mail9/1/7"), ("reason", b"was here before")]),
        "unknown_schema": (framing.prefix(LOGIN_EVENT, 99) + body, headers),
        "checksum_mismatch": (value[:-1] + bytes([value[-1] ^ 1]), headers),
        "malformed_header": (value, [(CHECKSUM, b"what")]),
        "malformed_avro": (value[:-3], []),
        "trailing_bytes": (value + b"x", []),
        "out_of_range": message(login(user, 1)),
        "future": (future, future_headers),
    }
    for bad, bad_headers in poison.values():
        topics.publish_raw(bad, bad_headers, key=user.encode(), partition=1)
    behind = login(user, _now_us(), service="pop3")
    behind_body = codec.encode_login_event(behind)
    topics.publish_raw(
        prefix + behind_body, message_headers(behind_body, "mail1", 1, 1), key=user.encode(), partition=1
    )
    topics.flush()

    assert behind.login_at_us == rows.wait_for(user, lambda row: "pop3" in row, 15)["pop3"].time_written_us
    # A window's rows are written first, then its dead letters.
    wait_until(lambda: sum(letter.key == user.encode() for letter in topics.letters()) >= len(poison))
    letters = [letter for letter in topics.letters() if letter.key == user.encode()]
    assert [(reason, bad) for reason, (bad, _) in poison.items()] == [
        (letter.story["reason"], letter.value) for letter in letters
    ]
    for (_, bad_headers), letter in zip(poison.values(), letters, strict=True):
        assert list(bad_headers) == letter.headers[: len(bad_headers)]
        assert (topics.events, "1") == (letter.story["topic"], letter.story["partition"])
        assert user not in letter.story["error"]
    offsets = [int(letter.story["offset"]) for letter in letters]
    assert list(range(offsets[0], offsets[0] + len(poison))) == offsets
    assert "imap" not in rows.row(user)


def test_schemas_that_nobody_knows(topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str) -> None:
    """An unknown fingerprint and an unknown registry id are set aside with their bytes; nothing is written of them."""
    value, headers = message(login(user, _now_us()))
    body = value[10:]
    unknown = [b"\xc3\x01" + bytes(8) + body, b"\x00" + (4711).to_bytes(4, "big") + body]
    for bad in unknown:
        topics.publish_raw(bad, headers, key=user.encode(), partition=0)
    topics.flush()

    wait_until(lambda: sum(letter.key == user.encode() for letter in topics.letters()) >= len(unknown))
    letters = [letter for letter in topics.letters() if letter.key == user.encode()]
    assert [("unknown_schema", bad) for bad in unknown] == [
        (letter.story["reason"], letter.value) for letter in letters
    ]
    assert {} == rows.row(user)


def test_a_service_without_columns_is_skipped_and_told(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """Its offset passes, nothing is set aside, and the log names the service."""
    before = len(topics.letters())
    _publish_and_wait(topics, consumer, login(user, _now_us(), service="managesieve"))

    assert {} == rows.row(user)
    assert before == len(topics.letters())
    assert "managesieve" == consumer.wait_for("unmapped")[0]["service"]


def test_no_user_and_no_address_in_the_log(
    topics: Topics, consumer: ConsumerProcess, rows: StatsTable, user: str
) -> None:
    """Neither what is written nor what is set aside leaves names or addresses in the log."""
    topics.publish_raw(b"bad" + user.encode(), [("h", user.encode())], key=user.encode())
    _publish_and_wait(topics, consumer, login(user, _now_us(), ip="203.0.113.77"))

    assert "rows-" not in consumer.output()
    assert "203.0.113" not in consumer.output()


def test_a_table_without_addresses_is_written_without(
    stack: Layout, rows: StatsTable, user: str, tmp_path: Path
) -> None:
    """The manual's first table has no address columns: times are written, and the log says what is not."""
    name = f"times_{uuid4().hex[:12]}"
    rows.session.execute(f"CREATE TABLE statsdb.{name} (user text PRIMARY KEY, last_login_imap timestamp)")
    with own_topics(stack) as topics, ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=name) as consumer:
        now = _now_us()
        _publish_and_wait(topics, consumer, login(user, now, ip="192.0.2.1"), login(user, now, service="pop3"))
        found = rows.session.execute(f"SELECT user, WRITETIME(last_login_imap) FROM statsdb.{name}").all()
        missing = {line["column"] for line in consumer.said("column_missing")}
        assert 0 == consumer.stop()
    rows.session.execute(f"DROP TABLE statsdb.{name}")

    assert [(user, now)] == [tuple(row) for row in found]
    assert {"remote_ip_imap", "last_login_pop3", "last_login_lmtp", "last_login_webmail"} == missing
