"""`python -m lastlogin_dashboards.draw`: a picture of each dashboard, of what a Prometheus knows of some time."""

import argparse
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from lastlogin_dashboards.boards import BOARDS, DASHBOARDS
from lastlogin_dashboards.draw.page import picture
from lastlogin_dashboards.draw.prometheus import Asked, Unanswered


def main() -> None:
    """Draw what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m lastlogin_dashboards.draw", description=__doc__)
    parser.add_argument("--prometheus", required=True, metavar="URL", help="for example http://127.0.0.1:9090")
    parser.add_argument(
        "--from", dest="begin", default="1h", type=_moment, help="a time in ISO 8601, or so long ago: 30m"
    )
    parser.add_argument("--to", dest="end", default="0s", type=_moment, help="likewise; now unless given")
    parser.add_argument("--out", required=True, type=Path, metavar="DIRECTORY")
    parser.add_argument("--scrape-interval", type=float, default=10.0, metavar="SECONDS", help="of that Prometheus")
    parser.add_argument("uid", nargs="*", help="which dashboards; all of them unless given")
    given = parser.parse_args()
    asked = Asked(given.prometheus.rstrip("/"), given.begin, given.end, given.scrape_interval)
    if unknown := set(given.uid) - {board.uid for board in BOARDS}:
        parser.error(f"there is no dashboard {', '.join(sorted(unknown))}")
    for board in BOARDS:
        if not given.uid or board.uid in given.uid:
            document = json.loads((DASHBOARDS / f"{board.uid}.json").read_text(encoding="utf-8"))
            to = given.out / f"{board.uid}.png"
            try:
                picture(document, asked, to)
            except Unanswered as error:
                sys.exit(f"{given.prometheus}: {error}")
            print(to)


def _moment(given: str) -> float:
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    now = datetime.now(UTC)
    if given[-1:] in units and given[:-1].isdecimal():
        return (now - timedelta(**{units[given[-1]]: int(given[:-1])})).timestamp()
    return datetime.fromisoformat(given).timestamp()


if __name__ == "__main__":
    main()
