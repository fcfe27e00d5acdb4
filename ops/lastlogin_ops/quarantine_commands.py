"""`lastlogin quarantine`: writes that the producers could store and not understand."""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from lastlogin_ops.producer_rules import interpreter, load_producer_file
from lastlogin_ops.program import Program
from lastlogin_ops.quarantined import as_login, quarantined
from lastlogin_ops.set_aside_commands import Choice, Kind, replay_and_tell, replay_options, set_aside_group
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.schema import LOGIN_EVENT


QUARANTINE = Kind(
    "quarantine",
    "quarantine",
    "topics.quarantine",
    lambda settings: settings.topics.quarantine,
    lambda record, settings: quarantined(record, settings.quarantine.schemas),
)

_DROP_HELP = """`lastlogin audit` names the numbers of what was dropped and not replayed (sequences.holes), for as
long as the retention would have kept it."""

_REPLAY_HELP = """Read writes that were set aside once more, by the rules in the producer's configuration FILE (mended
`key_patterns`, say), and publish those that are logins by now.

Without --yes it only tells what would happen. What is replayed keeps its event_id and its place in the producer's
sequence: to replay twice, or two at once, is harmless. Nothing is removed from the quarantine. All records are meant
unless options or places (PARTITION:OFFSET, as in the list) choose some.

Only [dicts], [publisher] and the rules of FILE count, not the environment; servers and topics are those of this
command's own configuration. Exit code 1: some records still do not fit.
"""

quarantine_group = set_aside_group(
    QUARANTINE, "Look at writes that producers could store and not understand; replay or drop them.", _DROP_HELP
)


@quarantine_group.command("replay", help=_REPLAY_HELP)
@replay_options
@click.option(
    "--producer-config",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    required=True,
    help="The producer's configuration, as it should have been.",
)
@click.pass_obj
def replay_command(program: Program, /, file: Path, **choice: Any) -> None:
    """Replay records."""
    chosen = Choice(**choice)
    rules = load_producer_file(file)
    framing = prefix(LOGIN_EVENT, rules.publisher.schema_ids.get("LoginEvent"))
    judge = partial(as_login, interpret=interpreter(rules), framing=framing)
    outcome = replay_and_tell(QUARANTINE, program.settings(), chosen, judge, rules.publisher.compression)
    sys.exit(int(outcome.unfit > 0))
