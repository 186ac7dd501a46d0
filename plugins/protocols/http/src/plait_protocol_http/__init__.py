"""HTTP's edge for Plait: http_connection_manager, for any HTTP codec."""
