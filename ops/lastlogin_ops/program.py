"""What every subcommand is given."""

import os
from pathlib import Path
from typing import TypeVar

import click

from lastlogin_ops.settings import OpsSettings
from lastlogin_service.exits import CONFIG, Exit
from lastlogin_service.settings import load, warnings
from lastlogin_service.subcommand import command_with


T = TypeVar("T")


class Program:
    """The settings' file, read when a subcommand needs it."""

    def __init__(self, file: Path | None) -> None:
        self.file = file

    def command(self, *arguments: str) -> str:
        """What to type for a subcommand with the same settings."""
        return command_with(self.file, "lastlogin", *arguments)

    def settings(self) -> OpsSettings:
        """Load the settings. Raises `Exit`."""
        settings = load(OpsSettings, self.file, os.environ)
        for warning in warnings(settings, self.file):
            click.echo(f"lastlogin: warning: {warning}", err=True)
        return settings


def needed(section: T | None, name: str, key: str) -> T:
    """Return the section; raise `Exit` (78), naming `key`, when it is not configured."""
    if section is None:
        raise Exit(CONFIG, f"[{name}] is not configured: set {name}.{key}, or LASTLOGIN_{name.upper()}__{key.upper()}")
    return section
