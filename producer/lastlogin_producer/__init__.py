"""The producer: a dict-proxy shim on every mail backend, from Dovecot to Kafka."""
