"""The benchmark: Plait beside Envoy, HAProxy and nginx, in turns on one core. Run it as `python -m bench`."""
