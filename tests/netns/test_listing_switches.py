"""What conntrack.timestamps and conntrack.accounting change of the listing, held to Linux as in test_listing.py."""
from test_listing import BOXES, START, compare  # noqa: F401  (the scenario's switches)


def case_same_lines_with_timestamps_without_accounting(lab):
    """the same lines as conntrack(8) with delta-time= and without packets= and bytes="""
    theirs = compare(lab, ["-L", "-L -o extended,id -p sctp", "-L -p tcp -o timestamp"], conntrack__timestamps=True,
                     conntrack__accounting=False)
    lines = theirs["proc"][1]
    assert all("delta-time=N" in line and "packets=" not in line for line in lines), lines
