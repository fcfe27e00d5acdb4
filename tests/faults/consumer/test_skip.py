"""Case 40: an operator passes what cannot be read."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lastlogin_schemas.event import LoginEvent
from lastlogin_stack.layout import Layout
from tests.support.command import Ended, service
from tests.support.consumer import ConsumerProcess, consumer_variables, with_constants
from tests.support.damage import cut_off, flip_bit
from tests.support.gate import Gate
from tests.support.logins import login
from tests.support.own_table import OwnTable
from tests.support.topics import Topics


# In place of 20 s.
_CONSTANTS = Path(__file__).parents[2] / "support" / "with_constants.py"
IMPATIENT = [sys.executable, "-P", str(_CONSTANTS), "lastlogin_consumer.skip.command:_CONNECT_DEADLINE_S=2", "--"]


class Damaged:
    """A partition with records of no use at 30, and two damaged batches: 10 to 19, 31 to 40."""

    PARTITION = 2

    def __init__(self, layout: Layout, topics: Topics, table: OwnTable) -> None:
        self._layout = layout
        self._topics = topics
        self._variables = consumer_variables(layout, topics) | {
            "GROUP": topics.events,
            "CASSANDRA__TABLE": table.name,
        }
        self._sequence = 0
        # What can be read.
        self.sound: list[LoginEvent] = []

    def publish(self) -> None:
        """Publish it."""
        self.sound += self._publish("before")
        one = self._publish("one")
        self.sound += self._publish("between")
        self._topics.publish_raw(b"no event", partition=self.PARTITION)
        self._topics.flush()
        other = self._publish("other")
        self.sound += self._publish("behind")
        for batch in (one, other):
            flip_bit(self._layout, self._topics.events, self.PARTITION, batch[4].user.encode())

    def _publish(self, name: str) -> list[LoginEvent]:
        now = time.time_ns() // 1000 - 10_000_000
        events = [login(f"{name}{n}", now + n, ip="192.0.2.1") for n in range(10)]
        for number, event in enumerate(events):
            self._sequence += 1
            events[number] = event._replace(sequence=self._sequence)
        self._topics.publish(*events, partition=self.PARTITION)
        return events

    def run(self, *arguments: str, prefix: Sequence[str] = (), **variables: str) -> Ended:
        """Run the command with a subcommand."""
        return service("lastlogin-consumer", *arguments, prefix=prefix, **self._variables | variables)

    def skip(self, *arguments: str, prefix: Sequence[str] = (), **variables: str) -> Ended:
        """Run `lastlogin-consumer skip` for the partition."""
        where = "skip", "--topic", self._topics.events, "--partition", str(self.PARTITION)
        return self.run(*where, *arguments, prefix=prefix, **variables)

    def committed(self) -> int:
        """The group's offset."""
        return self._topics.committed(self._topics.events)[self.PARTITION]


@pytest.fixture
def damaged(stack: Layout, topics: Topics, table: OwnTable) -> Damaged:
    """The partition, published."""
    damaged = Damaged(stack, topics, table)
    damaged.publish()
    return damaged


def test_an_operator_looks_before_passing(
    stack: Layout, damaged: Damaged, member: Callable[..., ConsumerProcess]
) -> None:
    """The consumer that is held names the command, which tells exactly what cannot be read, and what is around it.

    Nothing is skipped without --yes, nor while the group has members or Cassandra is away.
    """
    consumer = member()
    consumer.start()
    held = consumer.wait_for("partition_held")[0]
    consumer.wait_until(lambda: damaged.committed() == 10)
    program, *hint = shlex.split(held["why"].split("`")[1])
    told = damaged.run(*hint)
    busy = damaged.skip("--to", "20", "--yes")
    assert 0 == consumer.stop()
    with Gate(stack.cassandra_port) as gate:
        gate.shut()
        away = damaged.skip("--to", "45", "--yes", prefix=IMPATIENT, CASSANDRA__PORT=str(gate.port))

    assert ("lastlogin-consumer", 0, "") == (program, told.code, told.err)
    assert "offsets 10 to 10 of partition 2 of" in told.out
    assert "1 cannot be read and would be given up:" in told.out
    assert "  offset 10, appended behind 9 of 20" in told.out
    assert ", before 20 of 20" in told.out
    assert "mail1/1: 11 to 20" in told.out
    assert "behind them offsets 11 to 19 (9) cannot be read either: --to 20 passes them, too" in told.out
    assert "Nothing was changed" in told.out
    assert 75 == busy.code
    assert "has 1 member: stop its consumers first, nothing was skipped" in busy.err
    assert 69 == away.code
    assert "nothing was skipped" in away.err
    assert 10 == damaged.committed()


def test_an_operator_passes_damaged_batches(
    topics: Topics, table: OwnTable, damaged: Damaged, member: Callable[..., ConsumerProcess]
) -> None:
    """What can be read is written, what is of no use set aside, the rest is named exactly; the consumer goes on.

    Two operators at once do it once, and to do it again changes nothing.
    """
    with ThreadPoolExecutor() as threads:
        both = [run.result() for run in [threads.submit(damaged.skip, "--to", "45", "--yes") for _ in range(2)]]
    again = damaged.skip("--to", "45", "--yes")
    wrong = damaged.skip("--to", "1000")
    consumer = member()
    consumer.start()
    consumer.wait_until(lambda: topics.lag(consumer.group) == 0, 60)
    assert 0 == consumer.stop()

    assert {each.code for each in both} <= {0, 75}, both
    # Both, if neither was quicker: then they move it to the same place.
    done = next(each for each in both if "given up. The group" in each.out)
    assert "25 records were read (24 rows written, 1 set aside), 20 given up." in done.out
    [line] = [line for line in map(json.loads, done.err.splitlines()) if line["action"] == "skipped"]
    assert (2, 0, 45) == (line["partition"], line["first"], line["to"])
    assert (["2:10-19", "2:31-40"], 20) == (line["offsets"], line["given_up"])
    assert (topics.events, consumer.group) == (line["topic"], line["group"])
    assert line["by"]
    assert 0 == again.code
    assert "There is nothing to skip: the group" in again.out
    assert 2 == wrong.code
    assert "goes beyond the end of the partition, 51" in wrong.err
    assert sorted(event.user for event in damaged.sound) == sorted(user for user, _ in table.cells())
    assert {"30"} == {letter.story["offset"] for letter in topics.letters()}


def test_what_a_broker_withholds(
    stack: Layout, topics: Topics, table: OwnTable, damaged: Damaged, tmp_path: Path
) -> None:
    """Where damage hides from the broker how long a batch is it gives nothing and says nothing: that is told, too."""
    topics.publish(login("hidden"), partition=1)
    cut_off(stack, topics.events, 1, offset=0)
    cut_off(stack, topics.events, damaged.PARTITION, offset=20)
    consumer = with_constants(
        ConsumerProcess(stack, topics, tmp_path, CASSANDRA__TABLE=table.name, GROUP=f"{topics.events}-other"),
        {"lastlogin_consumer.pipeline:_SILENCE_S": 1},
    )

    def held() -> list[str]:
        return [line["why"] for line in consumer.said("partition_held") if line["partition"] == 1]

    with consumer:
        replayed = damaged.run("replay", "--offsets", "2:20-29")
        told = damaged.skip("--to", "25")
        consumer.wait_until(lambda: bool(held()))

    assert "Kafka answers and gives nothing at offset 0; " in held()[0]
    assert f"`lastlogin-consumer skip --topic {topics.events} --partition 1 --to 1`" in held()[0]
    assert 1 == replayed.code
    assert "partition 2 cannot be read at offset 20" in replayed.out
    assert "not written; go on with: lastlogin-consumer replay --offsets 2:21-29" in replayed.out
    assert 0 == told.code
    assert "10 can be read; " in told.out
    assert "15 cannot be read and would be given up:" in told.out
    assert "  offsets 10 to 24 (15), appended behind 9 of" in told.out
