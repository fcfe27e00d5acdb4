"""What a publisher puts into a batch."""

from collections import deque
from types import SimpleNamespace
from typing import Any

from lastlogin_producer.records import RecordForm
from lastlogin_producer.spool import Row


Filled = tuple[bytes, bytes, list[tuple[str, bytes]]]


def filled(form: RecordForm, rows: deque[Row]) -> list[Filled]:
    """Key, value and headers of the records that `form` makes of the rows."""
    records: list[Filled] = []

    def append(*, key: bytes, value: bytes, headers: list[tuple[str, bytes]], **_: Any) -> object:
        records.append((key, value, headers))
        return object()

    form.fill(SimpleNamespace(append=append), rows, 0)
    return records
