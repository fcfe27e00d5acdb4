"""`lastlogin-producer doctor`: what is wrong on this backend, from Dovecot's configuration to Kafka.

command      the subcommand: what is looked at when      report    lines for people and machines
host         configuration, socket                       spool     its directory, disk and levels
doveconf     Dovecot's configuration, parsed             dovecot   ... and judged
mail_host    ... and where it comes from                 access    who may connect to a socket
servers      Kafka's names, ports and certificates       topics    its topics, replicas and our rights
round_trip   a login of its own                          clock     this host's clock against Kafka's
"""
