"""The read and operator side: the command `lastlogin`.

settings    what the command is told          main      its command line
lookup      a row of the table as people read it (pure)
reader      rows from Cassandra               backlog   how far the consumer is behind
plan        topics as they are and as they should be (pure)
topics      topics in Kafka, seen and changed
kafka       the admin client, with its failures in words
"""
