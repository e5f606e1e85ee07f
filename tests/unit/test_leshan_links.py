"""Links in Leshan's JSON."""

from flownexus.leshan.links import content_formats, iter_object_links, object_versions


def test_links_of_a_registration_give_its_objects_and_instances() -> None:
    links = [
        {"url": "/", "attributes": {"rt": '"oma.lwm2m"'}},
        {"url": "/3/0"},
        {"url": "/5"},
        "/3303/0",
        7,
        {},
    ]
    assert list(iter_object_links(links)) == ["/3/0", "/5", "/3303/0"]
    assert list(iter_object_links("nonsense")) == []


def test_the_root_link_of_a_registration_gives_its_content_formats() -> None:
    def root(url: str, **attributes: str) -> list[object]:
        return [{"url": "/3/0", "attributes": {"ct": "1"}}, 7, {}, {"url": url, "attributes": attributes}]

    assert content_formats(root("/", ct='"60 110 112 11542"')) == (60, 110, 112, 11542)
    assert content_formats(root("/lwm2m", rt='"oma.lwm2m"', ct="110")) == (110,)
    assert content_formats(root("/lwm2m", ct="110")) is None
    for nonsense in ('"', "x", '"60,110"', "-1", "9" * 6):
        assert content_formats(root("/", ct=nonsense)) is None
    assert content_formats("nonsense") is None


def test_the_link_of_an_object_gives_its_version() -> None:
    links = [
        {"url": "/", "attributes": {"ver": "9.9"}},
        {"url": "/3", "attributes": {"ver": "1.2"}},
        {"url": "/5", "attributes": {"ver": '"1.1"'}},
        {"url": "/20", "attributes": {"ver": "one"}},
        {"url": "/3303/0", "attributes": {}},
        "/3304/0",
        {"url": "/3305", "attributes": None},
    ]
    assert object_versions(links) == {"3": "1.2", "5": "1.1"}
    assert object_versions([]) == {}
    assert object_versions(None) is None
