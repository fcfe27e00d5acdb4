"""What both services are made of: settings, logs, signals, Kafka and Cassandra client options."""
