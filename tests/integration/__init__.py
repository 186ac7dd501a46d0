"""The data plane in this process, on real loopback sockets, between scripted clients and upstreams."""
