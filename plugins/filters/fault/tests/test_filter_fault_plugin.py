"""The plugin as a whole, by the rules for all plugins and for all stream filters."""

from plait.testing import FakeContext, FakeStream, check_plugin, run_filter
from plait_filter_fault import Abort, Delay, FaultFilter, FaultSettings, Share

ALWAYS = Share(1_000_000)


def test_plugin_keeps_the_rules() -> None:
    registered = check_plugin("filters:fault")
    assert [found.name for found in registered] == ["envoy.filters.http.fault"]


def test_request_that_is_delayed_goes_on_whole(plait_context: FakeContext) -> None:
    delayed = FaultFilter(FaultSettings(delay=Delay(ALWAYS, 0.001)), plait_context)
    stream = run_filter(delayed, FakeStream("POST", body=[b"he", b"llo"]), context=plait_context)
    assert stream.forwarded
    assert (stream.forwarded_body, stream.flags) == (b"hello", ("DI",))


def test_request_that_is_aborted_after_a_delay_ends_there(plait_context: FakeContext) -> None:
    faulty = FaultFilter(FaultSettings(delay=Delay(ALWAYS, 0.001), abort=Abort(ALWAYS, 503)), plait_context)
    stream = run_filter(faulty, FakeStream("POST", body=b"hello"), context=plait_context)
    assert not stream.forwarded
    assert stream.response is not None
    assert (stream.response.status, stream.flags) == (503, ("DI", "FI"))
