"""How a program here is asked to end: Ctrl-C, SIGTERM, or the terminal that it runs in is closed. Whichever comes, what
it has set up in the kernel is taken down, and nothing that comes later breaks that off.
"""
import os
import signal
import sys

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def deaf():
    """From here on nobody is listened to any more."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def on_ending(then):
    """Calls `then(number)`, which raises, when the first of these signals comes. In the background a shell has SIGINT
    ignored: it is asked for in so many words."""
    def handler(number, _):
        deaf()
        if number == signal.SIGHUP:  # nobody is left to write to, and a write would fail
            sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")
        then(number)

    for number in SIGNALS:
        signal.signal(number, handler)
