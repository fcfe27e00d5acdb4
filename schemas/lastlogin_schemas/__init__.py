"""The contract between producer, consumer and every other reader of the topics.

event       the messages as values            schema      the Avro schemas, by version and fingerprint
codec       Avro bodies to values and back    framing     which schema a Kafka value was written with
headers     origin and checksum               address     client addresses as text and column bytes
order       the newest login wins             table       the Cassandra table and its CQL
partitioner which partition a user is in
topics      names and settings of the topics  ddl         the CQL that makes the table
errors      what can be wrong                 columns     a table that is there against the one that is wanted
"""
