"""Which of two logins of one user and service is the newer.

Cassandra decides cell by cell: the higher write time wins, then the larger serialized value, compared as
unsigned bytes. Time and address are written under one write time, the login's, so ordering logins by
(time, address bytes) keeps memory and table in step on ties too, and a row never mixes two logins.
"""


def newest_wins(login_at_us: int, address: bytes) -> tuple[int, bytes]:
    """Sort key of a login: the greatest one is shown. `address` is its address as `column_bytes` gives it."""
    return login_at_us, address
