"""Which dashboards there are, and the files that they are written to."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lastlogin_dashboards import consumer, producers, recorded, slo
from lastlogin_dashboards.board import Board


DASHBOARDS = Path(__file__).resolve().parents[1] / "dashboards"

BOARDS: tuple[Board, ...] = (recorded.BOARD, producers.BOARD, consumer.BOARD, slo.BOARD)


def _text(board: Board) -> str:
    return json.dumps(board.document(), indent=1, ensure_ascii=False) + "\n"


# By the file's name below `deploy/grafana/dashboards`: what gives its text.
FILES: Mapping[str, Callable[[], str]] = {f"{board.uid}.json": partial(_text, board) for board in BOARDS}
