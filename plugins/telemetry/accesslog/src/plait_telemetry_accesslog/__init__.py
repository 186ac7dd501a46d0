"""Access logs for Plait in Envoy's text and JSON formats."""
