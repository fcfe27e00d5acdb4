"""Kafka's Metadata and DescribeGroups requests in versions that also tell our rights, which aiokafka's own do not."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

from aiokafka.protocol.admin import DescribeGroupsRequest_v3, DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Schema, String


# "Not told", for which there is a value of its own.
_UNKNOWN = -(2**31)


class Operation(IntEnum):
    """AclOperation's codes, the numbers of the bits (Kafka's AclEntry.supportedOperations, Utils.to32BitField)."""

    READ = 3
    WRITE = 4


class _MetadataResponseV8(Response):  # type: ignore[misc] # aiokafka has no types
    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", String("utf-8")), ("port", Int32), ("rack", String("utf-8"))),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", Array(Int32)),
                        ("isr", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class _MetadataRequestV8(RequestStruct):  # type: ignore[misc] # as above
    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = _MetadataResponseV8
    SCHEMA = Schema(
        ("topics", Array(String("utf-8"))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class TopicsAndRights(Request[_MetadataRequestV8]):  # type: ignore[misc] # as above
    """Ask for topics by name, none of which it makes. Brokers before 2.3 do not know it (`NotImplementedError`)."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """Return what goes over the wire."""
        return request_struct_class(self._topics, False, False, True)


class _DescribeGroupV3(RequestStruct):  # type: ignore[misc] # as above
    # aiokafka's own (0.14) reads the answer as if it were of version 2, without the rights.
    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = DescribeGroupsRequest_v3.SCHEMA


class GroupAndRights(Request[_DescribeGroupV3]):  # type: ignore[misc] # as above
    """Ask a group's coordinator for it; as old as the request above."""

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: Any) -> Any:
        """Return what goes over the wire."""
        return request_struct_class([self._group], True)


def allows(operations: int, operation: Operation) -> bool | None:
    """Read `authorized_operations` of a topic or group; None when the broker does not tell."""
    return None if operations == _UNKNOWN else bool(operations >> operation & 1)
