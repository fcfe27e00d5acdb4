"""What others do: single prepared INSERTs, 256 in flight, the same driver with the same settings.

usage: bare_inserts.py ADDRESS PORT ROWS; prints the seconds that it took, and those of CPU
"""

import sys
import time
from datetime import UTC, datetime
from threading import BoundedSemaphore

from lastlogin_schemas.table import TableMapping, insert_cql
from lastlogin_service.cassandra import CassandraSettings, build_cluster


_IN_FLIGHT = 256


def main(address: str, port: int, rows: int) -> None:
    """Write so many rows, each of another user."""
    cluster = build_cluster(CassandraSettings(contact_points=[address], port=port))
    session = cluster.connect()
    insert = session.prepare(insert_cql(TableMapping(), "imap"))
    insert.is_idempotent = True
    room = BoundedSemaphore(_IN_FLIGHT)
    failures = []

    def failed(error: BaseException) -> None:
        failures.append(error)
        room.release()

    now_us = time.time_ns() // 1_000
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    begun, cpu = time.monotonic(), time.process_time()
    for number in range(rows):
        room.acquire()
        future = session.execute_async(insert, (f"b{number}@example.org", now, f"192.0.2.{number % 250}", now_us))
        future.add_callbacks(lambda _: room.release(), failed)
    for _ in range(_IN_FLIGHT):
        room.acquire()
    print(time.monotonic() - begun, time.process_time() - cpu)
    cluster.shutdown()
    if failures:
        sys.exit(f"{len(failures)} rows failed: {failures[0]}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
