"""What is made of a recording of an outage."""

import struct
from pathlib import Path

from lastlogin_stack.layout import Layout
from lastlogin_stack.outage import picture_file, problems, wrote_all
from lastlogin_stack.picture import draw
from lastlogin_stack.recording import Alert, Recording, Stretch, per_second


AWAY = Stretch("kafka", 20, 40)
SEEN = Recording(
    60,
    {
        name: [(at, 30 if 20 <= at < 40 else 0) for at in range(60)]
        for name in (
            "acknowledged",
            "published",
            "written",
            "lag_records",
            "lag_seconds",
            "spool_rows",
            "spool_seconds",
        )
    },
    [
        Alert("LastLoginKafkaAway", 25, 30, "pending", "page"),
        Alert("LastLoginKafkaAway", 30, 45, "firing", "page"),
        Alert("LastLoginConsumerNotReady", 31, 40, "firing", "ticket"),
        Alert("LastLoginTableBehind", 33, 34, "pending", "page"),
    ],
)


def test_where_the_picture_goes(tmp_path: Path) -> None:
    """Beside the directory of the servers, which is removed, or where OUT says."""
    layout = Layout(tmp_path / "outage")

    assert tmp_path / "outage.png" == picture_file(layout, "")
    assert Path.cwd() / "docs" / "a.png" == picture_file(layout, "docs/a.png")


def test_what_did_not_come_out_as_it_must() -> None:
    """A page that did not come or does not go, what is not written, and users who did not get in."""
    pages = {"LastLoginKafkaAway", "LastLoginSLOFastBurn"}

    assert [] == problems("kafka", pages, still=(), behind=False, failed=0)
    assert [
        "LastLoginKafkaAway did not fire",
        "LastLoginSLOBurn still fires after 120 s",
        "what waited is not all written after 120 s",
        "2 users did not get in",
    ] == problems("kafka", pages - {"LastLoginKafkaAway"}, still={"LastLoginSLOBurn"}, behind=True, failed=2)


def test_a_picture_for_the_readme(tmp_path: Path) -> None:
    """A PNG of 1400 pixels in width, in a directory that may be missing."""
    picture = tmp_path / "made" / "outage.png"
    draw(SEEN, [AWAY], [(5, 30.0), (55, 31.0)], picture)
    written = picture.read_bytes()

    assert b"\x89PNG" == written[:4]
    assert 1400 == struct.unpack(">I", written[16:20])[0]


def test_the_most_of_a_stretch() -> None:
    """Only what is within it counts; a series that is not there has been 0."""
    assert 30 == SEEN.most("spool_rows", AWAY)
    assert 0 == SEEN.most("spool_rows", Stretch("", 0, 19))
    assert 0 == Recording(60, {"spool_rows": []}, []).most("spool_rows", AWAY)


def test_logins_per_second() -> None:
    """As many as there were in the five seconds before, as rates of Prometheus are."""
    assert [(5, 1.0), (6, 1.0), (7, 0.6)] == per_second([101.0, 101.5, 102.0, 103.0, 104.0, 105.5], 100.0, 7.9)


def test_when_all_was_written() -> None:
    """What counts is the first time that nothing old waits, once the server is back; not a blip later on."""
    ages = [(0.0, 0.1), (8.0, 60.0), (9.0, 0.2), (10.0, 0.1), (11.0, 61.0), (13.0, 60.0), (16.0, 62.0), (17.0, 0.3)]

    assert 7.0 == wrote_all([*ages, (18.0, 0.1), (40.0, 2.5)], 9.0)
    assert 0.0 == wrote_all([(at, 0.1) for at, _ in ages], 9.0)
