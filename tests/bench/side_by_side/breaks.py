"""SIGINT and SIGTERM: the first one breaks a run off, and nothing breaks off what puts the machine back.

Ctrl-C is often pressed again when tidying takes a second. The first signal raises KeyboardInterrupt in the main thread,
further ones are noted only. What takes changes back runs within `held`: a signal that comes then, also the first one,
raises behind it. It is blocked as well, because a terminal sends Ctrl-C to the commands that tidy, too, and those
inherit the mask.
"""
import contextlib
import signal

NUMBERS = (signal.SIGINT, signal.SIGTERM)


class State:
    """Of this process, as handlers are."""
    first: int | None = None    # signal that broke the run off
    holding = 0
    due = False                 # it came within `held`, and raises behind that


def handle(number: int, _frame) -> None:
    if State.first is not None:
        return
    State.first = number
    if State.holding:
        State.due = True
    else:
        raise KeyboardInterrupt


def install() -> None:
    """Also where a shell has them ignored."""
    State.first, State.holding, State.due = None, 0, False
    for number in NUMBERS:
        signal.signal(number, handle)


@contextlib.contextmanager
def held():
    """What is done within cannot be broken off. May be nested. Main thread."""
    State.holding += 1      # first, so that the handler raises nothing from here on
    before = signal.pthread_sigmask(signal.SIG_BLOCK, NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)      # what has come meanwhile is handled here
        State.holding -= 1
        if State.due and not State.holding:
            State.due = False
            raise KeyboardInterrupt


def ignore() -> None:
    """From here on to the end of the process."""
    for number in NUMBERS:
        signal.signal(number, signal.SIG_IGN)


def exit_status() -> int:
    """As a shell has it; 0 when nothing has broken the run off."""
    return 128 + State.first if State.first is not None else 0
