"""The process that keeps messages and publishes them, beside the one that serves clients.

Python runs one thread of a process at a time: whatever reads, packs and sends to Kafka would take turns with logins.
So each has a process, and logins wait for the disk alone.

outbox    what the serving process sees     process   what runs in the other one
frames    what they say to each other       port      the other one's end of that
state     how the other one is              health    whether its spool works
"""

from lastlogin_producer.outbox.outbox import Outbox
from lastlogin_producer.outbox.state import SpoolLevels, State


__all__ = ["Outbox", "SpoolLevels", "State"]
