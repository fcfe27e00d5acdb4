"""A login that comes whole: hello, begin, set and commit in one piece, as nearly every one does.

`DictConnection` says what the bytes mean; this says the same of the common case at a fifth of the cost, and nothing
of all others. Tests hold the two against each other.
"""

from collections.abc import Mapping

from lastlogin_producer.dictproto.commands import CommittedWrite


# A longer one may be above 32 bits.
_ID_DIGITS = 9
_SET_FIELDS = 3
# Hello, begin, one set, commit, and nothing after the last newline.
_FEWEST_PARTS = 5
# An escape's byte, as a number: of `bytes`, Python asks first whether they are one, which takes seven times as long.
_ESCAPE = 1


class WholeLogins:
    """Recognizes logins that come whole. `dict_names` as for `DictConnection`; `sets` is the limit of set commands."""

    def __init__(self, dict_names: Mapping[bytes, str], sets: int) -> None:
        self._dict_names = dict_names
        self._most_parts = _FEWEST_PARTS + sets - 1
        # Dicts by the whole line that asked for them: all clients of a version say the same.
        self._hellos: dict[bytes, str] = {}

    def read(self, data: bytes) -> CommittedWrite | None:
        """Return the write if `data` is a conversation of one committed transaction that needs no second look."""
        parts = data.split(b"\n")
        if not _FEWEST_PARTS <= len(parts) <= self._most_parts or parts.pop() or _ESCAPE in data:
            return None
        name = self._hellos.get(parts[0]) or self._greet(parts[0])
        commit = parts.pop()
        transaction_id = commit[1:]
        begin = parts[1].split(b"\t")
        if (
            name is None
            or len(begin) < _BEGIN_FIELDS
            or commit[:1] != b"C"
            or begin[0] != b"B" + transaction_id
            or not transaction_id.isdigit()
            or len(transaction_id) > _ID_DIGITS
        ):
            return None
        set_command = b"S" + transaction_id
        entries = []
        for part in parts[2:]:
            fields = part.split(b"\t")
            if len(fields) != _SET_FIELDS or fields[0] != set_command:
                return None
            entries.append((fields[1], fields[2]))
        return CommittedWrite(begin[1], name, tuple(entries), transaction_id)

    def _greet(self, line: bytes) -> str | None:
        # H<major> <minor> <value type> <user> <dict>; major 2 has the user of all transactions in it
        fields = line.split(b"\t")
        if len(fields) < _HELLO_FIELDS or fields[0] not in _MAJORS:
            return None
        name = self._dict_names.get(fields[4])
        if name is not None and len(self._hellos) < _MAX_HELLOS:
            self._hellos[line] = name
        return name


_MAJORS = frozenset({b"H3", b"H4"})
_HELLO_FIELDS = 5
_BEGIN_FIELDS = 2
# Dovecot has made a handful of different ones; each is shorter than the 960 bytes that an arrival reads.
_MAX_HELLOS = 64
