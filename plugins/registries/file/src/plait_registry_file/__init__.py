"""A watched YAML or JSON file as a service registry for Plait."""
