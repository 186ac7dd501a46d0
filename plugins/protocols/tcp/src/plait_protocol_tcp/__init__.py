"""TCP proxying for Plait: tcp_proxy, bytes to bytes."""
