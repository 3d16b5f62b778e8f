"""What conntrack.timestamps and conntrack.accounting change of events, held to Linux as in test_events.py."""
from test_events import BOXES, START, compare  # noqa: F401  (the scenario's switches)


def case_same_events_with_timestamps_without_accounting(lab):
    """the same events as conntrack(8) with delta-time=, dates, and without packets= and bytes="""
    compare(lab, conntrack__timestamps=True, conntrack__accounting=False)
