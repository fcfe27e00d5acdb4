"""The option --since."""

from datetime import UTC, datetime
from typing import Any

import click

from lastlogin_service.moments import start_of


class Since(click.ParamType[int]):
    """An option that takes an age or a time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Turn an age or a time into milliseconds since 1970."""
        try:
            return start_of(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)
