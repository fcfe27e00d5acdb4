"""The command `lastlogin-producer`."""

from lastlogin_producer.doctor.command import DOCTOR
from lastlogin_producer.drain import DRAIN
from lastlogin_producer.preflight import check
from lastlogin_producer.resend import RESEND
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
    subcommands=[DOCTOR, DRAIN, RESEND],
)
