"""UDP proxying for Plait: udp_proxy with sessions."""
