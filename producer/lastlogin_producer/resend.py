"""`lastlogin-producer resend`: messages that Kafka took and may have lost since go out once more."""

import re
from datetime import UTC, datetime, timedelta

import click

from lastlogin_producer import control
from lastlogin_producer.control import ask
from lastlogin_producer.offline import open_spool, runs
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.exits import OK
from lastlogin_service.subcommand import Source, Subcommand


_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", re.ASCII)

SUMMARY = """Send messages once more that Kafka had already taken, as far as the spool still keeps them.

After brokers were lost together with what they had acknowledged. Harmless otherwise: whoever reads the topic sees
these logins twice, and the newest login of each user stays what it was. A running producer is told, and sends them
at once; where none runs, they go out after the next start.

\b
SINCE counts by when a message came in: 2h, 90m, 1d12h, or a time such as 2026-03-28T14:00 (of this host's time
zone unless it names one).

\b
Exit codes:
  0 done     75 the producer did not answer     78 no spool, or wrong settings
"""


def moment_us(text: str, now: datetime) -> int:
    """Microseconds since 1970 of a time, or of `now` (with a zone) less a duration. Raises ValueError."""
    if text and (found := _DURATION.fullmatch(text)):
        days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
        moment = now - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    else:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            # By the rules of this host's zone for that day: summer time may have begun or ended since.
            moment = moment.astimezone()
    if moment > now:
        raise ValueError("lies in the future")
    return int(moment.timestamp() * 1_000_000)


def _since(_context: click.Context, _option: click.Parameter, text: str) -> int:
    try:
        return moment_us(text, datetime.now(UTC))
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is neither a duration such as 2h nor a time in the past") from None


async def resend(source: Source[ProducerSettings], *, since_us: int) -> int:
    """Make kept messages wait again, and say how many; return the exit code. Raises `Exit`."""
    settings = source.load()
    if runs(settings):
        answer = await ask(settings.spool.directory, {"do": "resend", "since_us": since_us})
        click.echo(f"{answer['rows']} messages wait again and go out now")
        return OK
    spool = open_spool(settings)
    try:
        rows = await control.resend(spool, since_us)
    finally:
        await spool.close()
    click.echo(f"{rows} messages wait again; they go out when the producer runs")
    return OK


RESEND: Subcommand[ProducerSettings] = Subcommand(
    "resend",
    SUMMARY,
    resend,
    [click.Option(["--since", "since_us"], callback=_since, required=True, metavar="SINCE", help="From when on.")],
)
