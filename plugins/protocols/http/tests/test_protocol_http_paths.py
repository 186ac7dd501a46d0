"""Paths are brought into one form before anything matches on them."""

import pytest

from plait_protocol_http import EdgeSettings
from plait_protocol_http.paths import Moved, Normalize, Refused, compile_normalization


def normalization(**settings: bool | str) -> Normalize:
    made = compile_normalization(EdgeSettings(**settings))  # type: ignore[arg-type]
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/a/b", b"/a/b"),
        (b"/a/./b", b"/a/b"),
        (b"/a/../b", b"/b"),
        (b"/../../b", b"/b"),
        (b"/a/b/..", b"/a/"),
        (b"/a/.", b"/a/"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/%61%2d%7E", b"/a-~"),
        (b"/%2f%c3", b"/%2f%c3"),
        (b"/a\\..\\b", b"/b"),
        (b"/a//b", b"/a//b"),
        (b"/a..b/.c", b"/a..b/.c"),
        (b"/a/../b?x=/../y", b"/b?x=/../y"),
        (b"*", b"*"),
        (b"", b""),
    ],
)
def test_normalize_path(path: bytes, expected: bytes) -> None:
    assert normalization(normalize_path=True)(path) == expected


def test_normal_form_is_its_own_normal_form() -> None:
    normalize = normalization(normalize_path=True, merge_slashes=True)
    for path in (b"/a/..//b/%2e/c", b"/%252e%252e/x", b"/..//../"):
        once = normalize(path)
        assert normalize(once) == once or b"%" in path


def test_nul_in_a_path_is_refused() -> None:
    with pytest.raises(Refused):
        normalization(normalize_path=True)(b"/a%00b")


def test_merge_slashes() -> None:
    assert normalization(merge_slashes=True)(b"//a///b//?q=//") == b"/a/b/?q=//"


def test_escaped_slashes_can_be_refused_unescaped_or_redirected() -> None:
    path = b"/a%2Fb%5c?q=%2f"
    with pytest.raises(Refused):
        normalization(escaped_slashes="reject_request")(path)
    assert normalization(escaped_slashes="unescape_and_forward")(path) == b"/a/b\\?q=%2f"
    with pytest.raises(Moved) as moved:
        normalization(escaped_slashes="unescape_and_redirect")(path)
    assert moved.value.args == (b"/a/b\\?q=%2f",)
    assert normalization(escaped_slashes="reject_request")(b"/a?q=%2f") == b"/a?q=%2f"


def test_unescaped_slashes_take_part_in_normalization() -> None:
    assert normalization(escaped_slashes="unescape_and_forward", normalize_path=True)(b"/a/..%2fb") == b"/b"


def test_nothing_to_do_costs_nothing() -> None:
    assert compile_normalization(EdgeSettings()) is None
