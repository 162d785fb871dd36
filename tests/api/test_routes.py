"""Templates of paths: what they match, and what stands in place of their names."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farthing.api.routes import Templates, names_of

KNOWN = (
    "/v1/holds/{id}",
    "/v1/holds/{id}/settle",
    "/v1/holds/mine",
    "/v1/{noun}/{id}/log",
    "/v1/accounts/{account}/entries/{number}",
)
ROUTES = Templates(KNOWN)


@pytest.mark.parametrize(
    ("path", "template", "names"),
    [
        (b"/v1/holds/a", KNOWN[0], {"id": "a"}),
        (b"/v1/holds/a/settle", KNOWN[1], {"id": "a"}),
        (b"/v1/holds/mine", KNOWN[2], {}),
        (b"/v1/holds/mine/settle", KNOWN[1], {"id": "mine"}),
        (b"/v1/holds/a/log", KNOWN[3], {"noun": "holds", "id": "a"}),
        (b"/v1/holds/mine/log", KNOWN[3], {"noun": "holds", "id": "mine"}),
        (b"/v1/accounts/a%2Fb/entries/7", KNOWN[4], {"account": "a/b", "number": "7"}),
        (b"/v1/holds/%7Bid%7D", KNOWN[0], {"id": "{id}"}),
        (b"/v1/holds/{id}", KNOWN[0], {"id": "{id}"}),
        (b"/v1/holds/a+b%20c", KNOWN[0], {"id": "a+b c"}),
        (b"/v1/holds/%00", KNOWN[0], {"id": "\0"}),
    ],
)
def test_a_path_finds_its_template(path: bytes, template: str, names: dict[str, str]):
    assert ROUTES.find(path) == (template, names)


@pytest.mark.parametrize(
    "path",
    [
        b"", b"/", b"/v1", b"/v1/", b"/v1/holds", b"/v1/holds/", b"/v1/holds//settle", b"/v1/holds/a/",
        b"/v1/holds/a/b",
        b"/V1/holds/a", b"/v1/holds/a/settle/x", b"//v1/holds/a", b"v1/holds/a", b"/v1/accounts/a/b/entries/7",
        b"/v1/holds/%ff", b"/v1/holds/%c3/settle", b"/v1/holds%2Fa",
    ],
)  # fmt: skip
def test_other_paths_find_none(path: bytes):
    assert ROUTES.find(path) is None


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_text_goes_through_a_path(text: str):
    assert ROUTES.find(f"/v1/holds/{quote(text, safe='')}/settle".encode()) == (KNOWN[1], {"id": text})


def test_the_names_of_a_template_are_in_order():
    assert [names_of(template) for template in KNOWN] == [["id"], ["id"], [], ["noun", "id"], ["account", "number"]]
