"""Dovecot's own map files as settings of the consumer."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from lastlogin_consumer.dovecot.imported import Imported, imported
from lastlogin_consumer.dovecot.syntax import MapError, Note, parse
from lastlogin_consumer.dovecot.table import PREFIX
from lastlogin_consumer.main import main
from lastlogin_consumer.settings import ConsumerSettings
from lastlogin_schemas.table import ServiceColumns, TableMapping
from lastlogin_service.settings import load
from lastlogin_stack.layout import PROJECT_ROOT


FILES = PROJECT_ROOT / "tests" / "data" / "dovecot"
MAP = """\
map {
  pattern = shared/last-login/imap/$user/$r
  table = t
  value_field = last_login_imap
  fields {
    user = $user
    remote_ip_imap = $r
  }
}
"""
NEW = """\
dict_map shared/last-login/imap/$user {
  sql_table = t
  value_field at {
  }
  key_field user {
    value = $user
  }
}
"""


def read(text: str) -> Imported:
    """What a file gives."""
    return imported(text, PREFIX)


def said(text: str) -> list[str]:
    """Its notes, with their lines, without what is always said."""
    return [f"{note.line}: {note.text}" for note in read(text).notes if note.line]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit code, output, what was told."""
    ended = CliRunner().invoke(main, ["import-dovecot", *map(str, arguments)])
    return ended.exit_code, ended.stdout, ended.stderr


def settings(file: Path, tmp_path: Path) -> ConsumerSettings:
    """The settings that a consumer has of what is printed."""
    code, out, _ = run(file)
    printed = tmp_path / "consumer.toml"
    printed.write_text(out)
    printed.chmod(0o600)
    assert 0 == code
    return load(ConsumerSettings, printed, {})


def columns(time: str, address: str | None, *services: str) -> dict[str, ServiceColumns]:
    """Columns named alike."""
    return {
        service: ServiceColumns(time.format(service), address.format(service) if address is not None else None)
        for service in services
    }


def test_the_manuals_files(tmp_path: Path) -> None:
    """Both examples give the table that the manual makes, and the nodes."""
    plain = settings(FILES / "manual.conf.ext", tmp_path)
    addresses = settings(FILES / "manual-addresses.conf.ext", tmp_path)
    services = ("imap", "pop3", "lmtp")

    assert TableMapping(services=columns("last_login_{}", None, *services)) == plain.table
    assert TableMapping(services=columns("last_login_{}", "remote_ip_{}", *services)) == addresses.table
    assert ["192.0.2.1", "192.0.2.2"] == plain.cassandra.contact_points == addresses.cassandra.contact_points


def test_the_files_of_later_documentation(tmp_path: Path) -> None:
    """Columns in the table of users, and one row per user and service; the login goes with them."""
    users = settings(FILES / "users-2.4.conf", tmp_path)
    last_login = settings(FILES / "last_login-2.4.conf", tmp_path)

    found = columns("last_{}_access", "last_{}_ip", "imap") | {"lmtp": ServiceColumns("last_delivery", "last_lmtp_ip")}
    assert TableMapping("mails", "users", "userid", found) == users.table
    assert ["cassandra1.example.com", "cassandra2.example.com"] == users.cassandra.contact_points
    assert users.cassandra.password is not None
    assert ("dovecot", "pa#ss") == (users.cassandra.username, users.cassandra.password.get_secret_value())
    services = columns("last_access", "last_ip", "imap", "pop3", "webmail", "lmtp")
    assert TableMapping("mails", "last_login", "userid", services, "service") == last_login.table


def test_what_is_told() -> None:
    """Standard error has each thing that is not carried over, with file and line; standard output is TOML alone."""
    code, out, err = run(FILES / "users-2.4.conf")

    assert 0 == code
    assert {"kafka", "cassandra", "columns"} == tomllib.loads(out).keys()
    password, address_type = err.splitlines()
    assert password.startswith(f"{FILES}/users-2.4.conf: the password is in the output")
    assert address_type.startswith(f"{FILES}/users-2.4.conf: the file does not tell whether addresses are inet or text")


@pytest.mark.parametrize(
    ("content", "code", "message"),
    [
        (None, 66, "cannot be read: No such file or directory"),
        (b"map {\n\xff}\n", 65, ":2: is not UTF-8"),
        (b"map {\n", 65, ":1: the block map has no end"),
        (b"# \n" * 400_000, 65, "is larger than 1048576 bytes: not a map file"),
        (b"", 65, ": no map of shared/last-login/ has the time of a login; --prefix names other keys"),
    ],
)
def test_files_that_cannot_be_taken_on(content: bytes | None, code: int, message: str, tmp_path: Path) -> None:
    """Each ends with its code and a line that names file, line and reason; nothing is printed."""
    file = tmp_path / "maps"
    if content is not None:
        file.write_bytes(content)
    ended, out, err = run(file)

    assert (code, "") == (ended, out)
    assert err.startswith(f"lastlogin-consumer import-dovecot: {file}:")
    assert message in err


def test_files_of_certificates_that_are_not_here(tmp_path: Path) -> None:
    """What only the consumer's host has is told, and does not keep the rest from being printed."""
    file = tmp_path / "maps"
    file.write_text("connect = host=a ssl_ca=/nowhere/ca.pem dbname=k\n" + MAP)
    code, out, err = run(file)

    assert 0 == code
    assert {"contact_points": ["a"], "ca_file": "/nowhere/ca.pem", "keyspace": "k", "tls": True, "table": "t"} == (
        tomllib.loads(out)["cassandra"]
    )
    assert f"{file}: cassandra.ca_file: must be a file that this user can read" in err.splitlines()


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("}\n", 1, "} without a block"),
        ("\nmap\n", 2, "is no setting (name = value), block (name {) or its end (})"),
        ("a = b\\\n", 1, "the last line is to be continued"),
        ("hosts = a\n" + MAP, 1, "unknown setting; outside of maps there is only connect"),
        ("!include other\n" + MAP, 1, "unknown setting; outside of maps there is only connect"),
        ("dict {\n}\n" + MAP, 1, "unknown block dict; there are only map"),
        ("connect = host\n" + MAP, 1, "word 1 of connect is no name=value"),
        ("connect = host=a;b\n" + MAP, 1, "a;b is no host name or address"),
        ("connect = host=\n" + MAP, 1, "an empty text is no host name or address"),
        ("connect = port=0\n" + MAP, 1, "port is 0, must be 1 to 65535"),
        (MAP.replace("table = t", "tables = t"), 3, "unknown setting tables; a map has pattern, table, "),
        (MAP.replace("fields {", "field {"), 5, "unknown block field; a map has only fields"),
        (MAP.replace("table = t", "#"), 1, "the map has no table"),
        (MAP.replace("table = t", "table ="), 3, "the map has no table"),
        (
            MAP.replace("table = t", "table = x; DROP"),
            3,
            "x; DROP is no name of up to 48 letters, digits and underscores",
        ),
        (MAP.replace("user = $user", 'a"b = $user'), 6, 'a"b is no name of up to 48 letters, digits and underscores'),
        (MAP.replace("value_field = last_login_imap", "value_field = ,b"), 4, "an empty text is no name of "),
        (MAP.replace("user = $user", "user = %u"), 6, "the column user is %u, must be a variable such as $user"),
        (MAP.replace("user = $user", "#"), 2, "no column is $user, which is in the pattern"),
        (MAP.replace("imap/$user/$r", "imap/$user"), 7, "$r is not in the pattern shared/last-login/imap/$user"),
        (
            MAP.replace("$user", "$who"),
            2,
            "nothing in the pattern shared/last-login/imap/$who/$r is the user; call it $user",
        ),
        (MAP + MAP.replace("table = t", "table = u"), 12, "table is u, and t in line 3; one consumer writes one table"),
        (
            MAP + MAP.replace("user = $user", "u = $user"),
            15,
            "user is u, and user in line 6; one consumer writes one table",
        ),
        (
            MAP.replace("value_field = last_login_imap", "value_field = user"),
            4,
            "the column user is the user in line 6; must be another one for the time of imap",
        ),
        (
            MAP + MAP.replace("imap/", "$s/").replace("user = $user", "user = $user\n s = $s"),
            11,
            "some maps have a column for the service and others have none; must be alike",
        ),
        (
            MAP.replace("imap", "pop3") + MAP.replace("$user/$r", "$user/ip").replace("remote_ip_imap = $r", ""),
            13,
            "no map has the time of the service imap",
        ),
        (
            MAP.replace("$user/$r", "$user/note").replace("remote_ip_imap = $r", ""),
            0,
            "no map of shared/last-login/ has",
        ),
        (NEW.replace("value_field at {\n  }", ""), 1, "the map has no value_field"),
        (NEW.replace("value = $user", ""), 5, "key_field user has no value"),
        (NEW.replace("key_field", "keyfield"), 5, "unknown block keyfield; a dict_map has value_field and key_field"),
        (
            f"dict a {{\n{NEW}}}\ndict b {{\n{NEW}}}\n",
            11,
            "this dict has maps of shared/last-login/, and so has that of line 1; keep one",
        ),
    ],
)
def test_errors(text: str, line: int, reason: str) -> None:
    """Each names the line and what is wrong with it."""
    with pytest.raises(MapError) as caught:
        read(text)

    assert line == caught.value.line
    assert caught.value.reason.startswith(reason)


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (MAP, []),
        ("connect = host=a connect_timeout=5\n" + MAP, ["1: connect_timeout has no counterpart"]),
        ("connect = host=a write_consistency=serial\n" + MAP, ["1: write_consistency has no counterpart"]),
        (
            "connect = host=a ssl_verify=none\n" + MAP,
            ["1: ssl_verify has no counterpart: certificates and their names are always checked"],
        ),
        (
            "connect = host=a version=3\n" + MAP,
            ["1: version has no counterpart: cassandra.protocol_version is 5 unless set to 4"],
        ),
        ("connect = host=a ssl_verify=cert-dns port=9043\n" + MAP, []),
        (
            MAP.replace("table = t", "table = t\n expire_field = e\n username_field = u\n value_hexblob = yes"),
            [
                "4: expire_field has no counterpart",
                "5: username_field has no counterpart",
                "6: value_hexblob has no counterpart",
            ],
        ),
        (
            MAP.replace("table = t", "table = t\n value_type = hexblob"),
            ["4: value_type = hexblob: the consumer's columns are timestamp, text and inet"],
        ),
        (
            MAP.replace("= last_login_imap", "= last_login_imap, x"),
            ["4: the column x has no counterpart: only the first value is a time"],
        ),
        (
            MAP.replace("= $r", "= ${hexblob:r}"),
            ["7: ${hexblob:r}: the consumer's columns are timestamp, text and inet"],
        ),
        (
            MAP.replace("/$r", "/$d").replace("remote_ip_imap = $r", "d = ${d}"),
            ["7: the column d is $d, which is not written"],
        ),
        (
            MAP.replace("imap/$user/$r", "$user/$r"),
            ['2: the key has no service: set default_service = "imap" in [dicts.<name>] of the producers'],
        ),
        (
            MAP + MAP.replace("last_login_imap", "second"),
            ["13: the column second is not written: line 4 goes before"],
        ),
        (
            MAP.replace("shared/last-login", "priv/x") + MAP,
            ["2: priv/x/imap/$user/$r does not begin with shared/last-login/: left out"],
        ),
        (
            MAP.replace("login/imap", "login/a/b") + MAP,
            ["2: the key shared/last-login/a/b/$user/$r has no counterpart: left out"],
        ),
        ("!include_try x\n" + NEW, ["1: !include_try x is not followed"]),
        ("sql_driver = mysql\n" + NEW, ["1: the database is mysql: set cassandra.contact_points to another"]),
    ],
)
def test_what_is_not_carried_over(text: str, notes: list[str]) -> None:
    """Each is told with its line."""
    assert notes == said(text)


@pytest.mark.parametrize(
    ("text", "cassandra", "found"),
    [
        (
            "connect = host=a host=b \\\n  dbname=k write_consistency=local-one # two lines\n" + MAP,
            {"contact_points": ["a", "b"], "keyspace": "k", "consistency": "LOCAL_ONE", "table": "t"},
            {"user": "user", "time": "last_login_{service}", "address": "remote_ip_{service}", "services": ["imap"]},
        ),
        (
            MAP.replace("table = t", 'table = "k.\\"Big\\"" ').replace("user = $user", "USER = $user"),
            {"keyspace": "k", "table": "Big"},
            {"user": "user", "time": "last_login_{service}", "address": "remote_ip_{service}", "services": ["imap"]},
        ),
        (
            MAP.replace("last_login_imap", "seen")
            + MAP.replace("imap", "pop3").replace("/$r", "").replace("remote_ip_pop3 = $r", ""),
            {"table": "t"},
            {
                "user": "user",
                "times": {"imap": "seen", "pop3": "last_login_pop3"},
                "address": "",
                "services": ["imap", "pop3"],
                "addresses": {"imap": "remote_ip_imap"},
            },
        ),
        (
            # Of 2.4.5: the address under a key of its own.
            NEW.replace("$user {", "$user/access {")
            + NEW.replace("$user {", "$user/ip {").replace("at {", "ip_of_imap {"),
            {"table": "t"},
            {"user": "user", "times": {"imap": "at"}, "address": "ip_of_{service}", "services": ["imap"]},
        ),
        (
            "cassandra_hosts = c1,c2\nmysql host1 {\n mysql_dbname = d\n}\n"
            + NEW.replace("sql_table", "dict_map_sql_table")
            .replace("imap/$user", "$service/$user")
            .replace("key_field user", "key_field service {\n value = $service\n}\nkey_field user")
            .replace("value_field at {\n", "value_field at {\n dict_map_value_field_type = uint\n"),
            {"contact_points": ["c1", "c2", "host1"], "keyspace": "d", "table": "t"},
            {"user": "user", "service": "service", "time": "at", "address": ""},
        ),
    ],
)
def test_ways_to_write_it(text: str, cassandra: dict[str, Any], found: dict[str, Any]) -> None:
    """Continued lines, quotes, capitals, columns of any name, long and short names of settings."""
    assert (cassandra, found) == (read(text).cassandra, read(text).columns)


POP3 = MAP.replace("imap/", "pop3/")


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            POP3,
            "13: the column last_login_imap is the time of imap in line 4: the time of pop3 must have one of its own",
        ),
        (POP3.replace("_imap =", "_pop3 ="), "; a rule of the producers can make both one service"),
        (
            POP3.replace("= last_login_imap", "= last_login_pop3"),
            "16: the column remote_ip_imap is the address of imap ",
        ),
        (
            POP3.replace("= last_login_imap", "= remote_ip_imap"),
            "13: the column remote_ip_imap is the address of imap ",
        ),
    ],
)
def test_services_that_share_a_column(second: str, told: str, tmp_path: Path) -> None:
    """The first one keeps it, the other one is told of, and the consumer takes what is printed."""
    file = tmp_path / "maps"
    file.write_text(MAP + second + "connect = host=a dbname=k\n")

    assert told in "\n".join(said(MAP + second))
    pop3 = {"pop3": ServiceColumns("last_login_pop3", None)} if "= last_login_pop3" in second else {}
    assert columns("last_login_{}", "remote_ip_{}", "imap") | pop3 == settings(file, tmp_path).table.services


def test_other_keys() -> None:
    """Keys may begin with something else."""
    assert [Note(0, "no host is given: set cassandra.contact_points")] == [
        note for note in imported(MAP.replace("last-login", "seen"), "shared/seen/").notes if "host" in note.text
    ]


def test_comments_and_quotes() -> None:
    """A # within quotes is none of a comment."""
    root = parse('a = "b # \\"c" # d\nb = \'e#f\'#g\n# {\n  \nc = "open # not closed\n')

    assert ['b # "c', "e#f", '"open # not closed'] == [each.value for each in root.settings]


@given(st.lists(st.sampled_from([*MAP.splitlines(), *NEW.splitlines(), "connect = host=a", "x", "}", ""]), max_size=40))
def test_any_order_of_lines(lines: list[str]) -> None:
    """Whatever stands in a file, it is taken on or refused with a line."""
    line = 0
    try:
        read("\n".join(lines))
    except MapError as error:
        line = error.line
    assert 0 <= line <= len(lines)


@given(st.text(max_size=200))
def test_any_text(text: str) -> None:
    """So is any text."""
    with pytest.raises(MapError):
        read(text)
