"""Supervisor, workers, drain and admin server; no protocol knowledge.

``run`` and ``validate`` are all that others need. Importing this package imports next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plait.api.config import Bootstrap
    from plait.runtime.options import RunOptions

__all__ = ["run", "validate"]


def run(options: RunOptions) -> int:
    """Run a sidecar until a signal ends it; the exit code.

    Raises ConfigError, ConfigErrors or PluginError when it cannot start. Call it from the main thread.
    """
    if options.mode == "validate":
        validate(options)
        return 0
    import signal

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    from plait.runtime.spawning import fork, send_blocking

    loader = workers = None
    if options.concurrency > 0:
        # What everybody needs is imported once; then children start before anything else is: they and we get ready
        # at the same time.
        from plait.runtime import loader as loading
        from plait.runtime import worker as working

        loader = fork(loading.main, "mesh-loader")
        send_blocking(loader.sock, options)
        workers = [
            fork(working.main, f"mesh-worker-{slot}", "--slot", str(slot), "--log-level", options.log_level)
            for slot in range(options.concurrency)
        ]
    from plait.runtime.supervisor import supervise

    return supervise(options, loader, workers or [])


def validate(options: RunOptions) -> Bootstrap:
    """Read, translate and provision the configuration, and run nothing.

    Raises ConfigError, ConfigErrors or PluginError.
    """
    from plait.runtime.configuration import load

    return load(options).bootstrap
