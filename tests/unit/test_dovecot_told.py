"""What a person is told of Dovecot's map files, and what must never be told."""

import pytest

from lastlogin_consumer.dovecot.imported import imported
from lastlogin_consumer.dovecot.key_patterns import READ_UNLESS_TOLD
from lastlogin_consumer.dovecot.syntax import MapError
from lastlogin_consumer.dovecot.table import PREFIX
from lastlogin_producer.rule_settings import DictSettings
from lastlogin_schemas.table import SERVICES
from lastlogin_service.columns import ColumnSettings


COLUMN = {"user": "userid", "service": "s", "ip": "last_ip", "d": "d"}
MANUAL = "shared/last-login/imap/$user/$ip"
NEW = """\
dict_map shared/last-login/imap/$user {
  table = t
  value at {
    type = string
  }
  field u {
    value = $user
  }
}
"""
LISTED = "the producers must be told of these keys: [dicts.<name>] key_patterns = "


def one(pattern: str, value: str = "at", more: str = "", **columns: str) -> str:
    """One map, whose columns are those of its variables."""
    variables = [part.removeprefix("$") for part in pattern.split("/") if part.startswith("$")]
    fields = "\n".join(f"{columns.get(each, COLUMN.get(each, each))} = ${each}" for each in variables)
    return f"map {{\npattern = {pattern}\ntable = t\nvalue_field = {value}\n{more}\nfields {{\n{fields}\n}}\n}}\n"


def told(text: str, prefix: str = PREFIX) -> list[str]:
    """All notes, with their lines."""
    return [f"{note.line}: {note.text}" for note in imported(text, prefix).notes]


def keys(*patterns: str, prefix: str = PREFIX) -> list[str]:
    """The notes about keys."""
    found = told("".join(one(each) for each in patterns), prefix)
    return [each for each in found if "key_patterns" in each or "read no keys" in each]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (
            one("shared/last-login/imap/$user"),
            " of imap, so none will be kept; remove the line address (and the line services, for webmail), and ",
        ),
        (
            one("shared/last-login/webmail/$user") + one(MANUAL, "b"),
            " of webmail, so none will be kept; remove the line address, and ",
        ),
        (
            one("shared/last-login/$service/$user"),
            ", so none will be kept; name a column in columns.address, and ",
        ),
    ],
)
def test_addresses_that_will_not_be_kept(text: str, note: str) -> None:
    """Who imports a map without addresses is told, and what brings them."""
    [found] = [each for each in told(text) if "no map has addresses" in each]

    assert found.startswith(f"0: no map has addresses{note}`lastlogin schema plan` adds ")


def test_addresses_of_all_are_kept() -> None:
    """Nothing of this is told then; and what the note promises is so: without both lines there are all columns."""
    found = imported(one("shared/last-login/imap/$user", "last_login_imap"), PREFIX).columns
    mapping = ColumnSettings.model_validate(found | {"address": "remote_ip_{service}", "services": list(SERVICES)})

    assert not [each for each in told(one(MANUAL)) if "will be kept" in each]
    assert {"address", "services"} <= found.keys()
    assert "remote_ip_{service}" == ColumnSettings().address
    assert {"last_login_webmail", "remote_ip_webmail"} <= {name for name, _ in mapping.mapping("k", "t").columns()}


@pytest.mark.parametrize(
    "connect",
    [
        "connect = host=a password='x S3cret'\n",
        "connect = host=a password='x S3cret=y'\n",
        "connect = host=a \\\n  password=x S3cret= num_threads=4\n",
        "connect = host=a password=\nS3cret==\n",
        "connect = host=a password=x\nS3cret\n",
        "connect = host=a password=x\nS3cret=y z\n",
        "connect = host=a passwort=S3cret\n",
        "S3cret = x\n",
    ],
)
def test_no_piece_of_a_password(connect: str) -> None:
    """Whatever way a password is written or broken, no message has a piece of it."""
    try:
        messages = told(connect + one(MANUAL))
    except MapError as error:
        messages = [str(error)]

    assert messages
    assert "S3cret" not in "\n".join(messages)


def test_which_word_of_connect() -> None:
    """A word that cannot be taken is named by its line and place."""
    with pytest.raises(MapError) as caught:
        imported("\nconnect = host=a password='x y'\n" + one(MANUAL), PREFIX)

    assert "line 2: word 3 of connect is no name=value; a value has no spaces, in quotes neither" == str(caught.value)
    assert "1: word 2 of connect has no counterpart" in told("connect = host=a secret=x\n" + one(MANUAL))


def test_defaults_of_the_producers() -> None:
    """What the producers read unless told is what they say themselves."""
    assert list(READ_UNLESS_TOLD) == DictSettings().key_patterns


@pytest.mark.parametrize("pattern", [MANUAL, "shared/last-login/$service/$user", "shared/last-login/lmtp/$user/access"])
def test_keys_that_are_read_anyway(pattern: str) -> None:
    """Nothing is told of keys that the producers' defaults fit."""
    assert [] == keys(pattern)


@pytest.mark.parametrize(
    ("patterns", "needed"),
    [
        (["$user/$service/$remote_ip"], ["last-login/$user/$service/$ip"]),
        (["$user/$r"], ["last-login/$user/$ip"]),
        (["$service/$user/$d"], ["last-login/$service/$user/$domain"]),
        (
            ["imap/$user", "pop3/$user", "lmtp/$user/$d", "imap/$user/$ip"],
            ["last-login/$service/$user/$ip", "last-login/$service/$user", "last-login/$service/$user/$domain"],
        ),
    ],
)
def test_keys_that_the_producers_must_be_told(patterns: list[str], needed: list[str]) -> None:
    """The line for the producers is told, has all keys of the maps, and is one that they take."""
    [note] = keys(*[PREFIX + each for each in patterns])

    listed = ", ".join(f'"{each}"' for each in needed)
    assert f"0: {LISTED}[{listed}]" == note
    assert [] == list(DictSettings(key_patterns=needed, default_service="imap").problems())


def test_keys_below_another_prefix() -> None:
    """They are told, too; below priv/ the producers read none."""
    assert [f'0: {LISTED}["seen/$service/$user/$ip"]'] == keys("shared/seen/imap/$user/$ip", prefix="shared/seen/")
    [note] = keys("priv/seen/imap/$user", prefix="priv/seen/")
    assert "2: the producers read no keys of priv/seen/$service/$user: only those that begin with shared/" == note


@pytest.mark.parametrize("pattern", ["$ip/$user/$service", "$user/$service/$session", "$user/$service/$d/$domain"])
def test_keys_that_no_pattern_can_be(pattern: str) -> None:
    """An address before the end, or another variable: the line of the map is told, with what patterns may have."""
    [note] = keys(PREFIX + pattern)

    assert note.startswith("2: no key_patterns of the producers can be shared/last-login/$")


def test_times_that_are_strings() -> None:
    """That Dovecot may have stored nulls is told once, with the first line that makes times strings."""
    text = one(MANUAL, more="value_type = uint") + one(PREFIX + "pop3/$user", "b", more="value_type = string") * 2

    [note] = [each for each in told(text) if "null" in each]
    assert note.startswith("15: the time is a string here: Dovecot stored a null for each time if the column is a ")
    assert "4: the time is a string here" in "\n".join(told(NEW))
    assert "null" not in "\n".join(told(NEW.replace("= string", "= uint").replace("= $user", "= $user\ntype = string")))


def test_the_type_of_a_shared_address_column() -> None:
    """Whether addresses are inet or text is to be said also where two services have one column."""
    text = one(MANUAL, ip="ip") + one(MANUAL.replace("imap", "pop3"), "b", ip="ip")

    assert "inet or text" in "\n".join(told(text))
    assert "inet or text" not in "\n".join(told(one("shared/last-login/imap/$user")))


def test_a_label_is_no_host() -> None:
    """The name of a block of Cassandra's settings is a label; hosts has the nodes."""
    assert ["c1"] == imported("cassandra site {\nhosts = c1\n}\n" + NEW, PREFIX).cassandra["contact_points"]


@pytest.mark.parametrize(
    ("text", "line", "end"),
    [
        ("protocols = imap\ndict {\na = redis:x\nb = cassandra:/etc/c.ext\n}\n", 4, " names: /etc/c.ext"),
        ("\nprotocols = imap\nplugin {\nx = y\n}\n", 2, " names"),
    ],
)
def test_the_main_configuration(text: str, line: int, end: str) -> None:
    """Who gives it is told which file to give."""
    with pytest.raises(MapError) as caught:
        imported(text, PREFIX)

    why = "no map file, has neither map nor connect; give the file that Dovecot's dict { ... = cassandra:FILE }"
    assert (line, why + end) == (caught.value.line, caught.value.reason)
