"""The dump of the configuration: Envoy's lists, defaults left out, refusals told."""

from typing import Any

from plait.api import Address, Bootstrap, Cluster, Endpoint, Endpoints, Listener, Node
from plait.runtime.config_dump import config_dump, moment
from plait.xds.store import ConfigStore, Resources


def test_moment_is_written_as_protobuf_does() -> None:
    assert moment(1.5) == "1970-01-01T00:00:01.500Z"


def dumped(store: ConfigStore, **more: str) -> dict[str, dict[str, Any]]:
    dump = config_dump(Bootstrap(Node("n")), 0.0, store, **more)
    return {section["@type"].rpartition(".")[2]: section for section in dump["configs"]}


def put(store: ConfigStore, source: str, resources: Resources) -> None:
    store.accept(store.set_source(source, resources))


def test_bootstrap_is_static_and_other_sources_are_dynamic() -> None:
    store = ConfigStore(clock=lambda: 0.0)
    put(store, "bootstrap", Resources((Listener("in", Address("::", 1)),), (Cluster("a"),)))
    put(store, "file", Resources(services=(Endpoints("b", (Endpoint(Address("::1", 2)),)),)))
    put(store, "ads", Resources((Listener("out", Address("::", 3)),), version="v3"))
    sections = dumped(store)
    assert sections["BootstrapConfigDump"]["bootstrap"] == {"node": {"id": "n"}}
    clusters = sections["ClustersConfigDump"]
    assert clusters["static_clusters"] == [
        {
            "version_info": "1",
            "source": "bootstrap",
            "cluster": {"name": "a"},
            "last_updated": "1970-01-01T00:00:00.000Z",
        }
    ]
    assert [one["cluster"] for one in clusters["dynamic_active_clusters"]] == [{"name": "b", "type": "eds"}]
    assert len(sections["EndpointsConfigDump"]["dynamic_endpoint_configs"]) == 1
    (out,) = sections["ListenersConfigDump"]["dynamic_listeners"]
    assert out["name"] == "out"
    assert out["active_state"]["version_info"] == "v3"


def test_refused_resources_carry_the_reason() -> None:
    store = ConfigStore()
    put(store, "ads", Resources((Listener("in", Address("::", 1)),)))
    changed = Resources((Listener("in", Address("::", 2)), Listener("new", Address("::", 3))))
    store.reject(store.set_source("ads", changed), "port taken")
    listeners = dumped(store)["ListenersConfigDump"]["dynamic_listeners"]
    assert [(one["name"], "active_state" in one, one["error_state"]["details"]) for one in listeners] == [
        ("in", True, "port taken"),
        ("new", False, "port taken"),
    ]
    refused = config_dump(Bootstrap(), 0.0, store)["refused"]
    assert [(one["source"], one["details"]) for one in refused] == [("ads", "port taken")]


def test_one_list_and_names_can_be_picked() -> None:
    store = ConfigStore()
    put(store, "bootstrap", Resources(clusters=(Cluster("a"), Cluster("b"))))
    dump = config_dump(Bootstrap(), 0.0, store, resource="static_clusters", name_regex="^b")
    assert [(one["@type"], one["cluster"]["name"]) for one in dump["configs"]] == [
        ("type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster", "b")
    ]
