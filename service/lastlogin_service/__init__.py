"""What both services and the command are made of; knows nothing of mail, logins or tables.

settings    configuration from TOML, environment and secret files, every problem at once
kafka       how to reach Kafka            cassandra   how to reach Cassandra
tls         certificates for both         command     a service's command line and its run
logs        one line per state change     signals     the first asks to stop, the second forces
entry       the first thing that runs of a command
endpoint    metrics and health over HTTP
histogram   counts for hot paths
backoff     pauses between retries        exits       exit codes, and the exception that carries one
"""
