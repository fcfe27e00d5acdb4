"""The log of both services, at its most talkative: whose login it was is never in it, and how to find that is."""

import socket
import time
from pathlib import Path
from uuid import uuid4

from lastlogin_schemas import codec, framing
from lastlogin_schemas.event import RawWrite
from lastlogin_stack.layout import Layout
from tests.support.consumer import ConsumerProcess
from tests.support.producer import ProducerProcess
from tests.support.topics import Topics, own_topics


NOBODY = f"private-{uuid4().hex[:8]}"
ADDRESSES = ("203.0.113.77", "2001:db8:77::1")
# A user, its key and value, each in a way that it can be wrong.
WRITES = {
    "login": f"shared/last-login/imap/{NOBODY}-login/{ADDRESSES[0]}",
    "newer": f"shared/last-login/pop3/{NOBODY}-newer/{ADDRESSES[1]}",
    "unmapped": f"shared/last-login/managesieve/{NOBODY}-unmapped/{ADDRESSES[0]}",
    "bad_key": f"shared/elsewhere/{NOBODY}-bad_key/{ADDRESSES[0]}",
    "bad_address": f"shared/last-login/imap/{NOBODY}-bad_address/{NOBODY}",
    "key_mismatch": f"shared/last-login/imap/{NOBODY}-another/{ADDRESSES[0]}",
}


def say(path: Path, lines: str) -> bytes:
    """What is answered until the server closes, or has answered a line."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(lines.encode())
        return connection.makefile("rb").readline()


def write(path: Path, user: str, key: str, value: int | str) -> None:
    """One transaction that is stored."""
    assert b"O1\n" == say(path, f"H3\t2\t0\t{NOBODY}\tstatsdb\nB1\t{user}\nS1\t{key}\t{value}\nC1\n")


def quarantined(topics: Topics, topic: str) -> list[RawWrite]:
    """The writes that were put aside."""
    parts = [framing.split(each.value or b"", {}) for each in topics.letters(topic)]
    return [codec.decode_raw_write(body, schema) for schema, body in parts]


def test_nobody_is_named_and_everything_is_found(stack: Layout, tmp_path: Path) -> None:
    """With `debug` no user and no address is in a line of either service; `event_id` and `received_at_us` name it."""
    now_ms = time.time_ns() // 1_000_000
    with own_topics(stack, 2) as topics:
        quarantine = f"{topics.events}-quarantine"
        topics.create(quarantine, 1)
        own = {"TOPICS__EVENTS": topics.events, "TOPICS__QUARANTINE": quarantine, "LOG__LEVEL": "debug"}
        with (
            ProducerProcess(tmp_path, KAFKA__BOOTSTRAP_SERVERS=topics.servers, **own) as producer,
            ConsumerProcess(stack, topics, tmp_path, LOG__LEVEL="debug") as consumer,
        ):
            producer.serve()
            for name, key in WRITES.items():
                write(producer.socket, f"{NOBODY}-{name}", key, now_ms)
            write(producer.socket, f"{NOBODY}-value", f"shared/last-login/imap/{NOBODY}-value", NOBODY)
            write(producer.socket, f"{NOBODY}-future", f"shared/last-login/imap/{NOBODY}-future", now_ms + 3_600_000)
            # No dict of that name, a look-up, what is no command.
            for lines in (
                f"H3\t2\t0\t{NOBODY}\t{NOBODY}\n",
                f"H3\t2\t0\t{NOBODY}\tstatsdb\nLshared/{NOBODY}\t{NOBODY}\n",
                f"H3\t2\t0\t\tstatsdb\n{NOBODY}\n",
            ):
                say(producer.socket, lines)
            topics.publish_raw(NOBODY.encode(), [("h", NOBODY.encode())], key=NOBODY.encode())
            topics.flush()
            letters = {line["reason"]: line for line in consumer.wait_for("dead_lettered", 2)}
            [unmapped] = consumer.wait_for("unmapped")
            producer.wait_until(lambda: len(topics.letters(quarantine)) == 4)
            told = {line["reason"]: line for line in producer.said("write_quarantined")}
            assert producer.said("dict_refused")
            assert producer.said("dict_connection_closed")
            assert (0, 0) == (producer.stop(), consumer.stop())
        output = producer.output() + consumer.output()
        [future] = [letter for letter in topics.letters() if letter.story["reason"] == "future"]
        kept = {raw.reason: raw for raw in quarantined(topics, quarantine)}
        topics.delete(quarantine)

    for private in (NOBODY, NOBODY.encode().hex(), *ADDRESSES):
        assert private not in output
    schema, body = framing.split(future.value or b"", {})
    assert codec.decode_login_event(body, schema).event_id == letters["future"]["event_id"]
    assert None is letters["unknown_framing"]["event_id"]
    assert ("managesieve", True) == (unmapped["service"], unmapped["offset"] >= 0)
    assert {reason: raw.received_at_us for reason, raw in kept.items()} == {
        reason: line["received_at_us"] for reason, line in told.items()
    }
    assert {"bad_key", "bad_address", "key_mismatch", "bad_value"} == set(kept)
