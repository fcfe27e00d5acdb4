"""Where the drill has its servers, and how it tells what an audit has found."""

from pathlib import Path

from lastlogin_stack.audited import Audited
from lastlogin_stack.layout import default_directory, layout_from
from lastlogin_stack.own_servers import own_layout


def test_servers_of_its_own(tmp_path: Path) -> None:
    """It never shares a directory with `make demo`, whatever the environment says: it damages what is there."""
    own = own_layout({}, "drill", 17000)
    told = own_layout({"LASTLOGIN_STACK_DIR": str(tmp_path), "LASTLOGIN_STACK_PORT": "20000"}, "drill", 17000)

    assert (own.directory, own.base_port) == (default_directory("drill"), 17000)
    assert own.directory != layout_from({}).directory
    assert (told.directory, told.base_port) == (tmp_path / "drill", 20000)


def test_what_was_found() -> None:
    """Nothing, or each loss by its name."""
    clean = Audited(0, 7, 0, 5, 0, [], [])
    wrong = Audited(1, 7, 0, 4, 2, [("missing", "u", "imap")], ["mail1, epoch 3: 9"])

    assert "7 events, 5 rows right; nothing is wrong" == str(clean)
    assert "7 events, 4 rows right; WRONG: missing u imap, missing mail1, epoch 3: 9" == str(wrong)
