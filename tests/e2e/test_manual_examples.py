"""The examples of Dovecot's last_login manual, by real clients through real Dovecot, Kafka and Cassandra."""

import subprocess

import pytest

from lastlogin_stack.clients import imap_login
from lastlogin_stack.examples import EXAMPLES, Example, play
from lastlogin_stack.layout import PROJECT_ROOT, Layout
from lastlogin_stack.readback import EventReader, StatsTable
from lastlogin_stack.services import lastlogin_command


@pytest.mark.alone
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.number)
def test_example(example: Example, pipeline: Layout, table: StatsTable) -> None:
    """Each example of the manual leaves one event and the row that the manual promises, within a second."""
    bystanders = {user: table.row(user) for user in example.bystanders}

    with EventReader(pipeline) as events:
        results = [play(step, pipeline, events, table) for step in example.steps]

    assert [()] * len(results) == [result.problems for result in results]
    assert bystanders == {user: table.row(user) for user in example.bystanders}
    assert max(result.seconds for result in results) < 1.0


def test_the_query_in_the_readme(pipeline: Layout, table: StatsTable) -> None:
    """The query that the README delivers is the one that `lastlogin show --cql` prints, and finds the row."""
    readme = (PROJECT_ROOT / "README.md").read_text(encoding="utf-8")
    query = readme.partition("```sql\n")[2].partition("```")[0]
    imap_login(pipeline, "test4", source="127.0.0.21")
    table.wait_for("test4", lambda row: "imap" in row, 10)

    printed = subprocess.run(
        [*lastlogin_command(pipeline), "show", "test4", "--cql"], capture_output=True, text=True, check=True
    ).stdout
    row = table.session.execute(query).one()

    assert printed.split() == query.split()
    assert ("test4", "127.0.0.21") == (row.user, row.remote_ip_imap)
