"""Dovecot's own map files (dict-cql, dict-sql), read into the consumer's settings."""
