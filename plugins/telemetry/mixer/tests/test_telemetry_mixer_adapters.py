"""denier and list."""

import pytest

from plait import CheckResult, ConfigErrors, QuotaResult
from plait.plugins import structure
from plait_telemetry_mixer.adapters import Denier, DenierSettings, ListChecker, ListSettings, StatusSettings


def test_denier_refuses_with_its_status() -> None:
    settings = structure(
        DenierSettings,
        {"status": {"code": 16, "message": "who?"}, "valid_duration": "1m", "valid_use_count": 7},
    )
    denier = Denier(settings)
    assert denier.check("checknothing", {}) == CheckResult(16, "who?", 60.0, 7)
    assert denier.allocate("quota", {}, 5, True) == QuotaResult(0, 60.0)


def test_denier_refuses_permission_for_five_seconds_by_default() -> None:
    assert Denier(DenierSettings()).check("checknothing", {}) == CheckResult(7, "", 5.0, 1000)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"status": {"code": "NO"}}, "'NO' is not a google.rpc.Code such as PERMISSION_DENIED or 7"),
        ({"status": {"code": 17}}, "17 is not a google.rpc.Code"),
        ({"status": {"code": 0}}, "OK refuses nothing"),
        ({"valid_duration": "5"}, "'5' is not a duration"),
        ({"valid_use_count": -1}, "valid_use_count is -1"),
    ],
)
def test_bad_parameters_of_denier_are_refused(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        structure(DenierSettings, params)
    assert message in str(caught.value)


def said(settings: ListSettings, value: str) -> tuple[int, str]:
    result = ListChecker(settings).check("listentry", {"value": value})
    return result.status, result.message


@pytest.mark.parametrize(
    ("entry_type", "entries", "inside", "outside"),
    [
        ("STRINGS", ("a", "b"), "a", "A"),
        ("CASE_INSENSITIVE_STRINGS", ("A",), "a", "b"),
        ("IP_ADDRESSES", ("10.0.0.0/8", "10.1.0.0/16", "1.2.3.4", "fd00::/8"), "10.200.0.1", "11.0.0.1"),
        ("IP_ADDRESSES", ("1.2.3.4",), "::ffff:1.2.3.4", "1.2.3.5"),
        ("IP_ADDRESSES", ("fd00::/8",), "fd12::1", "fe00::1"),
        ("REGEX", ("^v[0-9]+$",), "v12", "v"),
    ],
)
def test_list_lets_pass_what_is_in_it_and_a_blacklist_what_is_not(
    entry_type: str, entries: tuple[str, ...], inside: str, outside: str
) -> None:
    allowed = structure(ListSettings, {"overrides": entries, "entry_type": entry_type})
    refused = structure(ListSettings, {"overrides": entries, "entry_type": entry_type, "blacklist": True})
    assert said(allowed, inside) == (0, "")
    assert said(allowed, outside) == (7, f"{outside} is not whitelisted")
    assert said(refused, inside) == (7, f"{inside} is blacklisted")
    assert said(refused, outside) == (0, "")


def test_address_that_is_none_is_an_invalid_argument() -> None:
    assert said(ListSettings(("1.2.3.4",), entry_type="IP_ADDRESSES"), "x") == (3, "x is not a valid IP address")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"entry_type": "REGEX", "overrides": ["("]}, "regular expression '('"),
        ({"entry_type": "IP_ADDRESSES", "overrides": ["x"]}, "'x' does not appear to be"),
        ({"entry_type": "GLOBS"}, "entry_type"),
        ({"caching_interval": "soon"}, "'soon' is not a duration"),
    ],
)
def test_bad_parameters_of_list_are_refused(params: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        structure(ListSettings, params)
    assert message in str(caught.value)


def test_status_may_be_named() -> None:
    settings = DenierSettings(StatusSettings("NOT_FOUND", "gone"))
    assert Denier(settings).check("checknothing", {}).status == 5
