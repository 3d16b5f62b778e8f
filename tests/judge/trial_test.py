#!/usr/bin/env python3
"""The judge's own parts, without boxes and without root: what it reads, what it makes, and that it sees differences."""
import itertools
import os
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "netns")]

from trial import compare, differences, listing, packets  # noqa: E402  (the path must be set first)
from trial.contest import by_port, listed_by_port, same_state  # noqa: E402
from trial.conversation import KINDS, NETS, Conversation  # noqa: E402
from trial.language import LanguageError, Text, tell  # noqa: E402
from trial.packets import Decoded  # noqa: E402
from trial.scenario import Scenario, all_scenarios  # noqa: E402
from trial.wires import frame  # noqa: E402

LINE = ("tcp      6 99 SYN_SENT src=192.168.1.10 dst=203.0.113.10 sport=40000 dport=80 packets=1 bytes=40 [UNREPLIED] "
        "src=203.0.113.10 dst=203.0.113.1 sport=80 dport=40000 packets=0 bytes=0 mark=0 use=1")
PROC = "ipv4     2 " + LINE.replace(" use=1", " zone=0 use=2")


class Language(unittest.TestCase):
    def test_packets_are_told_as_they_were_written(self):
        for text in ("tcp in1:40000 > out1:80 SA", "udp out1:53 > in1:5353", "icmp in1 > out1 echo-request id 7",
                     'tcp in1:1 > out1:21 PA text "PORT 1,2\\r\\n"', "proto 50 in1 > out1 frag 8 more",
                     "sctp in1:1 > out1:2", "tcp in1v6:1 > out1v6:2 S", "proto 59 in1v6 > out1v6",
                     "icmpv6 out1v6 > in1v6 packet-too-big mtu 1280 quote [udp in1v6:1 > out1v6:53]",
                     "udp in1v6 > out1v6 frag 8 more", "icmpv6 in1v6 > out1v6 echo-request id 7",
                     "icmp out1 > in1 frag-needed mtu 576 quote [udp in1:1 > out1:53]"):
            decoded = Decoded(Text(text).packet())
            self.assertEqual(tell(decoded), text)
            self.assertTrue(decoded.ip_ok and decoded.l4_ok, text)

    def test_what_is_broken_on_purpose_is_broken(self):
        self.assertFalse(Decoded(Text("tcp in1:1 > out1:2 S badsum").packet()).l4_ok)
        self.assertFalse(Decoded(Text("udp in1:1 > out1:2 data 9 badipsum").packet()).ip_ok)
        self.assertEqual(len(Text("udp in1:1 > out1:2 data 9 cut 25").packet()), 25)

    def test_headers_of_ipv6_stand_as_they_are_written(self):
        packet = Text("udp in1v6:1 > out1v6:2 data 20 hop 05020000 dest 01020000 atomic ipid 7").packet()
        decoded = Decoded(packet)
        self.assertEqual((packet[6], decoded.chain, decoded.ident, decoded.sport), (0, [0, 60, 44], 7, 1))
        self.assertEqual(packet[40:48].hex(), "3c00050200000100")       # PadN behind the router alert
        self.assertTrue(decoded.l4_ok and decoded.fragmented)

    def test_slices_make_the_whole_packet(self):
        parts = [Text(f"udp in1v6:1 > out1v6:2 data 40 slice {part} ipid 7").packet() for part in ("0-24", "24-")]
        whole = Text("udp in1v6:1 > out1v6:2 data 40").packet()
        self.assertEqual(b"".join(part[48:] for part in parts), whole[40:])
        self.assertEqual([(d.frag, d.more) for d in map(Decoded, parts)], [(0, True), (24, False)])

    def test_nonsense_is_refused(self):
        for text in ("tcp in1:1 > out1:2", "tcp in1:1 out1:2 S", "udp in1:1 > out9:2", "udp in1:1 > out1:2 colour 3",
                     "udp in1v6:1 > out1:2"):
            with self.assertRaises(LanguageError, msg=text):
                Text(text).packet()

    def test_tcp_options(self):
        decoded = Decoded(Text("tcp in1:1 > out1:2 A mss 1460 wscale 7 sack 5-9 sackok").packet())
        self.assertEqual(decoded.tcp_options.hex(), "020405b4" "0402" "01030307" "0101050a0000000500000009" "0000")


class Comparison(unittest.TestCase):
    def setUp(self):
        self.sent = Text("udp in1:5353 > out1:53 data 9").packet()

    def masks(self, random=False):
        return compare.Masks(random, {53, 5353})

    def test_a_changed_byte_is_seen(self):
        for sent in (self.sent, Text("udp in1v6:5353 > out1v6:53 data 9 slice 0-16").packet()):
            one = frame("wan", sent)
            for at in range(len(one)):
                other = bytearray(one)
                other[at] ^= 1
                self.assertNotEqual(self.masks().seen(one, {0x1234}), self.masks().seen(bytes(other), {0x1234}), at)

    def test_a_chosen_port_is_masked_by_its_class_only(self):
        def seen(port, random=True):
            return self.masks(random).seen(frame("wan", Text(f"udp wan:{port} > out1:53 data 9").packet()), {0x1234})
        self.assertEqual(seen(30000), seen(40000))
        self.assertNotEqual(seen(30000), seen(700))
        self.assertNotEqual(seen(30000), seen(5353))
        self.assertNotEqual(seen(30000, False), seen(40000, False))
        broken = frame("wan", Text("udp wan:40000 > out1:53 data 9 badsum").packet())
        self.assertNotEqual(seen(30000), self.masks(True).seen(broken, {0x1234}))

    def test_a_chosen_port_of_sctp_takes_its_checksum_along(self):
        def sctp(port, more=""):
            return f"sctp wan:{port} > out1:53 vtag 1 hex 0b000004 {more}"

        def seen(text):
            return self.masks(True).seen(frame("wan", Text(text).packet()), {0x1234})
        for quoted in ("{}", "icmp out1 > wan port-unreachable quote [{}] quoted 16",
                       "icmpv6 out1v6 > wanv6 no-route quote [{}]"):
            def about(port, more=""):
                text = sctp(port, more)
                return quoted.format(text.replace("wan:", "wanv6:").replace("out1:", "out1v6:") if "v6" in quoted else
                                     text)
            self.assertEqual(seen(about(30000)), seen(about(40000)))
            self.assertNotEqual(seen(about(30000)), seen(about(700)))
            self.assertNotEqual(seen(about(30000)), seen(about(40000, "badsum")))
        cut = "icmp out1 > wan port-unreachable quote [{}] quoted 12"       # nobody knows what would be right
        self.assertEqual(seen(cut.format(sctp(30000))), seen(cut.format(sctp(40000))))

    def test_passes_means_one_hop_and_nothing_else(self):
        def out(text):
            return compare.out_text({"lan": [], "wan": [frame("wan", Text(text).packet())]}, [self.sent], "lan",
                                    self.masks())
        self.assertEqual(out("udp in1:5353 > out1:53 data 9 ttl 63"), "passes")
        self.assertNotEqual(out("udp in1:5353 > out1:53 data 9 ttl 64"), "passes")
        self.assertNotEqual(out("udp in1:5353 > out1:53 data 8 ttl 63"), "passes")
        self.assertEqual(compare.out_text({"lan": [], "wan": []}, [self.sent], "lan", self.masks()), "dropped")

    def test_addresses_of_listings_are_read_alike(self):
        long = listing.flows(["ipv6     10 udp      17 9 src=2001:0db8:0001:0000:0000:0000:0000:0010 "
                              "dst=2001:0db8:0002:0000:0000:0000:0000:0010 sport=1 dport=2 packets=1 bytes=9 "
                              "[UNREPLIED] src=2001:0db8:0002:0000:0000:0000:0000:0010 "
                              "dst=2001:0db8:0001:0000:0000:0000:0000:0010 sport=2 dport=1 packets=0 bytes=0 mark=0 "
                              "zone=0 use=2"])[0]
        short = listing.flows(["udp      17 9 src=2001:db8:1::10 dst=2001:db8:2::10 sport=1 dport=2 packets=1 bytes=9 "
                               "[UNREPLIED] src=2001:db8:2::10 dst=2001:db8:1::10 sport=2 dport=1 packets=0 bytes=0 "
                               "mark=0 use=1"])[0]
        self.assertEqual(long.same_words(), short.same_words())
        self.assertEqual(long.short(), "udp 9s in1v6:1>out1v6:2 / out1v6:2>in1v6:1 unreplied 1+0 packets")

    def test_both_listings_are_read_alike(self):
        a, b = listing.flows([LINE])[0], listing.flows([PROC])[0]
        self.assertEqual(a.same_words(), b.same_words())
        self.assertEqual(a.short(), "tcp SYN_SENT 99s in1:40000>out1:80 / out1:80>wan:40000 unreplied 1+0 packets")
        for change in (("SYN_SENT", "SYN_RECV"), ("[UNREPLIED] ", ""), ("bytes=40", "bytes=41"), ("mark=0", "mark=1"),
                       ("dport=40000", "dport=40001")):
            other = listing.flows([LINE.replace(*change)])
            self.assertFalse(compare.same_flows([a], other), change)
        self.assertFalse(compare.same_flows([a], listing.flows([LINE.replace(" 99 ", " 96 ")])))
        self.assertTrue(compare.same_flows([a], listing.flows([LINE.replace(" 99 ", " 98 ")])))

    def test_a_text_may_be_a_second_off_and_no_more(self):
        self.assertTrue(compare.same_text("udp 35s a>b", "udp 34s a>b"))
        self.assertFalse(compare.same_text("udp 35s a>b", "udp 33s a>b"))
        self.assertFalse(compare.same_text("udp 35s a>b", "udp 35s a>b unreplied"))
        self.assertFalse(compare.same_text("none", ["udp 35s a>b", "udp 35s a>c"]))


class Conversations(unittest.TestCase):
    def test_a_number_names_a_conversation_for_ever(self):
        for kind, number, family in ((k, n, f) for f in NETS for k in KINDS[f] for n in range(50)):
            with self.subTest(kind=kind, number=number, family=family):
                one, two = (Conversation("7", number, (kind,), family) for _ in range(2))
                answer_to = NETS[family].a
                self.assertEqual([p.packet(20000, answer_to) for p in one.said],
                                 [p.packet(20000, answer_to) for p in two.said])

    def test_a_scenario_says_the_same_packets(self):
        """What minimising writes down is what was played."""
        for number, (family, net) in itertools.product(range(300), NETS.items()):
            conversation = Conversation("7", number, ("icmp", "errors"), family)
            for packet in conversation.said:
                text = packet.text(20000, net.name("in1"))
                if not text.startswith(("<", ">")):
                    self.assertEqual(Text(text).packet(), packet.packet(20000, net.a), text)
            for packet in Conversation("7", number, ("sctp",), family).said:
                ends = (net.name("in1") + ":20000", net.name("out1") + ":80")
                way = " > ".join(ends if packet.side == 0 else reversed(ends))
                text = f"sctp {way} {packet.text(20000, None)[2:]}"
                self.assertEqual(Text(text).packet(), packet.packet(20000, net.a), text)

    def test_packets_and_lines_are_found_by_port(self):
        error = Text("icmp out1 > in1 port-unreachable quote [udp in1:20007 > out1:53 data 9]").packet()
        frames = {"lan": [frame("lan", error)], "wan": [frame("wan", Text("udp in1:20007 > out1:53").packet())]}
        self.assertEqual(list(by_port(frames)), [20007])
        mine = listed_by_port([LINE.replace("40000", "20009")])
        its = listed_by_port([PROC.replace("40000", "20009")])
        self.assertTrue(same_state(mine[20009], its[20009]))
        self.assertFalse(same_state(mine[20009], listed_by_port([LINE.replace("40000", "20009").replace(
            "SYN_SENT", "CLOSE")])[20009]))


class Files(unittest.TestCase):
    def test_every_scenario_can_be_read(self):
        headings = differences.headings()
        for path in all_scenarios():
            scenario = Scenario(path)
            self.assertFalse(scenario.pending and scenario.differs, path)
            self.assertTrue(scenario.differs is None or scenario.differs in headings, path)
            for step in scenario.steps:
                if step.recorded:
                    self.assertIsNotNone(step.state, f"{path}: not recorded")
        self.assertGreaterEqual(len(all_scenarios()), 150)


if __name__ == "__main__":
    unittest.main()
