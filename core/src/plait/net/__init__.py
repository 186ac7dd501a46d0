"""Listeners, accepted connections and the coarse clock. No streams here."""

from plait.net.listener import Chain, ListenerServer
from plait.net.wheel import Timed, TimerWheel

__all__ = ["Chain", "ListenerServer", "Timed", "TimerWheel"]
