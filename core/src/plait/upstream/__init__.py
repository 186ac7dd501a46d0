"""Clusters at work: endpoints, load balancing, health checks, circuit breakers, DNS, connecting. No routing rules."""

from plait.upstream.cluster import Cluster, ClusterStats, ConnectionPool, Host
from plait.upstream.connect import ConnectFailed, closed, connect

__all__ = ["Cluster", "ClusterStats", "ConnectFailed", "ConnectionPool", "Host", "closed", "connect"]
