"""api: tags, filters and profiles."""

from __future__ import annotations

import json

import pytest

from flownexus.store.profile import _Stored
from tests.fixtures.fleet import EP, FLEET, PLAN, PROFILE
from tests.fixtures.function import Start
from tests.fixtures.statements import Statements

ROWS = FLEET


# ---------------------------------------------------------------------------------------------------------
# Tags and filters


def test_a_tag_is_set_in_its_caller_s_name(start: Start, statements: Statements) -> None:
    answer = start(statements).send("PUT", "/v1/endpoints/a%2Fb/tags/site", {"value": "ber;lin'"})
    assert answer.json() == {"tags": {"site": "berlin"}}
    [asked] = statements.of("set_tag")
    assert asked == {"endpoint": "a/b", "key": "site", "value": "ber;lin'", "set_by": "api", "max_tags": 50}


@pytest.mark.parametrize(
    ("path", "body", "detail"),
    [
        ("/v1/endpoints/a/tags/-", {"value": "x"}, "a tag's key is 1 to 63 letters, digits"),
        ("/v1/endpoints/a/tags/a;b", {"value": "x"}, "a tag's key is"),
        ("/v1/endpoints/a/tags/a", {"value": 1}, "value: a text of at most 255 characters"),
        ("/v1/endpoints/a/tags/a", {"value": "x" * 256}, "value: a text of"),
        ("/v1/endpoints/a/tags/a", {"value": "\0"}, "value: a text of"),
        ("/v1/endpoints/a/tags/a", {"value": "x", "more": 1}, "more: is unknown; there is value"),
        ("/v1/endpoints/a/tags/a", [], "the body is"),
    ],
)
def test_a_tag_that_is_not_valid_is_refused(
    start: Start, statements: Statements, path: str, body: object, detail: str
) -> None:
    answer = start(statements).send("PUT", path, body)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (422, True), answer.text
    assert statements.sent == []


def test_tags_of_an_endpoint_never_seen_and_a_tag_that_is_not_there_are_a_404(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    statements.rows["remove_tag"] = []
    answer = function.send("DELETE", "/v1/endpoints/a/tags/site")
    assert (answer.status_code, answer.json()["detail"]) == (404, "'a' has no tag 'site'")
    statements.rows |= {"tags": [], "set_tag": []}
    for method, path in (("GET", "tags"), ("PUT", "tags/site"), ("DELETE", "tags/site")):
        answer = function.send(method, f"/v1/endpoints/nobody/{path}", {"value": "x"})
        assert (answer.status_code, answer.json()["detail"]) == (404, "no endpoint 'nobody' has been seen")
    assert function.send("GET", "/v1/endpoints/no%00body/tags").status_code == 404


def test_of_tags_there_may_be_so_many(start: Start, statements: Statements) -> None:
    statements.rows["set_tag"] = []
    answer = start(statements).send("PUT", "/v1/endpoints/a/tags/site", {"value": "x"})
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "'a' has 50 tags, and no more may; remove one",
    )


def test_what_fits_a_filter_is_counted_with_three_names(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", "/v1/matching?filter=%20name==sim-*%20;tag.site!=x")
    assert answer.json() == {"filter": "name==sim-*;tag.site!=x", "count": 12, "examples": ["a", "b", "c"]}
    [asked] = statements.of("matching_endpoints")
    assert asked["filter"].obj == {
        "all": [
            {"field": "name", "like": "sim-%"},
            {"not": {"field": "tag", "key": "site", "like": "x"}},
        ]
    }


def test_what_is_no_filter_is_refused_by_its_column(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", "/v1/matching?filter=name==a;fww==1")
    assert (answer.status_code, answer.json()["detail"][:32]) == (422, "filter: column 9: 'fww' is no fi")
    assert statements.sent == []


# ---------------------------------------------------------------------------------------------------------
# Profiles


def test_a_profile_is_stored_with_its_filter_as_a_tree_and_its_endpoints_are_looked_at(
    start: Start, statements: Statements
) -> None:
    body = {"filter": "model==t*", "priority": 7, "plan": PLAN, "awake_time_s": 20, "content_format": "TLV"}
    body["firmware_way"] = "push"
    answer = start(statements).send("PUT", "/v1/profiles/trackers", body)
    assert (answer.status_code, answer.headers["Location"]) == (201, "/function/api/v1/profiles/trackers")
    assert answer.json() == PROFILE.as_json()
    [asked], [looked] = statements.of("put_profile"), statements.of("look_at_endpoints_of_profile")
    tree = {"field": "model", "like": "t%"}
    assert (asked["name"], asked["filter"], asked["tree"].obj) == ("trackers", "model==t*", tree)
    assert (asked["priority"], json.loads(json.dumps(asked["plan"].obj))) == (7, PLAN)
    assert (asked["changed_by"], asked["firmware_way"]) == ("api", "push")
    assert (asked["awake_time_s"], asked["request_timeout_s"], asked["enabled"]) == (20, None, True)
    assert (looked["id"], looked["tree"].obj) == (2, tree)
    statements.rows["put_profile"] = [_Stored(2, False)]
    assert start(statements).send("PUT", "/v1/profiles/trackers", body).status_code == 200


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ([], "a profile is a JSON object with filter, priority, plan"),
        ({"plan": PLAN, "fliter": ""}, "fliter: is unknown; the fields are filter, priority, plan"),
        ({"plan": PLAN, "filter": "nam==a"}, "filter: column 1: 'nam' is no field"),
        ({"plan": PLAN, "filter": 1}, "filter: is a text such as"),
        ({"plan": PLAN, "filter": "fw==1;profile==a"}, "filter: compares profile, which is what it decides"),
        ({"plan": PLAN, "priority": 1001}, "priority: is a whole number from 0 to 1000"),
        ({"plan": PLAN, "enabled": "yes"}, "enabled: is true or false"),
        ({"plan": PLAN, "awake_time_s": 0}, "awake_time_s: is whole seconds from 1 to 86400, or null"),
        ({"plan": PLAN, "request_timeout_s": 1.5}, "request_timeout_s: is whole seconds"),
        ({"plan": PLAN, "content_format": "XML"}, "content_format: is one of TLV, SENML_CBOR"),
        ({"plan": PLAN, "firmware_way": "ftp"}, "firmware_way: is one of http, coap, push, or null"),
        ({}, "plan: Expected `array`, got `null`; an entry is"),
        ({"plan": [{"operation": "write", "paths": ["/3"]}]}, "plan: Invalid enum value 'write' - at"),
        ({"plan": [{"operation": "read", "paths": []}]}, "plan[0].paths: are 1 to 100"),
        ({"plan": [{"operation": "read", "paths": ["/3/0/1/2"]}]}, "plan[0].paths: '/3/0/1/2' is no path"),
        ({"plan": [{"operation": "read", "paths": ["/*"]}]}, "plan[0].paths: '/*' is no path"),
        ({"plan": [{"operation": "read", "paths": ["/70000"]}]}, "plan[0].paths: "),
        (
            {"plan": [{"operation": "read", "paths": ["/3"], "attributes": {"pmax": 1}}]},
            "plan[0].attributes: belong to an observation",
        ),
        (
            {"plan": [{"operation": "observe", "paths": ["/3"], "attributes": {"gt": 1}}]},
            "plan[0].attributes: gt is an attribute of a resource",
        ),
        (
            {"plan": [{"operation": "observe", "paths": ["/3"], "attributes": {"pmax": None}}]},
            "plan[0].attributes: leave one out",
        ),
        (
            {"plan": [{"operation": "observe", "paths": ["/3"], "reports_within": 0}]},
            "plan[0].reports_within: is seconds from 1",
        ),
        ({"plan": PLAN * 51}, "plan: has 102 entries, and at most 100 are taken"),
    ],
)
def test_a_profile_that_is_not_valid_is_refused_with_what_would_be(
    start: Start, statements: Statements, body: object, detail: str
) -> None:
    answer = start(statements).send("PUT", "/v1/profiles/trackers", body)
    assert (answer.status_code, answer.json()["detail"].startswith(detail)) == (422, True), answer.text
    assert statements.sent == []


def test_a_name_that_no_profile_can_have_is_refused_or_not_there(
    start: Start, statements: Statements
) -> None:
    function = start(statements)
    answer = function.send("PUT", "/v1/profiles/A", {"plan": []})
    assert (answer.status_code, "small letters" in answer.json()["detail"]) == (422, True)
    statements.rows["profile"] = []
    for name in ("A", "x", "a'; DROP TABLE profile"):
        for method in ("GET", "DELETE"):
            assert function.send(method, f"/v1/profiles/{name}").status_code == 404


def test_of_profiles_there_may_be_so_many(start: Start, statements: Statements) -> None:
    statements.rows["put_profile"] = []
    answer = start(statements).send("PUT", "/v1/profiles/trackers", {"plan": []})
    assert (answer.status_code, "100 profiles" in answer.json()["detail"]) == (422, True)


def test_a_device_s_plan_says_what_became_of_each_thing_and_why(start: Start, statements: Statements) -> None:
    answer = start(statements).send("GET", f"{EP}/plan").json()
    assert (answer["profile"], answer["registered"]) == ("trackers", True)
    told = [(each["operation"], each["path"], each["state"], each["reason"]) for each in answer["plan"]]
    assert told == [
        ("write-attributes", "/3303/0/5700", "to-be-queued", None),
        ("observe", "/3303/0/5700", "refused", "5.00"),
        ("read", "/3", "to-be-queued", None),
    ]
    statements.rows["plan_of_endpoint"] = []
    for name in ("nobody", "no%00body"):
        assert start(statements).send("GET", f"/v1/endpoints/{name}/plan").status_code == 404
