"""The command `lastlogin-producer`."""

from lastlogin_producer.preflight import check
from lastlogin_producer.service import NAME, run
from lastlogin_producer.settings import ProducerSettings
from lastlogin_service.command import service_command


main = service_command(
    NAME,
    ProducerSettings,
    run,
    summary="Takes Dovecot's logins on and streams them to Kafka.",
    check=lambda settings: check(settings, NAME),
    on_hangup="read [dicts], [[rules]], [users] and log.level again",
)
