"""The consumer: from Kafka to Cassandra, newest login per user and service."""
