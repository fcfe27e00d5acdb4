"""`lastlogin-producer doctor`: what is wrong on this backend, from Dovecot's configuration to Kafka.

command    the subcommand: what is looked at when      access     who may connect to a socket
host       configuration, socket                       spool      its directory, disk and levels
doveconf   Dovecot's configuration, parsed             dovecot    ... and judged
mail_host  ... and where it comes from                 topics     Kafka's topics, replicas and our rights
round_trip a login of its own                          clock      this host's clock against Kafka's

The report, and what is looked at of Kafka's servers, are in `lastlogin_service.doctor`.
"""
