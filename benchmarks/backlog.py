"""A spool as a long outage leaves it, made by the code that makes real ones."""

import time
from pathlib import Path

from lastlogin_producer.spool.directory import prepare_directory
from lastlogin_producer.spool.file import SpoolFile
from lastlogin_producer.spool.kept import Keep
from lastlogin_producer.spool.row import unnumbered_body
from lastlogin_producer.spool.spool import FILE_NAME
from lastlogin_schemas.event import LoginEvent, event_id


_GROUP = 4_096


def build(directory: Path, rows: int) -> None:
    """Fill a new spool with so many logins of different users."""
    prepare_directory(directory)
    now_us = time.time_ns() // 1_000
    file = SpoolFile(directory / FILE_NAME, "bench", now_us, Keep(rows=0, bytes=0, age_us=0))
    for first in range(0, rows, _GROUP):
        file.write([unnumbered_body(login(n, now_us)) for n in range(first, min(first + _GROUP, rows))], now_us)
    file.close()


def login(number: int, now_us: int) -> LoginEvent:
    """A login of user `number`."""
    user = f"b{number}@example.org"
    address = f"192.0.2.{number % 250}"
    key = f"shared/last-login/imap/{user}/{address}"
    return LoginEvent(
        user=user,
        service="imap",
        login_at_us=now_us,
        remote_ip=address,
        backend="bench",
        dict_name="statsdb",
        dict_key=key,
        event_id=event_id(
            backend="bench",
            dict_name="statsdb",
            user=user,
            service="imap",
            login_at_us=now_us,
            remote_ip=address,
            dict_key=key,
            attributes={},
        ),
        received_at_us=now_us,
    )
