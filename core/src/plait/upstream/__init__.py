"""Clusters at work: endpoints, load balancing, circuit breakers, DNS, connecting. No routing rules here."""

from plait.upstream.cluster import Cluster, ConnectionPool, Host
from plait.upstream.connect import ConnectFailed, closed, connect

__all__ = ["Cluster", "ConnectFailed", "ConnectionPool", "Host", "closed", "connect"]
