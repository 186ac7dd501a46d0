"""What is measured, by name.

To add a scenario (another protocol, say), append a `Scenario` to a list here: its `config` names the files in
`configs/`, its `load` is any `bench.load.Load`, its `start_upstream` starts whatever answers, and its `probe` makes one
request and returns what the proxy was seen to do.
"""

from bench import http1, http2
from bench.rpc import scenarios as rpc
from bench.scenario import Scenario


def all_scenarios() -> dict[str, Scenario]:
    return {scenario.name: scenario for scenario in (*http1.scenarios(), *http2.scenarios(), *rpc.scenarios())}
