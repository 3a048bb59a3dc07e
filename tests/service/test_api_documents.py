"""docs/openapi.json and docs/api.md describe the API that there is."""

import json
from pathlib import Path

import pytest
from harness.node import make_node
from harness.web_server import web_services
from starlette.routing import Route

from mailserver.api.problems import PROBLEMS, TYPES
from mailserver.api.sent_messages import _message
from mailserver.api.wording import notice_words, state_words
from mailserver.app.web_site import build_api
from mailserver.audit.wording import Language
from mailserver.model.address import parse_address
from mailserver.model.ids import JobId
from mailserver.model.notice import NoticeState
from mailserver.service.timelines import DeliveryState, HeardState, MessageTimeline, RecipientTimeline
from mailserver.store.jobs import AttemptRow

DOCS = Path(__file__).parents[2] / "docs"
OPENAPI = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
SCHEMAS = OPENAPI["components"]["schemas"]
TEXT = (DOCS / "api.md").read_text(encoding="utf-8")


def test_the_same_paths_and_methods(tmp_path):
    node = make_node(tmp_path)
    api = build_api(node.services, web_services(node).throttle)
    served = {
        (route.path, method.lower())
        for route in api.routes
        if isinstance(route, Route)
        for method in route.methods - {"HEAD"}
    }
    node.close()
    told = {(path, method) for path, methods in OPENAPI["paths"].items() for method in methods}
    assert served == told
    for path, _method in served:
        assert path.replace("{sent_id}", "{id}") in TEXT


def test_the_same_fields():
    attempt = AttemptRow(JobId(bytes(16)), 1, 0, "delivered", 250)
    recipient = RecipientTimeline(
        parse_address("a@b.localhost"),
        DeliveryState.HANDED_OVER,
        [attempt],
        next_try_at=0,
        heard=HeardState(NoticeState.FAILED, 0, 902),
    )
    shown = _message(MessageTimeline(bytes(16), "<a@b>", 0, [recipient]), Language.ENGLISH)
    of_recipient = shown["recipients"][0]
    for name, found in (
        ("Message", shown),
        ("Recipient", of_recipient),
        ("Attempt", of_recipient["attempts"][0]),
        ("Notice", of_recipient["notice"]),
    ):
        assert list(found) == SCHEMAS[name]["required"] == list(SCHEMAS[name]["properties"]), name
        assert all(f'"{field}"' in TEXT for field in found)
    assert shown["sent_at"] == of_recipient["next_try_at"] == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("state", DeliveryState)
def test_every_state_is_told_and_worded(state):
    assert f"| `{state}` |" in TEXT
    assert state.value in SCHEMAS["Recipient"]["properties"]["state"]["description"]
    assert state_words(state, Language.FRENCH) != state_words(state, Language.ENGLISH)


def test_every_problem_is_told():
    assert TYPES in TEXT
    for code, problem in PROBLEMS.items():
        assert f"`{code}`" in TEXT, code
        assert str(problem.status) in TEXT


def test_every_reference_leads_somewhere():
    def walk(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"].removeprefix("#/components/schemas/")
            for each in value.values():
                yield from walk(each)
        elif isinstance(value, list):
            for each in value:
                yield from walk(each)

    assert set(walk(OPENAPI)) == SCHEMAS.keys()


@pytest.mark.parametrize("state", [each for each in NoticeState if each is not NoticeState.SENT])
def test_each_state_of_a_notice_is_told_and_worded(state):
    assert f"`{state.value}`" in TEXT
    assert state.value in SCHEMAS["Notice"]["properties"]["state"]["description"]
    french, english = (notice_words(HeardState(state, 0, 902), language) for language in Language)
    assert french != english
    assert ("902" in french) == (state is NoticeState.FAILED)
