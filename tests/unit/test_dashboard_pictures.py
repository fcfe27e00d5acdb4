"""Pictures of dashboards: what is asked, how values are told, and that every kind of panel is drawn."""

import json
import math
import struct
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest

from lastlogin_dashboards.board import Band, Board, row
from lastlogin_dashboards.draw.page import picture
from lastlogin_dashboards.draw.prometheus import Asked, Unanswered
from lastlogin_dashboards.draw.values import by_thresholds, in_words, with_unit
from lastlogin_dashboards.panels import (
    Column,
    Query,
    bars,
    between,
    graph,
    heatmap,
    table,
    text,
    thresholds,
    tile,
    words,
)


STEPS = ((None, "green"), (2, "red"))
LABELS = ({"instance": "mx1", "le": "0.1"}, {"instance": "mx2", "le": "+Inf"})
BOARD = Board(
    uid="all",
    title="every kind of panel",
    description="",
    variables=(),
    bands=(
        row("row"),
        Band(2, (text("**Bold**, `code` and a [link](https://lastlogin.example.org/), in lines."),)),
        Band(6, (tile("tile", "", "s", Query("a"), steps=STEPS), tile("spark", "", "none", Query("a"), spark=True))),
        Band(
            6,
            (
                graph("lines", "", "s", Query("a", "{{instance}}", "#5794f2"), steps=STEPS, table=True),
                graph("areas", "", "bytes", Query("a"), least=None, stacked=True),
                graph("columns", "", "short", Query("a"), bars=True),
                graph("nothing", "", "short", Query("nothing")),
            ),
        ),
        Band(
            6,
            (
                bars("bars", "", "percentunit", Query("a"), steps=STEPS),
                heatmap("heat", "", "s", Query("a")),
                table(
                    "table", "", (Column("instance"), Column("a", "a", "s", STEPS), Column("b", "a", "none", most=9))
                ),
            ),
        ),
    ),
)


class Answers(BaseHTTPRequestHandler):
    """A Prometheus with two series of everything but `nothing`; `wrong` is a mistake, 3 is missing from the second."""

    def do_GET(self) -> None:
        """Answer a query."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        self.server.asked.append(asked)  # type: ignore[attr-defined] # put there by the fixture
        if asked["query"] == "wrong":
            self.send_response(400)
            self.end_headers()
            self.wfile.write(b'{"status":"error","error":"parse error"}')
            return
        labels = () if asked["query"] == "nothing" or "ticket" in asked["query"] else LABELS
        if "time" in asked:
            result = [{"metric": each, "value": [float(asked["time"]), "1.5"]} for each in labels]
        else:
            times = range(int(float(asked["start"])), int(float(asked["end"])) + 1, int(asked["step"]))
            result = [{"metric": each, "values": [[time, "1"] for time in times if time != 1030]} for each in labels]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"data": {"result": result}}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def prometheus() -> Iterator[ThreadingHTTPServer]:
    """Serve answers, and remember questions in `asked`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        server.asked = []  # type: ignore[attr-defined] # for the handler
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked_of(server: ThreadingHTTPServer) -> Asked:
    """Return a minute of it."""
    return Asked(f"http://127.0.0.1:{server.server_port}", begin=1000.0, end=1060.0, scrape_s=10.0)


def test_every_kind_of_panel_is_drawn(prometheus: ThreadingHTTPServer, tmp_path: Path) -> None:
    """The picture is 1600 pixels wide, and as high as the panels need."""
    picture(BOARD.document(), asked_of(prometheus), tmp_path / "img" / "all.png")

    head = (tmp_path / "img" / "all.png").read_bytes()[:24]
    assert (1600, 46 + 21 * 34 + 26) == struct.unpack(">II", head[16:])


def test_variables_are_put_in(prometheus: ThreadingHTTPServer) -> None:
    """Rates have a window of four scrapes at least, and everything is chosen."""
    asked_of(prometheus).over_time('rate(a{cluster=~"$cluster"}[$__rate_interval])', 100)

    (asked,) = prometheus.asked  # type: ignore[attr-defined] # put there by the fixture
    assert asked == {"query": 'rate(a{cluster=~".*"}[40s])', "start": "1000.0", "end": "1060.0", "step": "10"}


def test_a_missing_value_is_no_value(prometheus: ThreadingHTTPServer) -> None:
    """Lines do not lead over a time without values."""
    one, _ = asked_of(prometheus).over_time("a", 100)

    assert one.times == [1000, 1010, 1020, 1030, 1040, 1050, 1060]
    assert [math.isnan(value) for value in one.values] == [False, False, False, True, False, False, False]


def test_what_is_wrong_is_told(prometheus: ThreadingHTTPServer) -> None:
    """A query that Prometheus refuses is told with its words; so is a Prometheus that is not there."""
    with pytest.raises(Unanswered, match=r"wrong: .*parse error"):
        asked_of(prometheus).at_end("wrong")
    with pytest.raises(Unanswered, match="refused"):
        Asked("http://127.0.0.1:1", 0, 1, 1).at_end("a")


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "told"),
    [
        (0.0, "s", None, "0 s"),
        (0.00025, "s", None, "250 µs"),
        (0.0126, "s", None, "12.6 ms"),
        (59.96, "s", None, "60 s"),
        (90.0, "s", None, "1.5 min"),
        (-0.061, "s", None, "-61 ms"),
        (172800.0, "s", None, "2 d"),
        (0.9999, "percentunit", 1, "100.0%"),
        (0.5, "percentunit", None, "50%"),
        (3 * 2.0**20, "bytes", None, "3 MiB"),
        (12345.0, "short", None, "12.3 K"),
        (0.2, "short", 0, "0"),
        (14.44, "suffix: /s", None, "14.4 /s"),
        (7.0, "none", 0, "7"),
        (math.nan, "s", None, ""),
    ],
)
def test_units(value: float, unit: str, decimals: int | None, told: str) -> None:
    """Values have a size that suits them, and three figures unless told."""
    assert told == with_unit(value, unit, decimals)


def test_words_and_colours() -> None:
    """A value is told by the first mapping that fits, and has the colour of the highest step that it reaches."""
    config = tile(
        "",
        "",
        "s",
        steps=STEPS,
        no_value="nobody knows",
        mappings=[words((1, "YES", "green")), between(2, 3, "PARTLY", "red")],
    )["fieldConfig"]["defaults"]

    assert ("YES", "#73bf69") == in_words(1.0, config)
    assert ("PARTLY", "#f2495c") == in_words(2.5, config)
    assert ("4 s", None) == in_words(4.0, config)
    assert "nobody knows" == in_words(math.nan, config)[0]
    assert "#73bf69" == by_thresholds(1.9, thresholds(STEPS))
    assert "#f2495c" == by_thresholds(2, thresholds(STEPS))
