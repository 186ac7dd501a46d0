"""The router filter for Plait: virtual hosts, matches, retries and redirects."""
