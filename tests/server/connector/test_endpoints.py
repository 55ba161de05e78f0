"""What the text of an endpoint says."""

from __future__ import annotations

import pytest

from smartconnectors_server.connector import host_of, same_place


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("127.0.0.1:9000", "127.0.0.1"),
        ("https://Graph.Facebook.com./v26.0", "graph.facebook.com"),
        ("https://user@api.example.com:1/x", "api.example.com"),
        ("[::1]:9000", "::1"),
        ("https://[broken", ""),
        ("", ""),
    ],
)
def test_an_endpoint_names_a_host(endpoint: str, host: str) -> None:
    assert host_of(endpoint) == host


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("127.0.0.1:9000", "http://127.0.0.1:9000/bids", True),
        ("https://a.example", "https://A.example:443/x", True),
        ("http://a.example", "https://a.example", False),
        ("127.0.0.1:9000", "127.0.0.1:9001", False),
        ("127.0.0.1:9000", "localhost:9000", False),
        ("https://[broken", "https://[broken", False),
        ("a.example:99999999", "a.example:99999999", False),
        ("", "", False),
    ],
)
def test_a_place_is_a_host_with_a_port(one: str, other: str, same: bool) -> None:
    assert same_place(one, other) is same
