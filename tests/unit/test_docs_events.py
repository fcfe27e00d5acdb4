"""What the documents for subscribers say is what the schemas and settings say."""

import re

import pytest
import yaml

from lastlogin_docs.asyncapi import document
from lastlogin_docs.events import events_page, type_in_words
from lastlogin_docs.pages import DOCS
from lastlogin_ops.settings import WantedTopics
from lastlogin_schemas.headers import message_headers
from lastlogin_schemas.schema import LOGIN_EVENT, RAW_WRITE, SCHEMAS, Schema


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_field_is_explained(schema: Schema) -> None:
    """Each field of each schema has a row with its own explanation, and each schema one with its fingerprint."""
    page = events_page()

    for field in schema.definition["fields"]:
        assert re.search(rf"\| `{field['name']}` \| .* \| {re.escape(field['doc'])} \|", page)
    assert schema.fingerprint.hex(" ").upper() in page


def test_nothing_is_left_to_fill_in() -> None:
    """Every place of the template was filled."""
    assert not re.search(r"@\w+@", events_page())


def test_types_in_words() -> None:
    """Unions, maps, arrays, records and logical types read as people say them."""
    types = {field["name"]: type_in_words(field["type"]) for field in LOGIN_EVENT.definition["fields"]}
    raw = {field["name"]: type_in_words(field["type"]) for field in RAW_WRITE.definition["fields"]}

    assert types["remote_ip"] == "null or string"
    assert types["login_at"] == "long (timestamp-millis)"
    assert types["attributes"] == "map of string"
    assert raw["entries"] == "array of Entry (key: bytes, value: bytes)"


def test_asyncapi_is_the_contract() -> None:
    """The file's channels are our topics with their settings, its payloads our schemas, its headers those we send."""
    loaded = yaml.safe_load((DOCS / "asyncapi.yaml").read_text("utf-8"))

    assert loaded == document()
    assert loaded["asyncapi"].startswith("3.")
    for channel, spec in zip(loaded["channels"].values(), WantedTopics().specs(), strict=True):
        kafka = channel["bindings"]["kafka"]
        assert (channel["address"], kafka["topic"], kafka["partitions"]) == (spec.name, spec.name, spec.partitions)
        assert kafka["topicConfiguration"]["retention.ms"] == int(spec.configs["retention.ms"])
    messages = loaded["components"]["messages"]
    for schema in (LOGIN_EVENT, RAW_WRITE):
        assert messages[schema.name]["payload"]["schema"] == schema.definition
        assert set(messages[schema.name]["headers"]["properties"]) == {
            name for name, _ in message_headers(b"", "", 0, 0)
        }


def test_every_reference_leads_somewhere() -> None:
    """Each `$ref` of the AsyncAPI document names a part of it."""
    loaded = document()

    def references(node: object) -> list[str]:
        if isinstance(node, dict):
            own = [node["$ref"]] if "$ref" in node else []
            return own + [each for value in node.values() for each in references(value)]
        return [each for value in node for each in references(value)] if isinstance(node, list) else []

    found = references(loaded)
    assert len(found) >= 9
    for reference in found:
        target = loaded
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
