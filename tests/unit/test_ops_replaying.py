"""What becomes of writes that were set aside when they are read by other rules."""

import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from lastlogin_ops.producer_rules import interpreter, load_producer_file
from lastlogin_ops.quarantined import Interpret, Quarantined, as_login, quarantined
from lastlogin_ops.replaying import Message, Outcome
from lastlogin_ops.set_aside import MAX_REASONS
from lastlogin_schemas.codec import decode_login_event
from lastlogin_schemas.event import LoginEvent, RawWrite
from lastlogin_schemas.framing import prefix
from lastlogin_schemas.schema import LOGIN_EVENT
from lastlogin_service.exits import Exit
from lastlogin_stack.layout import PROJECT_ROOT
from tests.support.aside import DICT, MENDED, WRITE, aside_record, write
from tests.support.logins import AT_US, record


FRAMING = prefix(LOGIN_EVENT)


def rules(directory: Path, text: str = MENDED) -> Interpret:
    """The rules of a file."""
    file = directory / "producer.toml"
    file.write_text(text, encoding="utf-8")
    return interpreter(load_producer_file(file))


def found(raw: RawWrite) -> Quarantined:
    """A write as it is read from the topic."""
    return quarantined(aside_record(raw), {})


def judged(outcome: Outcome, read: Quarantined, interpret: Interpret) -> Message | None:
    """What it is by now, counted."""
    return outcome.add(read, as_login(read, interpret, FRAMING))


def test_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a login that was set aside again after a replay one copy is published, as long as there are not too many."""
    interpret = rules(tmp_path)
    outcome = Outcome()

    published = [judged(outcome, found(WRITE), interpret) is not None for _ in range(3)]

    assert [True, False, False] == published
    assert ["bad_key: 3 records; 0 would be published; 2 are left out as a copy"] == outcome.lines(published=False)
    monkeypatch.setattr("lastlogin_ops.replaying._REMEMBERED", 0)
    assert judged(Outcome(), found(WRITE), interpret) is not None


def test_login_of_mended_rules(tmp_path: Path) -> None:
    """A write that fits by now is the login that its own producer would have made, in its place of the sequence."""
    message = judged(Outcome(), found(WRITE), rules(tmp_path))

    assert message is not None
    event = decode_login_event(message.value.removeprefix(FRAMING), LOGIN_EVENT)
    expected = LoginEvent(
        user="test1",
        service="imap",
        login_at_us=AT_US,
        remote_ip="192.0.2.1",
        backend="mail1",
        dict_name="statsdb",
        dict_key="shared/seen/imap/test1/192.0.2.1",
        event_id=event.event_id,
        received_at_us=WRITE.received_at_us,
        epoch=17,
        sequence=4,
    )
    assert event == expected
    assert (message.key, message.user) == (b"test1", b"test1")
    assert dict(message.headers)["origin"] == b"mail1/17/4"


def test_every_replay_is_the_same(tmp_path: Path) -> None:
    """A second replay makes the same message, byte for byte; another backend's write is another event."""
    interpret = rules(tmp_path)
    first, second, other = (
        judged(Outcome(), found(raw), interpret) for raw in (WRITE, WRITE, WRITE._replace(backend="mail2"))
    )

    assert first is not None
    assert other is not None
    assert first == second
    ids = [decode_login_event(each.value.removeprefix(FRAMING), LOGIN_EVENT).event_id for each in (first, other)]
    assert ids[0] != ids[1]
    assert dict(other.headers)["origin"] == b"mail2/17/4"


def test_counts_and_why(tmp_path: Path) -> None:
    """For each reason it is told how many are logins by now, and how many still do not fit and why."""
    interpret, outcome = rules(tmp_path), Outcome()
    for raw in (WRITE, WRITE._replace(sequence=5), write(value=b"abc"), write(reason="bad_value", value=b"0")):
        if judged(outcome, found(raw), interpret) is not None:
            outcome.share_of(found(raw)).published += 1
    judged(outcome, quarantined(record(b"what"), {}), interpret)

    assert (outcome.records, outcome.published, outcome.unfit) == (5, 2, 3)
    no_time = "1 still does not fit, bad_value: the value is not 10, 13, 16 or 19 digits"
    no_message = "1 still does not fit, unknown_framing: the value starts with 7768"
    assert outcome.lines(published=False) == [
        f"bad_key: 3 records; 2 would be published; {no_time}",
        f"bad_value: 1 record; 0 would be published; {no_time}",
        f"undecodable: 1 record; 0 would be published; {no_message}",
    ]
    assert "; 2 published; " in outcome.lines(published=True)[0]
    told = outcome.document(published=True)
    assert (told["records"], told["logins"], told["unfit"], told["published"]) == (5, 2, 3, True)
    assert told["reasons"]["bad_value"] == {
        "records": 1,
        "logins": 0,
        "passed": 0,
        "unfit": {"bad_value": {"records": 1, "detail": "the value is not 10, 13, 16 or 19 digits"}},
    }
    assert Outcome().lines(published=True) == []


def test_a_dict_that_the_file_lacks(tmp_path: Path) -> None:
    """Both sides are named: a file of another producer, or one whose dict has another name by now."""
    text = MENDED.replace(DICT, "[dicts.logins]") + MENDED.replace(DICT, "[dicts.webmail]")
    outcome = Outcome()

    assert judged(outcome, found(WRITE), rules(tmp_path, text)) is None
    [line] = outcome.lines(published=False)
    assert line.endswith("bad_key: the file has no dict statsdb; its dicts are logins, webmail")


def test_dropped_by_a_rule() -> None:
    """What a rule drops today is neither a login nor left over."""
    outcome = Outcome()
    for _ in range(2):
        assert judged(outcome, found(WRITE), lambda _: None) is None

    assert outcome.unfit == 0
    assert outcome.lines(published=True) == ["bad_key: 2 records; 0 published; 2 are dropped by a rule"]


def test_bounded_memory() -> None:
    """Reasons that somebody invents are counted together from the hundredth on, old ones and new ones."""
    outcome = Outcome()
    for number in range(MAX_REASONS + 50):
        judged(outcome, found(write(reason=f"old{number}")), lambda raw: raw)
        judged(outcome, found(WRITE), lambda raw, n=number: raw._replace(reason=f"new{n}"))  # type: ignore[misc]

    assert len(outcome.shares) <= MAX_REASONS + 1
    assert all(len(share.unfit) <= MAX_REASONS + 1 for share in outcome.shares.values())
    assert outcome.unfit == 2 * (MAX_REASONS + 50)


def test_only_the_rules_of_the_file_count(tmp_path: Path) -> None:
    """The host's own of the producer (group, certificates, password) need not be here; the environment is not read."""
    text = '[socket]\ngroup = "no-such-group"\n[kafka]\nsasl_password_file = "/no/such/file"\n[spool]\n' + MENDED

    assert isinstance(rules(tmp_path, text)(WRITE), LoginEvent)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{DICT}\nkey_patterns = [", "not valid TOML"),
        (f'{DICT}\nkey_patterns = ["seen/$service"]\n', "key_patterns: "),
        (f'{DICT}\nkey_patern = ["x"]\n', "key_patern: unknown key - did you mean key_patterns?"),
        ('[dict]\nkey_patterns = ["x"]\n', "dict: unknown key"),
    ],
)
def test_bad_file(text: str, problem: str, tmp_path: Path) -> None:
    """A file with a mistake in what counts is refused with 78, in the words of the producer's own check."""
    with pytest.raises(Exit) as end:
        rules(tmp_path, text)

    assert end.value.code == 78
    assert problem in end.value.message


def lacking() -> set[str]:
    """Modules of the packages that the producer's extra has and that of ops has not."""
    extras = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    names = {role: {re.split(r"[\[<>=!~; ]", each)[0] for each in extras[role]} for role in ("producer", "ops")}
    missing = names["producer"] - names["ops"]
    return {module for module, packages in packages_distributions().items() if missing & set(packages)}


def test_needs_nothing_that_ops_lacks(tmp_path: Path) -> None:
    """The command and the producer's rules load and read the file where no package of the producer's extra is."""
    (tmp_path / "producer.toml").write_text(MENDED)
    assert "murmurhash2" in lacking()
    script = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {lacking()!r}:
            raise ModuleNotFoundError(name=name)
sys.meta_path.insert(0, Missing())
sys.argv = ["lastlogin", "quarantine", "replay", "--producer-config", {str(tmp_path / "producer.toml")!r}]
try:
    from lastlogin_ops.__main__ import main
    main()
finally:
    print(sorted(name for name in sys.modules if name.startswith("lastlogin_producer.")))
"""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LASTLOGIN_")}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False, timeout=60
    )

    # The file was read; what is asked for next is where Kafka is.
    assert (done.returncode, done.stderr[:37]) == (78, "lastlogin: [kafka] is not configured:")
    assert "lastlogin_producer.events" in done.stdout
    for adapter in ("spool", "server", "publisher", "listener", "service"):
        assert f"lastlogin_producer.{adapter}'" not in done.stdout
