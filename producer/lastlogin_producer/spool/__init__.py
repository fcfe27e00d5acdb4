"""The spool: where messages become durable before Dovecot is answered, and wait for Kafka.

spool      what the server and the publisher use     row        a message as stored, and its checksum
writer     the thread that writes, in groups         file       the SQLite file, writing side
directory  who may write there; the lock             reader     ... and reading side
faults     what can go wrong with the file
"""

from lastlogin_producer.spool.faults import SpoolFault
from lastlogin_producer.spool.row import Kind, Row
from lastlogin_producer.spool.spool import Spool


__all__ = ["Kind", "Row", "Spool", "SpoolFault"]
