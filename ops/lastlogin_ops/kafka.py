"""Kafka's admin client as the command uses it."""

from lastlogin_service.kafka_admin import admin_client, check, in_words


__all__ = ["admin_client", "check", "in_words"]
