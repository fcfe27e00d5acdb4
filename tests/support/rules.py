"""Rules for tests that only need some."""

from collections.abc import Sequence

from lastlogin_producer.events import EventRules
from lastlogin_producer.rule_settings import DictSettings, RuleSettings, UserSettings
from lastlogin_producer.settings import ProducerSettings


BACKEND = "mail1"


def settings_with(**sections: object) -> ProducerSettings:
    """Settings of a producer, given sections in force."""
    return ProducerSettings.model_validate({"kafka": {"bootstrap_servers": ["127.0.0.1:9"]}} | sections)


def event_rules(
    *patterns: str,
    rules: Sequence[RuleSettings] = (),
    users: UserSettings | None = None,
    **dict_settings: object,
) -> EventRules:
    """Rules of one dict `statsdb`; its own defaults, unless patterns or other settings of it are given."""
    section = DictSettings.model_validate(({"key_patterns": patterns} if patterns else {}) | dict_settings)
    return EventRules.of(
        settings_with(dicts={"statsdb": section}, rules=list(rules), users=users or UserSettings()), BACKEND
    )
