"""The rule tables against the service model they complete."""

from __future__ import annotations

import subprocess
import sys

from botocore.loaders import Loader

from garcon.engine.core import rules, tables
from garcon.engine.core.tables import ATTRIBUTES, CLOSING, DECISION_ATTRIBUTES, DECISIONS, EVENTS
from garcon.engine.service.operations import OPERATIONS
from garcon.engine.servicemodel import service_model

MODEL = Loader().load_service_model("swf", "service-2")
SHAPES = MODEL["shapes"]


def test_every_operation_of_the_model_is_there() -> None:
    """All 39, and none of our own invention."""
    assert set(OPERATIONS) == set(MODEL["operations"])
    assert len(OPERATIONS) == 39


def test_every_event_of_the_model_is_there_with_its_attributes() -> None:
    """All 54; each attribute member exists in the event shape."""
    assert set(EVENTS) == set(SHAPES["EventType"]["enum"])
    assert set(ATTRIBUTES.values()) <= set(SHAPES["HistoryEvent"]["members"])


def test_every_decision_of_the_model_is_there_with_its_attributes() -> None:
    """All 13."""
    assert set(DECISIONS) == set(SHAPES["DecisionType"]["enum"])
    assert set(DECISION_ATTRIBUTES.values()) <= set(SHAPES["Decision"]["members"])


def test_every_close_status_of_the_model_has_its_event() -> None:
    """Six ways to end."""
    assert set(CLOSING.values()) == set(SHAPES["CloseStatus"]["enum"])


def test_the_quotas_are_those_that_aws_publishes() -> None:
    """What is open at once, registered, kept in a history, waiting at a list."""
    published = {
        "MAX_HISTORY_EVENTS": 25_000,
        "MAX_OPEN_ACTIVITIES": 1_000,
        "MAX_OPEN_TIMERS": 1_000,
        "MAX_OPEN_CHILDREN": 1_000,
        "MAX_OPEN_EXECUTIONS": 100_000,
        "MAX_DOMAINS": 100,
        "MAX_TYPES": 10_000,
        "MAX_POLLERS": 1_000,
        "MAX_DOMAIN_TAGS": 50,
        "MAX_PAGE": 1_000,
        "MAX_RUN_S": 366 * 86_400,
        "MAX_LAMBDA_S": 900,
    }
    assert {name: getattr(tables, name) for name in published} == published


def test_every_rule_is_about_a_shape_that_exists() -> None:
    """A misspelt shape would leave a value unchecked."""
    assert set(rules.SHAPE_RULES) <= set(SHAPES)
    for structure, member in rules.MEMBER_RULES:
        assert member in SHAPES[structure]["members"]


def test_the_model_that_is_read_is_the_one_botocore_uses() -> None:
    """The same file, found without importing botocore."""
    model = service_model()
    assert model["shapes"].keys() == SHAPES.keys()
    assert model["operations"].keys() == MODEL["operations"].keys()
    assert model["metadata"]["apiVersion"] == MODEL["metadata"]["apiVersion"]


def test_the_engine_starts_without_importing_boto() -> None:
    """Neither boto3 nor botocore: they cost more than the rest of the start."""
    code = "import sys, garcon.engine.__main__; print({'boto3', 'botocore'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
