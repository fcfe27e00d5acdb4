"""The example files of `deploy/`: every setting, explained, with its true default."""

import getpass
import grp
import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from lastlogin_docs import examples
from lastlogin_docs.configuration import PROGRAMS, Program, default_of, field_at, is_computed
from lastlogin_service.settings import load
from lastlogin_service.shape import ANY, bare, field_type, keys, section_of, type_at
from tests.support.certificates import make_certificate


# What an example value needs beside it to be allowed.
ENCRYPTED = {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "CASSANDRA__TLS": "true"}
BY_SERVICE = {"COLUMNS__TIME": "last_login", "COLUMNS__ADDRESS": "last_ip"}

every_program = pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)


def text(program: Program) -> str:
    """The example file."""
    return program.example.read_text(encoding="utf-8")


def _key(program: Program, location: tuple[str, ...]) -> tuple[str, ...]:
    """The location as `keys` gives it, of one of several sections too."""
    several = section_of(type_at(program.settings, location[:1])) is not bare(type_at(program.settings, location[:1]))
    return (location[0], ANY, *location[2:]) if several and len(location) > 2 else location


@every_program
def test_every_setting_and_nothing_else(program: Program) -> None:
    """The file shows every key of the settings class once, and no other."""
    shown = [_key(program, shown.location) for shown in program.shown() if shown.value is not None]

    assert sorted(keys(program.settings)) == sorted(shown)


@every_program
def test_every_setting_and_section_is_explained(program: Program) -> None:
    """Right above each setting and section stands what it means."""
    assert [] == [shown.location for shown in program.shown() if not shown.explanation]


@every_program
def test_shown_values(program: Program) -> None:
    """What is commented out is the default; where there is none, the explanation says so and the value would do."""
    for shown in program.shown():
        if shown.value is None:
            continue
        field = field_at(program.settings, shown.location)
        fits = TypeAdapter(field_type(field)).validate_python(shown.value)
        assert shown.commented is not field.is_required(), shown.location
        if field.is_required() or is_computed(field):
            continue
        assert (default_of(field) is None) is shown.explanation.startswith("Not set: "), shown.location
        assert default_of(field) in (None, fits), shown.location


@every_program
def test_the_example_loads(program: Program) -> None:
    """The file is good as it is delivered, and changes nothing but the servers."""
    delivered = load(program.settings, program.example, {})
    required = {
        name: getattr(delivered, name)
        for name in {shown.location[0] for shown in program.shown() if shown.value is not None and not shown.commented}
    }

    assert program.settings(**required) == delivered


@every_program
def test_everything_in_force_loads(program: Program, tmp_path: Path) -> None:
    """With every comment sign taken away the file is accepted, with encryption, its files, and a row per service."""
    certificate = make_certificate(tmp_path)
    secret = tmp_path / "secret"
    secret.write_text("secret\n")
    secret.chmod(0o600)
    content = examples.uncommented(text(program), without=frozenset({"password", "sasl_password"}))
    for name, path in (
        ("ca.pem", certificate.file),
        ("client.pem", certificate.file),
        ("client.key", certificate.key_file),
        ("kafka.password", secret),
        ("cassandra.password", secret),
    ):
        content = content.replace(f"/etc/lastlogin/{name}", str(path))
    file = tmp_path / program.example.name
    file.write_text(content, encoding="utf-8")
    known = {"_".join(key) for key in keys(program.settings)}
    environ = {"SOCKET__OWNER": getpass.getuser(), "SOCKET__GROUP": grp.getgrgid(os.getgid()).gr_name}
    environ |= ENCRYPTED | BY_SERVICE
    variables = {
        program.prefix + name: value for name, value in environ.items() if name.replace("__", "_").lower() in known
    }

    load(program.settings, file, variables)


def test_what_is_no_setting_is_refused() -> None:
    """A line in another form, which would silently be missing in the documentation, is named."""
    with pytest.raises(ValueError, match="line 2 is no comment"):
        list(examples.read("# text\n#key: value\n"))


def test_a_wrong_value_does_not_pass_for_an_example() -> None:
    """The type of a shown value is really looked at."""
    field = field_at(PROGRAMS[0].settings, ("socket", "mode"))

    with pytest.raises(ValidationError):
        TypeAdapter(field_type(field)).validate_python("rw")
