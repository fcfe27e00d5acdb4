"""The read and operator side: the command `lastlogin`.

main        the command line                  program     what each subcommand is given
show        when a mailbox was last used      topics_commands   the topics, compared and made
settings    what the command is told
lookup      a row of the table as people and programs read it (pure)
plan        topics as they are and as they should be (pure)
reader      rows from Cassandra               backlog     how far the consumer is behind
topics      topics in Kafka, seen and changed         few         a few records of a topic
"""
