#!/usr/bin/env python3
"""Random conversations through Linux and through sluice, compared packet by packet: verdict, bytes and listing.

    generate.py --count 10000 --seed 7            as many conversations, of all kinds
    generate.py --kinds tcp --save /tmp/found     only TCP; what differs is minimised and written as scenario files
    generate.py --family 6                        over IPv6
    generate.py --seed 7 --only 4711              one conversation, told packet by packet

Conversations go in batches: hundreds of flows at once, each with a port of its own, in lockstep (trial/contest.py).
sluice is its data plane in process here, not the daemon: the same pipeline code, without AF_XDP's waits and with a
clock that can be told; with the daemon 10,000 conversations would take an hour. Linux is the kernel, on real wires.
Every other batch goes through a box that masquerades. Exit status: 0 no difference, 1 some, 77 not root.
"""
import argparse
import collections
import os
import pathlib
import signal
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]

from trial import language, packets  # noqa: E402  (the path must be set first)
from trial.contest import FIRST_PORT, Contest, play_all  # noqa: E402
from trial.conversation import KINDS, NETS, Conversation  # noqa: E402
from trial.language import HOSTS  # noqa: E402
from trial.minimise import minimise, scenario_text  # noqa: E402
from trial.pair import Pair  # noqa: E402
from trial.scenario import merged, rules_of  # noqa: E402

# Far enough apart to be told from each other by seconds, though the two boxes' clocks are not the same.
TIMEOUTS = ("tcp_close", "tcp_last_ack", "tcp_syn_recv", "tcp_close_wait", "tcp_time_wait", "tcp_syn_sent",
            "tcp_fin_wait", "udp", "udp_stream", "icmp", "icmpv6", "generic", "tcp_max_retrans", "tcp_unacknowledged",
            "tcp_established", "sctp_closed", "sctp_cookie_wait", "sctp_cookie_echoed", "sctp_established",
            "sctp_shutdown_sent", "sctp_shutdown_recd", "sctp_shutdown_ack_sent", "sctp_heartbeat_sent")
RULES = {"routed": "in1", "masquerade": "wan"}     # and whom servers answer


def configuration(name):
    timeouts = {key: f"{200 + 60 * place}s" for place, key in enumerate(TIMEOUTS)}
    # Nothing is for the box itself: in process there is no kernel that would answer.
    return merged(rules_of(name), {"conntrack": {"timeouts": timeouts}, "filter": {"input": {
        "policy": "drop", "rules": []}}})


def tell(difference, port):
    """What differs, for people."""
    conversation = difference.conversation
    lines = [f"conversation {conversation.number} ({conversation.kind}), packet {difference.at + 1}:"
             f" {conversation.said[difference.at].text(port, NETS[conversation.family].name('in1'))}"]
    for name, (frames, state) in (("linux", difference.linux), ("sluice", difference.sluice)):
        for side, frame in frames or [("", b"")]:
            lines.append(f"  {name:6} sends  " + (f"{side}: {language.tell_packet(frame[packets.ETHER:])}" if frame
                                                  else "nothing"))
        lines += [f"  {name:6} lists  {left}s {words}" for words, left in state] or [f"  {name:6} lists  nothing"]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"), help="build directory")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--kinds", help="default: all that the family has")
    parser.add_argument("--family", type=int, choices=(4, 6), default=4)
    parser.add_argument("--batch", type=int, default=1000, help="conversations at once")
    parser.add_argument("--show", type=int, default=8, help="kinds of differences to minimise and show")
    parser.add_argument("--save", help="a folder for what was minimised, as scenarios")
    parser.add_argument("--only", type=int, help="one conversation, by its number")
    options = parser.parse_args()
    has = KINDS[options.family]
    kinds = tuple(options.kinds.split(",")) if options.kinds else tuple(has)
    if not set(kinds) <= set(has):
        parser.error(f"--kinds {options.kinds}: there are {','.join(has)}")
    if os.geteuid() != 0:
        print("namespaces need root: skipped")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that `finally` runs
    started, differed, sent = time.monotonic(), 0, 0
    seen = collections.OrderedDict()
    with Pair(os.path.abspath(options.build), "process") as pair:
        numbers = [options.only] if options.only is not None else range(options.count)
        for turn, first in enumerate(range(0, len(numbers), options.batch)):
            for rules in (RULES if options.only is not None else [list(RULES)[turn % 2]]):
                batch = [Conversation(options.seed, n, kinds, options.family)
                         for n in numbers[first:first + options.batch]]
                pair.load_config(configuration(rules))
                answer_to = HOSTS[NETS[options.family].name(RULES[rules])]
                contest = Contest(pair.linux, pair.sluice, packets.ip_bytes(answer_to))
                found = play_all(contest, batch)
                differed, sent = differed + len(found), sent + contest.packets
                for difference in found:
                    known = seen.setdefault((rules, *difference.kind()), [0, None])
                    known[0] += 1
                    if known[1] is None and sum(one[1] is not None for one in seen.values()) < options.show:
                        shortest = minimise(contest, difference)
                        known[1] = (rules, difference, shortest)
    for count, shown in sorted(seen.values(), key=lambda one: -one[0]):
        if shown is None:
            continue
        rules, difference, shortest = shown
        print(f"--- {count} like this ({rules}); seed {options.seed}\n{tell(difference, FIRST_PORT)}")
        if shortest is None:
            print("alone it does not differ")
            continue
        text = scenario_text(shortest, rules)
        print(text)
        if options.save:
            folder = pathlib.Path(options.save)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"seed_{options.seed}_{shortest.number}.yaml").write_text(text)
    print(f"{len(numbers)} conversations, {sent} packets, {differed} differ in {len(seen)} ways; seed {options.seed}, "
          f"{time.monotonic() - started:.0f} s")
    return 1 if differed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
