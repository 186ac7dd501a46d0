"""What the supervisor counts about itself."""

from plait.api import Address, Cluster, Listener
from plait.runtime.server_stats import ServerStats
from plait.xds.store import ConfigStore, Resources


def test_changes_of_the_store_are_counted_as_envoy_does() -> None:
    store = ConfigStore()
    own = ServerStats(store, 2)

    def put(*resources: object) -> None:
        listeners = tuple(one for one in resources if isinstance(one, Listener))
        clusters = tuple(one for one in resources if isinstance(one, Cluster))
        store.accept(store.set_source("bootstrap", Resources(listeners, clusters)))

    put(Listener("in", Address("::", 1)), Cluster("a"), Cluster("b"))
    put(Listener("in", Address("::", 2)), Cluster("a"))
    delta = own.stats.take()
    assert delta.counters["listener_manager.listener_added"] == 1
    assert delta.counters["listener_manager.listener_modified"] == 1
    assert delta.counters["cluster_manager.cluster_added"] == 2
    assert delta.counters["cluster_manager.cluster_removed"] == 1
    assert delta.counters["server.config_update_success"] == 2
    assert delta.gauges["cluster_manager.active_clusters"] == 1
    assert delta.gauges["server.concurrency"] == 2


def test_state_is_told_in_envoys_numbers() -> None:
    own = ServerStats(ConfigStore(), 1)
    own.tell("LIVE", 0.0, 1)
    gauges = own.stats.take().gauges
    assert (gauges["server.live"], gauges["server.state"], gauges["server.workers_live"]) == (1, 0, 1)
    own.tell("DRAINING", 0.0, 0)
    gauges = own.stats.take().gauges
    assert (gauges["server.live"], gauges["server.state"], gauges["server.workers_live"]) == (0, 1, 0)
