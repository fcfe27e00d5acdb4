"""Values in words and colours, as Grafana tells them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any


_COLOURS = {
    "green": "#73bf69",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "dark-red": "#c4162a",
    "blue": "#5794f2",
    "text": "#ccccdc",
}
_PALETTE = (
    "#73bf69", "#f2cc0c", "#8ab8ff", "#ff780a", "#f2495c", "#5794f2", "#b877d9", "#37872d", "#e0b400", "#c0d8ff",
    "#fa6400", "#c4162a", "#1f60c4", "#8f3bb8",
)  # fmt: skip
_DURATIONS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_THOUSANDS = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"))
_BYTES = ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"))


def colour(name: str) -> str:
    """Return what matplotlib takes for a colour of Grafana's."""
    return _COLOURS.get(name, name)


def from_palette(at: int) -> str:
    """Return the colour of the series number `at`."""
    return _PALETTE[at % len(_PALETTE)]


def by_thresholds(value: float, thresholds: Mapping[str, Any]) -> str:
    """Return the colour of the highest step that the value reaches; without a value that of the lowest."""
    steps: Sequence[Mapping[str, Any]] = thresholds["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return colour(reached[-1])


def in_words(value: float | str, config: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return what is shown for a value, and its colour where a mapping says one."""
    for mapping in config.get("mappings", ()):
        options = mapping["options"]
        if mapping["type"] == "special" and isinstance(value, float) and math.isnan(value):
            return options["result"]["text"], colour(options["result"]["color"])
        key = f"{value:g}" if isinstance(value, float) else value
        if mapping["type"] == "value" and key in options:
            return options[key]["text"], colour(options[key]["color"])
        if mapping["type"] == "range" and isinstance(value, float) and options["from"] <= value <= options["to"]:
            return options["result"]["text"], colour(options["result"]["color"])
    if isinstance(value, str):
        return value, None
    return with_unit(value, config.get("unit", "none"), config.get("decimals")), None


def with_unit(value: float, unit: str, decimals: int | None = None) -> str:
    """Return a number with its unit, at a size that suits it."""
    if math.isnan(value):
        return ""
    if unit == "percentunit":
        return f"{_number(value * 100, decimals)}%"
    if unit == "s":
        return _sized(value, _DURATIONS, " ", "s", decimals)
    if unit == "bytes":
        return _sized(value, _BYTES, "", " B", decimals)
    if unit == "short":
        return _sized(value, _THOUSANDS, "", "", decimals)
    return _number(value, decimals) + unit.removeprefix("suffix:").removeprefix("none")


def _sized(value: float, sizes: Sequence[tuple[float, str]], space: str, smallest: str, decimals: int | None) -> str:
    for size, name in sizes:
        if abs(value) >= size * 0.9995:
            return f"{_number(value / size, decimals if size == 1 else None)}{space}{name}"
    return f"{_number(value, decimals)}{space}{smallest}"


def _number(value: float, decimals: int | None) -> str:
    if decimals is not None:
        return f"{value:.{decimals}f}"
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
