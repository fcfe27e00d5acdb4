"""`lastlogin doctor`: what is wrong between Kafka and the table, seen as the consumer.

command    the subcommand: what is looked at when     subject    whose settings, and whether the two files agree
kafka      what Kafka says of topics and group        cassandra  what Cassandra says of nodes and table
group      ... judged: members, offsets, lag (pure)   ring       ... judged: nodes, copies, their settings (pure)
keeping    how long things are kept (pure)            table      ... judged: options and rights (pure)
clocks     whose clock is ahead (pure)
"""
