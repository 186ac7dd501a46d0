"""Discovery, loading, hook specifications and the catalogue of plugins."""
