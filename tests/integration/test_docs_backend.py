"""docs/backend.md: its blocks, Dovecot's read by Dovecot's own doveconf (2.3), the producer's by the producer."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from lastlogin_docs.pages import DOCS
from lastlogin_producer.rules import LoginRules, Treatment
from lastlogin_producer.settings import ProducerSettings
from lastlogin_schemas.table import TableMapping


PAGE = (DOCS / "backend.md").read_text(encoding="utf-8")
# What any Dovecot has beside it.
BASE = "ssl = no\nmail_location = maildir:/var/mail/%u\nprotocols = imap pop3 lmtp\n"


def blocks(version: str) -> list[str]:
    """The blocks of the page for that version of Dovecot."""
    return blocks_in(f"conf {version}")


def blocks_in(language: str) -> list[str]:
    """The blocks of the page in that language."""
    return re.findall(rf"^```{re.escape(language)}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def producer_settings(*parts: str) -> ProducerSettings:
    """The settings that parts of a producer.toml make together, but for the host's own files and any broker."""
    settings = tomllib.loads("".join(parts))
    kafka = {"bootstrap_servers": ["kafka1.example.org:9092"]} | settings.get("kafka", {})
    kafka.pop("sasl_password_file", None)
    if "sasl_username" in kafka:
        kafka["sasl_password"] = "secret"
    return ProducerSettings.model_validate(settings | {"kafka": kafka})


def doveconf(text: str, directory: Path, *arguments: str) -> str:
    """What doveconf says of a configuration. Raises CalledProcessError when it refuses it."""
    file = directory / "dovecot.conf"
    file.write_text(BASE + text, encoding="utf-8")
    command = ["doveconf", "-P", "-c", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.parametrize("block", blocks("2.3"))
def test_each_block_is_read(block: str, tmp_path: Path) -> None:
    """Each block alone, as some take only this one, is accepted by Dovecot 2.3 and sets something."""
    assert doveconf(block, tmp_path, "-n") != doveconf("", tmp_path, "-n")


def test_what_dovecot_makes_of_them(tmp_path: Path) -> None:
    """All together load the plugin in imap, pop3 and lmtp only, with the keys that the page says they have."""
    whole = "".join(blocks("2.3"))

    def value(setting: str, **where: str) -> str:
        filters = [argument for name, text in where.items() for argument in ("-f", f"{name}={text}")]
        return doveconf(whole, tmp_path, *filters, "-h", setting)

    assert ["last_login"] * 3 == [value("mail_plugins", protocol=each) for each in ("imap", "pop3", "lmtp")]
    assert ["", ""] == [value("mail_plugins"), value("mail_plugins", protocol="doveadm")]
    assert "proxy:/run/lastlogin/dict.sock:statsdb" == value("plugin/last_login_dict")
    assert "ms" == value("plugin/last_login_precision")
    key, webmail = "last-login/%s/%u/%r", "last-login/webmail/%u/%r"
    assert key == value("plugin/last_login_key", protocol="imap", remote="198.51.100.1")
    assert webmail == value("plugin/last_login_key", protocol="imap", remote="192.0.2.7")
    assert webmail == value("plugin/last_login_key", protocol="imap", local="192.0.2.10")
    assert "" == value("plugin/last_login_dict", protocol="imap", remote="192.0.2.60")
    assert "192.0.2.40/31 2001:db8:2::/64" == value("login_trusted_networks")


def test_plugin_in_the_way(tmp_path: Path) -> None:
    """A later protocol block without $mail_plugins takes the plugin away, as the page warns."""
    later = "".join(blocks("2.3")) + "protocol imap {\n  mail_plugins = quota\n}\n"

    assert "quota" == doveconf(later, tmp_path, "-f", "protocol=imap", "-h", "mail_plugins")


def test_blocks_of_2_4() -> None:
    """They cannot be run here: their braces match, and nothing of 2.3's syntax is in them."""
    assert blocks("2.4")
    for block in blocks("2.4"):
        depth = 0
        for character in block:
            depth += (character == "{") - (character == "}")
            assert depth >= 0
        assert depth == 0
        assert not re.search(r"plugin \{|\$mail_plugins|%[a-z]\b", block)


def test_blocks_of_the_producer() -> None:
    """Each is accepted, alone and all in one file; a rule names only services that the table has columns for."""
    parts = blocks_in("toml")
    for part in parts:
        producer_settings(part)

    rules = producer_settings(*parts).rules
    assert ["webmail", None] == [rule.service for rule in rules]
    assert {rule.service for rule in rules if rule.service is not None} <= set(TableMapping().services)


def test_a_general_rule_after_those_of_the_page() -> None:
    """Below the page's rules one that cuts all addresses brings neither webmail's nor lmtp's back."""
    rules = producer_settings(*blocks_in("toml"), '[[rules]]\naddress = "truncate"\n').rules
    treat = LoginRules(rules, None).treat

    assert Treatment("webmail", None) == treat("imap", "192.0.2.7")
    assert Treatment("lmtp", None) == treat("lmtp", "198.51.100.1")
    assert Treatment("imap", "198.51.100.0") == treat("imap", "198.51.100.1")


def test_every_block_has_a_known_language() -> None:
    """No block escapes its test by a slip in its first line."""
    languages = set(re.findall(r"^```(.+)$", PAGE, re.MULTILINE))

    assert languages == {"conf 2.3", "conf 2.4", "toml", "sh"}
