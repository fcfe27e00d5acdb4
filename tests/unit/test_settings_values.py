"""Settings: names are compared letter by letter, and values are of the kind that they are for."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from lastlogin_service.exits import Exit
from lastlogin_service.settings import Section, Settings, load, warnings


class Store(Section):
    """A section."""

    port: int = Field(default=9042, ge=1)
    wait_s: float | None = None
    place: Annotated[str, Field(min_length=1)] | None = None
    password: SecretStr | None = None
    password_file: Path | None = None


class Program(Settings):
    """A program's settings."""

    model_config = SettingsConfigDict(env_prefix="PROGRAM_")

    linger_s: float = Field(default=0.5, ge=0)
    store: Store = Store()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Path of the configuration file."""
    return tmp_path / "program.toml"


def problems_of(file: Path, text: str) -> list[str]:
    """Lines that a file with this text is refused with, without its name."""
    file.write_text(text)
    with pytest.raises(Exit) as caught:
        load(Program, file, {})
    return [line.removeprefix(f"{file}: ") for line in caught.value.message.splitlines()]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Linger_s = 5", "Linger_s: unknown key - did you mean linger_s?"),
        ("linger_s = 1\nLINGER_S = 5", "LINGER_S: unknown key - did you mean linger_s?"),
        ("[STORE]\nport = 1", "STORE: unknown key - did you mean store?"),
        ("[store]\nPORT = 1", "store.PORT: unknown key - did you mean port?"),
        ("PORT = 1", "PORT: unknown key - did you mean store.port?"),
    ],
)
def test_case_counts_in_a_file(file: Path, text: str, line: str) -> None:
    """A key or section in capitals is misspelt, wherever it stands."""
    assert problems_of(file, text) == [line]


def test_case_does_not_count_in_the_environment(file: Path) -> None:
    """Variables are read in whatever case, beside a file too."""
    file.write_text("linger_s = 1\n[store]\nport = 1\n")

    settings = load(Program, file, {"program_linger_s": "2", "PROGRAM_Store__Port": "2"})

    assert (settings.linger_s, settings.store.port) == (2, 2)


def test_booleans_are_no_numbers(file: Path) -> None:
    """`true` is not taken for 1."""
    assert problems_of(file, "linger_s = true\n[store]\nport = true\nwait_s = false\n") == [
        "linger_s: true - must be a number, at least 0",
        "store.port: true - must be a whole number, at least 1",
        "store.wait_s: false - must be a number",
    ]


def test_empty_text(file: Path) -> None:
    """What may be left out, and may not be empty, says so."""
    assert problems_of(file, '[store]\nplace = ""\n') == ['store.place: "" - must be text, not empty']


def test_a_secret_that_is_a_word_of_the_file(file: Path) -> None:
    """A secret that only looks like other text of the file is not in it; the value of its key is."""
    file.write_text('[store]\nplace = "store"\n')
    file.chmod(0o644)
    assert list(warnings(load(Program, file, {"PROGRAM_STORE__PASSWORD": "store"}), file)) == []

    file.write_text('[store]\npassword = "store"\n')
    assert list(warnings(load(Program, file, {}), file)) == [
        f"{file}: every user of this machine can read the secret password in it"
    ]
