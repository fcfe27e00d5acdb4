"""Real Kafka, Cassandra and Dovecot without Docker, for the demo and the tests."""
