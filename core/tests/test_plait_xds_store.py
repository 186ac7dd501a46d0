"""The config store: deltas, several sources, acceptance and refusal."""

import pickle

import pytest

from plait.api import Address, Cluster, ConfigError, Endpoint, Endpoints, Listener, PlaitError, RouteConfiguration
from plait.xds.store import ConfigStore, Resources, Update


def at(port: int, host: str = "127.0.0.1") -> Endpoint:
    return Endpoint(Address(host, port))


def listener(name: str, port: int = 80) -> Listener:
    return Listener(name, Address("127.0.0.1", port))


def put(store: ConfigStore, source: str, resources: Resources | None) -> Update:
    update = store.set_source(source, resources)
    store.accept(update)
    return update


def test_first_update_holds_everything() -> None:
    store = ConfigStore()
    resources = Resources((listener("in"),), (Cluster("a"),), (), (RouteConfiguration("r"),))
    update = put(store, "bootstrap", resources)
    assert update == Update(1, {"in": listener("in")}, {"a": Cluster("a")}, {}, {"r": RouteConfiguration("r")})
    assert store.everything() == update
    assert pickle.loads(pickle.dumps(update)) == update


def test_update_holds_only_what_changed_and_what_went() -> None:
    store = ConfigStore()
    put(store, "bootstrap", Resources((listener("in"), listener("out", 81)), (Cluster("a"), Cluster("b"))))
    update = put(store, "bootstrap", Resources((listener("in"), listener("new", 82)), (Cluster("a", "strict_dns"),)))
    assert update.listeners == {"new": listener("new", 82)}
    assert update.removed_listeners == ("out",)
    assert update.clusters == {"a": Cluster("a", "strict_dns")}
    assert update.removed_clusters == ("b",)
    assert not put(store, "bootstrap", Resources((listener("in"), listener("new", 82)), (Cluster("a", "strict_dns"),)))


def test_bootstrap_wins_over_a_registry_that_names_the_same_cluster() -> None:
    store = ConfigStore()
    put(store, "a-registry", Resources(services=(Endpoints("a", (at(1),)),)))
    assert store.get("clusters", "a") == Cluster("a", "eds")
    update = put(store, "bootstrap", Resources(clusters=(Cluster("a", endpoints=(at(9),)),)))
    assert update.clusters == {"a": Cluster("a", endpoints=(at(9),))}
    assert update.removed_endpoints == ("a",)


def test_service_becomes_a_cluster_and_its_instances_change_alone() -> None:
    store = ConfigStore()
    update = put(store, "registry", Resources(services=(Endpoints("a", (at(1),)),)))
    assert update.clusters == {"a": Cluster("a", "eds")}
    assert update.endpoints == {"a": Endpoints("a", (at(1),))}
    update = put(store, "registry", Resources(services=(Endpoints("a", (at(1), at(2))),)))
    assert not update.clusters
    assert update.endpoints == {"a": Endpoints("a", (at(1), at(2)))}
    update = put(store, "registry", None)
    assert update.removed_clusters == ("a",)
    assert update.removed_endpoints == ("a",)


def test_service_on_host_names_becomes_a_dns_cluster() -> None:
    store = ConfigStore()
    update = put(store, "registry", Resources(services=(Endpoints("a", (at(1, "backend.local"),)),)))
    assert update.clusters == {"a": Cluster("a", "strict_dns", endpoints=(at(1, "backend.local"),))}
    assert not update.endpoints


def test_eds_cluster_takes_endpoints_of_its_service() -> None:
    store = ConfigStore()
    put(store, "registry", Resources(services=(Endpoints("orders:1.0", (at(1),)),)))
    cluster = Cluster("orders", "eds", eds_service_name="orders:1.0")
    update = put(store, "bootstrap", Resources(clusters=(cluster,)))
    assert update.clusters == {"orders": cluster}
    assert update.endpoints == {"orders": Endpoints("orders", (at(1),))}
    assert update.removed_clusters == ("orders:1.0",)


def test_changed_eds_cluster_brings_its_endpoints_along() -> None:
    store = ConfigStore()
    put(store, "registry", Resources(services=(Endpoints("a", (at(1),)),)))
    put(store, "bootstrap", Resources(clusters=(Cluster("a", "eds"),)))
    update = put(store, "bootstrap", Resources(clusters=(Cluster("a", "eds", lb_policy="random"),)))
    assert update.endpoints == {"a": Endpoints("a", (at(1),))}


def test_instances_of_several_registries_come_together() -> None:
    store = ConfigStore()
    put(store, "zookeeper", Resources(services=(Endpoints("a", (at(1), at(2))),)))
    put(store, "consul", Resources(services=(Endpoints("a", (at(2), at(3))),)))
    assert store.get("endpoints", "a") == Endpoints("a", (at(2), at(3), at(1)))


def test_explicit_endpoints_win_over_registries() -> None:
    store = ConfigStore()
    put(store, "bootstrap", Resources(clusters=(Cluster("a", "eds"),)))
    put(store, "registry", Resources(services=(Endpoints("a", (at(1),)),)))
    put(store, "xds", Resources(endpoints=(Endpoints("a", (at(2),)), Endpoints("unasked", (at(3),)))))
    assert store.get("endpoints", "a") == Endpoints("a", (at(2),))
    assert store.get("endpoints", "unasked") is None


def test_result_does_not_depend_on_the_order_in_which_sources_spoke() -> None:
    said = {
        "bootstrap": Resources(clusters=(Cluster("a", "eds"), Cluster("b"))),
        "x": Resources(clusters=(Cluster("b", lb_policy="random"), Cluster("c"))),
        "y": Resources(clusters=(Cluster("c", lb_policy="random"),), services=(Endpoints("a", (at(1),)),)),
    }
    stores = [ConfigStore(), ConfigStore()]
    for source in said:
        put(stores[0], source, said[source])
    for source in reversed(said):
        put(stores[1], source, said[source])
    assert stores[0].everything() == stores[1].everything()
    assert stores[0].get("clusters", "c") == Cluster("c")


def test_rejected_update_keeps_the_old_state_and_tells_why() -> None:
    store = ConfigStore(clock=lambda: 7.0)
    put(store, "bootstrap", Resources((listener("in"),), (Cluster("a"),)))
    before = store.everything()
    update = store.set_source("bootstrap", Resources((listener("in", 81), listener("new", 82))))
    undo = store.reject(update, "listener 'new': port taken")
    assert undo.version > update.version
    assert undo.listeners == {"in": listener("in")}
    assert undo.removed_listeners == ("new",)
    assert undo.clusters == {"a": Cluster("a")}
    assert store.everything() == before
    states = {state.name: state for state in store.states("listeners")}
    assert states["in"].resource == listener("in")
    assert states["in"].version == "1"
    assert states["new"].resource is None
    assert states["new"].failure is not None
    assert states["new"].failure.details == "listener 'new': port taken"
    assert store.failures()["bootstrap"].at == 7.0
    put(store, "bootstrap", Resources((listener("in"),)))
    assert [(state.name, state.failure) for state in store.states("listeners")] == [("in", None)]
    assert not store.failures()


def test_second_proposal_waits_for_the_first() -> None:
    store = ConfigStore()
    update = store.set_source("bootstrap", Resources())
    with pytest.raises(PlaitError, match="neither accepted nor rejected"):
        store.set_source("registry", Resources())
    store.accept(update)
    with pytest.raises(PlaitError, match="not the one proposed"):
        store.accept(update)


def test_name_given_twice_by_one_source_is_refused_and_nothing_is_proposed() -> None:
    store = ConfigStore()
    with pytest.raises(ConfigError, match="names clusters 'a' twice"):
        store.set_source("bootstrap", Resources(clusters=(Cluster("a"), Cluster("a"))))
    assert put(store, "bootstrap", Resources(clusters=(Cluster("a"),)))


def test_subscribers_hear_accepted_updates_until_they_leave() -> None:
    store = ConfigStore()
    heard: list[int] = []
    leave = store.subscribe(lambda update: heard.append(update.version))
    put(store, "bootstrap", Resources(clusters=(Cluster("a"),)))
    store.reject(store.set_source("bootstrap", Resources()), "no")
    leave()
    put(store, "bootstrap", Resources())
    assert heard == [1]


def test_state_tells_source_version_and_time() -> None:
    store = ConfigStore(clock=lambda: 5.0)
    put(store, "bootstrap", Resources(clusters=(Cluster("a"),)))
    put(store, "ads", Resources(clusters=(Cluster("b"),), version="v7"))
    assert [(s.name, s.source, s.version, s.updated) for s in store.states("clusters")] == [
        ("a", "bootstrap", "1", 5.0),
        ("b", "ads", "v7", 5.0),
    ]
