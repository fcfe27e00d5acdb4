"""`lastlogin dlq`: records of the events topic that the consumer could not use."""

import sys
import time
from functools import partial
from typing import Any

import click

from lastlogin_ops.letters import FUTURE, DeadLetter, again, dead_letter
from lastlogin_ops.program import Program
from lastlogin_ops.set_aside_commands import Choice, Kind, replay_and_tell, replay_options, set_aside_group


DEAD_LETTERS: Kind[DeadLetter] = Kind(
    "dlq",
    "dead-letter topic",
    "topics.dead_letters",
    lambda settings: settings.topics.dead_letters,
    lambda record, settings: dead_letter(record, settings.tail.schemas),
)

_DROP_HELP = """The records themselves stay in the topic of events until its retention takes them: of what was dropped
`lastlogin audit` says until then that it was not set aside (what is no login), or that its row is missing or older
(logins whose row does not have them by then)."""

_REPLAY_HELP = """Publish records that the consumer could not use once more, as they were, for it to judge them again.

Without --yes it only tells what would happen. A record is published when it can be read as a login by now, by [tail]
schema_ids, of a service in [columns], and when its time has come; whether Cassandra takes it then, is seen then.
What is replayed has its bytes, key and headers: to replay twice, or two at once, is harmless. Nothing is removed
from the dead letters. All records are meant unless options or places (PARTITION:OFFSET, as in the list) choose some.

Logins that were ahead of Kafka's time (future) have a wrong time for ever, and are left out unless --reason future or
places ask for them. Exit code 1: some records still do not fit.
"""

_WRONG_CLOCK = """The consumer takes a login of the reason future once its time has come. It is a wrong time all the
same, and stays in the row until the user has a login after it."""

dlq_group = set_aside_group(
    DEAD_LETTERS, "Look at records that the consumer could not use; replay or drop them.", _DROP_HELP
)


@dlq_group.command("replay", help=_REPLAY_HELP)
@replay_options
@click.pass_obj
def replay_command(program: Program, /, **choice: Any) -> None:
    """Replay records."""
    chosen = Choice(**choice)
    settings = program.settings()
    judge = partial(
        again,
        topic=settings.topics.events,
        services=frozenset(settings.columns.services),
        now_us=time.time_ns() // 1_000,
        future=bool(chosen.places) or FUTURE in chosen.reasons,
    )
    # What came compressed may be too large otherwise.
    outcome = replay_and_tell(DEAD_LETTERS, settings, chosen, judge, "zstd")
    if not chosen.as_json and (share := outcome.shares.get(FUTURE)) is not None and share.published:
        click.echo(_WRONG_CLOCK)
    sys.exit(int(outcome.unfit > 0))
