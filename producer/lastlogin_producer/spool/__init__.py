"""The spool: where messages become durable before Dovecot is answered, and wait for Kafka.

spool      what the server and the publisher use     row          a message as stored, and its checksum
writer     the thread that writes, in groups         file         the SQLite file, writing side
directory  who may write there; the lock             reader       ... and reading side
layout     the tables, and older ones                steps        what is done to stored rows
delivered  what Kafka has                            kept         what of it has to go
opening    a start                                   salvage      a new file out of a damaged one
pages      rows out of a page's bytes                last_number  what was acknowledged, told beside the file
resend     kept rows wait again                      room         what it takes of its disk
faults     what can go wrong with the file          levels       what is in the file, seen from outside
refusing   the log of refused logins                     sync_stats   what storing counts
"""

from lastlogin_producer.spool.faults import NoRoom, SpoolFault
from lastlogin_producer.spool.layout import ASIDE_REASONS, AsideReason
from lastlogin_producer.spool.row import Kind, Row
from lastlogin_producer.spool.spool import BEGINNING, Spool
from lastlogin_producer.spool.sync_stats import SyncStats


__all__ = ["ASIDE_REASONS", "BEGINNING", "AsideReason", "Kind", "NoRoom", "Row", "Spool", "SpoolFault", "SyncStats"]
