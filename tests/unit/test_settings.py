"""Settings: three sources, every problem at once, in words."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import Section, Settings, load, render, warnings


class Store(Section):
    """A section with a value of each kind."""

    nodes: list[str] = Field(min_length=1)
    port: int = Field(default=9042, ge=1, le=65_535)
    ratio: float = Field(default=0.5, gt=0, lt=1)
    tls: bool = False
    ca: Path | None = None
    password: SecretStr | None = None
    password_file: Path | None = None

    def problems(self) -> Iterator[tuple[str, str]]:
        """Two rules over several keys."""
        if self.ca is not None and not self.tls:
            yield "ca", "must not be given, because tls is false"
        if self.tls and self.port == 9042:
            yield "port", "must not be the one without TLS"


class Rule(Section):
    """An entry of a list of tables."""

    networks: list[str]
    service: str = "webmail"
    token: SecretStr | None = None
    token_file: Path | None = None


class Program(Settings):
    """A program's settings."""

    model_config = SettingsConfigDict(env_prefix="PROGRAM_")
    foreign_env_prefixes: ClassVar[tuple[str, ...]] = ("PROGRAM_OTHER_",)

    store: Store
    names: dict[str, int] = Field(default_factory=dict)
    rules: list[Rule] = Field(default_factory=list)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Path of the configuration file."""
    return tmp_path / "program.toml"


def problems(file: Path | None, environ: Mapping[str, str] | None = None) -> list[str]:
    """Lines that `load` refuses with, the file's directory cut off."""
    with pytest.raises(Exit) as caught:
        load(Program, file, environ or {})
    assert caught.value.code == CONFIG
    lines = caught.value.message.splitlines()
    return lines if file is None else [line.replace(f"{file.parent}/", "") for line in lines]


def problems_of(file: Path, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    """Lines that a file with this text is refused with."""
    file.write_text(text)
    return problems(file, environ)


def test_file_then_environment(file: Path) -> None:
    """The environment goes before the file, the file before the defaults, key by key."""
    file.write_text('[store]\nnodes = ["a"]\nport = 1\nratio = 0.25\n')

    settings = load(Program, file, {"PROGRAM_STORE__PORT": "2"})

    assert settings.store == Store(nodes=["a"], port=2, ratio=0.25)


def test_environment_alone() -> None:
    """Without a file the environment is enough, in whatever case."""
    settings = load(Program, None, {"program_store__nodes".upper(): "a", "PROGRAM_STORE__tls": "no"})

    assert settings.store == Store(nodes=["a"])


@pytest.mark.parametrize("value", ["a,b", " a , b ,", '["a", "b"]'])
def test_lists_in_the_environment(value: str) -> None:
    """A list is comma separated or JSON."""
    assert load(Program, None, {"PROGRAM_STORE__NODES": value}).store.nodes == ["a", "b"]


def test_tables_in_the_environment(file: Path) -> None:
    """A whole table or list of tables may come as JSON, single entries of a table by their names."""
    environ = {
        "PROGRAM_STORE": '{"nodes": ["a"], "port": 7}',
        "PROGRAM_RULES": '[{"networks": ["192.0.2.0/24"]}]',
        "PROGRAM_NAMES__X": "1",
    }

    settings = load(Program, None, environ)

    assert settings == Program(
        store=Store(nodes=["a"], port=7), rules=[Rule(networks=["192.0.2.0/24"])], names={"x": 1}
    )


def test_empty_variable_is_not_set(file: Path) -> None:
    """An empty variable, as container files leave behind, changes nothing."""
    file.write_text('[store]\nnodes = ["a"]\n')

    assert load(Program, file, {"PROGRAM_STORE__PORT": "", "PROGRAM_TYPO": ""}).store.port == 9042


def test_frozen(file: Path) -> None:
    """Settings do not change once they are read."""
    settings = Program(store=Store(nodes=["a"]))

    with pytest.raises(ValueError, match="frozen"):
        settings.store.port = 1


def test_all_problems_at_once(file: Path) -> None:
    """Each value that is wrong has its line: where it stands, what it is, what is allowed."""
    text = """\
[store]
nodes = []
port = 0
ratio = 1.0
tls = "perhaps"
ca = 5
[names]
x = "many"
[[rules]]
networks = "192.0.2.0/24"
service = 1
[[rules]]
"""
    assert problems_of(file, text) == [
        "program.toml: store.nodes: [] - must be a list, not empty",
        "program.toml: store.port: 0 - must be a whole number, at least 1 and at most 65535",
        "program.toml: store.ratio: 1.0 - must be a number, more than 0 and less than 1",
        'program.toml: store.tls: "perhaps" - must be true or false',
        "program.toml: store.ca: 5 - must be a path",
        'program.toml: names.x: "many" - must be a whole number',
        'program.toml: rules[0].networks: "192.0.2.0/24" - must be a list',
        "program.toml: rules[0].service: 1 - must be text",
        "program.toml: rules[1].networks: missing - must be given, in the file or as PROGRAM_RULES__1__NETWORKS",
    ]


def test_origin_of_a_variable(file: Path) -> None:
    """A bad value from the environment is told with its variable, beside those of the file."""
    lines = problems_of(file, "[store]\nport = 0\n", {"PROGRAM_STORE__RATIO": "half", "PROGRAM_NAMES": "x"})

    assert lines == [
        "program.toml: store.nodes: missing - must be given, in the file or as PROGRAM_STORE__NODES",
        "program.toml: store.port: 0 - must be a whole number, at least 1 and at most 65535",
        'PROGRAM_STORE__RATIO: store.ratio: "half" - must be a number, more than 0 and less than 1',
        'PROGRAM_NAMES: names: ["x"] - must be a table',
    ]


def test_missing_section() -> None:
    """A missing section is told by the keys that it must have."""
    assert problems(None) == [
        "PROGRAM_STORE__NODES: store.nodes: missing - must be given, in the file or as PROGRAM_STORE__NODES"
    ]


def test_value_instead_of_a_section(file: Path) -> None:
    """A section that is no table is refused as such, without what may be secrets inside."""
    assert problems_of(file, "store = 1") == ["program.toml: store: 1 - must be a table"]
    broken = '{"password": "hunter2"'
    assert problems(None, {"PROGRAM_STORE": broken}) == ['PROGRAM_STORE: store: "..." - must be a table']
    text = '[store]\nnodes = ["a"]\n[rules]\ntoken = "hunter2"\n'
    assert problems_of(file, text) == ["program.toml: rules: {...} - must be a list"]


def test_unknown_keys(file: Path) -> None:
    """A misspelt key is refused with the one that was meant, and its value, maybe a secret, is not shown."""
    text = '[store]\nnodes = ["a"]\npasswort = "hunter2"\nnetworks = []\n[sotre]\n[zzz]\nport = 1\n'

    assert problems_of(file, text) == [
        "program.toml: store.passwort: unknown key - did you mean password?",
        "program.toml: store.networks: unknown key - did you mean rules.<name>.networks?",
        "program.toml: sotre: unknown key - did you mean store?",
        "program.toml: zzz: unknown key - known here: store, names, rules",
    ]


def test_key_in_the_wrong_section(file: Path) -> None:
    """A key that belongs elsewhere is told where."""
    assert problems_of(file, 'ratio = 0.1\n[store]\nnodes = ["a"]\n') == [
        "program.toml: ratio: unknown key - did you mean store.ratio?"
    ]


def test_unknown_variables() -> None:
    """A misspelt variable is refused with the one that was meant; its value is not shown."""
    environ = {
        "PROGRAM_STORE__NODES": "a",
        "PROGRAM_STORE__PASSWORT": "hunter2",
        "PROGRAM_STORE_PORT": "1",
        "PROGRAM_STORE__PORT__X": "1",
        "PROGRAM_ZZZ": "1",
    }
    assert problems(None, environ) == [
        "PROGRAM_STORE__PASSWORT: unknown variable - did you mean PROGRAM_STORE__PASSWORD?",
        "PROGRAM_STORE_PORT: unknown variable - did you mean PROGRAM_STORE__PORT?",
        "PROGRAM_STORE__PORT__X: unknown variable - did you mean PROGRAM_STORE__PORT?",
        "PROGRAM_ZZZ: unknown variable - there is no such setting",
    ]


def test_other_peoples_variables() -> None:
    """Other programs' variables are none of ours, nor are those that Kubernetes sets for services."""
    environ = {
        "PROGRAM_STORE__NODES": "a",
        "PROGRAM_OTHER_STORE__NODES": "b",
        "PATH": "/bin",
        "PROGRAM_SERVICE_HOST": "192.0.2.1",
        "PROGRAM_SERVICE_PORT": "9100",
        "PROGRAM_SERVICE_PORT_METRICS": "9100",
        "PROGRAM_PORT": "tcp://192.0.2.1:9100",
        "PROGRAM_PORT_9100_TCP": "tcp://192.0.2.1:9100",
        "PROGRAM_PORT_9100_TCP_PROTO": "tcp",
        "PROGRAM_PORT_9100_TCP_PORT": "9100",
        "PROGRAM_PORT_9100_TCP_ADDR": "192.0.2.1",
        "PROGRAM_HEADLESS_SERVICE_HOST": "2001:db8::1",
    }
    assert load(Program, None, environ).store.nodes == ["a"]


def test_rules_over_several_keys(file: Path) -> None:
    """Values that do not fit together are all told, with the value in force, a default's too."""
    text = '[store]\nnodes = ["a"]\nca = "/ca.pem"\n'

    assert problems_of(file, text) == ['program.toml: store.ca: "/ca.pem" - must not be given, because tls is false']
    assert problems_of(file, text, {"PROGRAM_STORE__TLS": "true"}) == [
        "program.toml: store.port: 9042 - must not be the one without TLS"
    ]


def test_secret_is_masked(file: Path) -> None:
    """A secret of the wrong type is not shown."""
    assert problems_of(file, '[store]\nnodes = ["a"]\npassword = 12345\n') == [
        'program.toml: store.password: "********" - must be text'
    ]


def test_long_values_are_cut(file: Path) -> None:
    """A long value is shown by its beginning."""
    (line,) = problems_of(file, f'[store]\nnodes = ["a"]\nport = "{"9" * 500}x"\n')

    shown = '"' + "9" * 76 + "..."
    assert line == f"program.toml: store.port: {shown} - must be a whole number, at least 1 and at most 65535"


def test_secret_from_a_file(file: Path, tmp_path: Path) -> None:
    """A secret may stand in a file of its own, without its newline, in a list of tables too."""
    secret = tmp_path / "secret"
    secret.write_text("hunter 2\n")
    secret.chmod(0o600)
    file.write_text(f'[store]\nnodes = ["a"]\n[[rules]]\nnetworks = []\ntoken_file = "{secret}"\n')

    settings = load(Program, file, {"PROGRAM_STORE__PASSWORD_FILE": str(secret)})

    assert settings.store.password == SecretStr("hunter 2")
    assert settings.rules[0].token == SecretStr("hunter 2")
    assert list(warnings(settings, file)) == []


@pytest.mark.parametrize(
    ("content", "mode", "allowed"),
    [
        (b"\n", 0o600, "must not be empty"),
        (b"\xff", 0o600, "must be a text file in UTF-8"),
        (b"x" * 65_537, 0o600, "must be a file of at most 65536 bytes that holds nothing but the secret"),
        (b"x", 0o666, "every user of this machine can write to it: chmod o-w"),
        (None, 0o600, "cannot be read: No such file or directory"),
    ],
)
def test_bad_secret_files(file: Path, tmp_path: Path, content: bytes | None, mode: int, allowed: str) -> None:
    """A secret file that cannot be used is one problem, not two."""
    secret = tmp_path / "secret"
    if content is not None:
        secret.write_bytes(content)
        secret.chmod(mode)

    lines = problems_of(file, f'[store]\nnodes = ["a"]\npassword_file = "{secret}"\n')

    assert lines == [f'program.toml: store.password_file: "secret" - {allowed}']


def test_secret_and_secret_file(file: Path, tmp_path: Path) -> None:
    """A secret in both places is refused: one of them is out of date."""
    (tmp_path / "secret").write_text("x")

    lines = problems_of(
        file, '[store]\nnodes = ["a"]\npassword = "x"\n', {"PROGRAM_STORE__PASSWORD_FILE": str(tmp_path / "secret")}
    )

    assert lines == [
        'PROGRAM_STORE__PASSWORD_FILE: store.password_file: "secret" - must not be given together with password'
    ]


def test_warnings(file: Path, tmp_path: Path) -> None:
    """Secrets that everybody can read are warned of, in a file of their own and in the configuration file."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2\n")
    secret.chmod(0o644)
    file.write_text(
        f'[store]\nnodes = ["a"]\npassword_file = "{secret}"\n[[rules]]\nnetworks = []\ntoken = "swordfish"\n'
    )
    file.chmod(0o644)

    settings = load(Program, file, {})

    assert list(warnings(settings, file)) == [
        f"{secret}: every user of this machine can read the secret password in it",
        f"{file}: every user of this machine can read the secret token in it",
    ]
    file.chmod(0o640)
    secret.chmod(0o640)
    assert list(warnings(settings, file)) == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a = 1\nb = "x\n', "program.toml: line 2, column 7: not valid TOML: Illegal character '\\n'"),
        ("a = [", "program.toml: end of document: not valid TOML: Invalid value"),
        ("x" * 1_048_577, "program.toml: is larger than 1048576 bytes: not a configuration file"),
    ],
)
def test_bad_toml(file: Path, text: str, line: str) -> None:
    """A file that is not TOML is refused with the place of the first error."""
    assert problems_of(file, text) == [line]


def test_unreadable_files(file: Path, tmp_path: Path) -> None:
    """A file that cannot be read is refused with the reason."""
    assert problems(file) == ["program.toml: there is no such file"]
    file.mkdir()
    assert problems(file) == ["program.toml: cannot be read: Is a directory"]
    file.rmdir()
    file.write_bytes(b"a = '\xff'")
    assert problems(file) == ["program.toml: byte 6 is not UTF-8, as TOML must be"]


def test_render_round_trip(file: Path, tmp_path: Path) -> None:
    """What `render` prints reads as the same settings, secrets apart; a secret of a file shows as the file."""
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    settings = Program(
        store=Store(nodes=['a"\\\x7f\n', "ü"], password=SecretStr("hunter2"), password_file=secret),
        names={"a b": 1, "c": 2},
        rules=[Rule(networks=["x"]), Rule(networks=[], token=SecretStr("hunter2"))],
    )
    text = render(settings)
    file.write_text(text)

    again = load(Program, file, {})

    assert "hunter2" not in text
    assert again.store == settings.store
    assert again.names == settings.names
    assert again.rules == [settings.rules[0], Rule(networks=[], token=SecretStr("********"))]
    assert render(again) == text


def test_render_shows_every_key() -> None:
    """Every key has a line in the order of the class, those without a value as a comment."""
    settings = Program(store=Store(nodes=["a"], password=SecretStr("x")), rules=[Rule(networks=["b"])])

    assert render(settings) == (
        "[store]\n"
        'nodes = ["a"]\n'
        "port = 9042\n"
        "ratio = 0.5\n"
        "tls = false\n"
        "# ca is not set\n"
        'password = "********"\n'
        "# password_file is not set\n"
        "\n"
        "[names]\n"
        "\n"
        "[[rules]]\n"
        'networks = ["b"]\n'
        'service = "webmail"\n'
        "# token is not set\n"
        "# token_file is not set\n"
    )
