#!/usr/bin/env python3
"""tools/bench without running anything: traffic, what programs print, figures, reports."""
import copy
import ipaddress
import json
import pathlib
import shutil
import struct
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from side_by_side import __main__ as command_line  # noqa: E402  (the path must be set first)
from side_by_side import cpu, figures, machine_facts, plots, report, rounds, traffic  # noqa: E402
from side_by_side.peers import PEERS, Component, Unable, dpdk_acl, dpdk_hash, latency, linux_nft, ovs  # noqa: E402
from side_by_side.peers import sluice_bench, sluiced, testpmd  # noqa: E402
from side_by_side.peers.peer import Counts  # noqa: E402
from side_by_side.setting import Case, LabError  # noqa: E402

RECORDED = HERE / "recorded"
RESULTS = json.loads((RECORDED / "results.json").read_text())
LATENCY = [
    {"program": program, "load": load, "rate_mpps": 0.4, "p50_us": 9.0, "p99_us": 20.0, "p999_us": 50.0,
     "max_us": 800.0 * load, "sent": 100000, "lost": 3, "reordered": 0, "generator_pause_us": 700.0,
     "program_waited_us": 40.0} for program in ("sluiced", "testpmd-io") for load in (10, 50)]


def recorded(name: str) -> str:
    return (RECORDED / name).read_text()


def ones_sum(data: bytes) -> int:
    """The plain one's complement sum of RFC 1071, by 16-bit words; 0xffff over data with a right checksum."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class TrafficTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.traffic = traffic.Traffic(pathlib.Path(self.directory.name))

    def tearDown(self):
        self.directory.cleanup()

    def frames(self, protocol, flows, direction="out"):
        path = self.traffic.file(protocol, flows, direction)
        self.assertEqual(path.stat().st_size, 24 + flows * (16 + 60))
        return traffic.read_pcap(path)

    def test_checksums_are_right(self):
        for protocol in ("udp", "tcp"):
            for direction in ("out", "in"):
                for frame in self.frames(protocol, 3000, direction):
                    ip, l4 = frame[14:34], frame[34:]
                    self.assertEqual(ones_sum(ip), 0xffff)
                    self.assertNotEqual(l4[6:8] if protocol == "udp" else b"ok", b"\0\0")
                    pseudo = ip[12:20] + struct.pack("!HH", traffic.PROTOCOLS[protocol], len(l4))
                    self.assertEqual(ones_sum(pseudo + l4), 0xffff)

    def test_headers(self):
        frame = self.frames("udp", 1)[0]
        self.assertEqual(frame[:14].hex(), "027063617000" "020000000001" "0800")
        self.assertEqual(str(ipaddress.ip_address(frame[26:30])), "10.1.1.0")
        self.assertEqual(str(ipaddress.ip_address(frame[30:34])), "198.51.100.1")
        self.assertEqual(struct.unpack("!HHH", frame[34:40]), (10000, 53, 60 - 14 - 20))
        tcp = self.frames("tcp", 1)[0]
        self.assertEqual((tcp[23], tcp[47]), (6, 0x10))

    def test_every_flow_once_in_random_order(self):
        def tuples(frames):
            return [frame[26:38] for frame in frames]

        flows = tuples(self.frames("udp", 40000))
        self.assertEqual(len(set(flows)), 40000)
        self.assertNotEqual(flows, sorted(flows))
        again = traffic.Traffic(pathlib.Path(self.directory.name) / "again")
        again.directory.mkdir()
        self.assertEqual(flows, tuples(traffic.read_pcap(again.file("udp", 40000))))

    def test_a_source_port_occurs_once_for_a_server(self):
        mappings = {(frame[30:34], frame[34:36]) for frame in self.frames("udp", 70000)}
        self.assertEqual(len(mappings), 70000)

    def test_answers_go_to_the_masqueraded_flows(self):
        out = {(frame[30:34], frame[36:38], frame[34:36]) for frame in self.frames("udp", 500)}
        back = self.frames("udp", 500, "in")
        self.assertEqual({(frame[26:30], frame[34:36], frame[36:38]) for frame in back}, out)
        self.assertEqual({str(ipaddress.ip_address(frame[30:34])) for frame in back}, {traffic.WAN_ADDRESS})

    def test_too_many_flows_are_refused(self):
        with self.assertRaises(ValueError):
            self.traffic.file("udp", traffic.MOST_FLOWS + 1)


class PeersTest(unittest.TestCase):
    def test_testpmd(self):
        text = recorded("testpmd.txt")
        self.assertEqual(testpmd.parse_counts(text), (15142656, 14972032))
        self.assertIsNone(testpmd.parse_counts(text[:len(text) // 2]))

    def test_ovs(self):
        self.assertEqual(ovs.parse_counts(recorded("ovs-dpctl-show.txt")), (204544, 89408))
        with self.assertRaisesRegex(Unable, "no such ports: lan"):
            ovs.parse_counts(recorded("ovs-dpctl-show.txt").partition("  port 3")[0])

    def test_sluiced(self):
        self.assertEqual(sluiced.parse_ports(recorded("sluicectl-ports.json")), (2672416, 1367058))

    def test_linux(self):
        text = recorded("proc-net-dev.txt")
        self.assertEqual(linux_nft.parse_dev(text, "lan0"), (728750, 7))
        self.assertEqual(linux_nft.parse_dev(text, "wan0"), (0, 646567))
        with self.assertRaises(ValueError):
            linux_nft.parse_dev(text, "an0")

    def test_hash(self):
        text = recorded("dpdk-test-hash.txt")
        rows = dpdk_hash.parse_table(text)
        self.assertEqual([row["key_bytes"] for row in rows], [4, 8, 16, 32, 48, 64, 9, 13, 37, 40])
        self.assertEqual(rows[0], {"key_bytes": 4, "add": 128, "lookup": 274, "lookup_bulk": 86, "delete": 279})
        self.assertEqual(rows[-1], {"key_bytes": 40, "add": 138, "lookup": 391, "lookup_bulk": 110, "delete": 390})

    def test_half_a_hash_table_is_none(self):
        text = recorded("dpdk-test-hash.txt")
        whole = dpdk_hash.parse_table(text)
        for length in range(len(text)):
            self.assertIn(dpdk_hash.parse_table(text[:length]), ([], whole))

    def test_acl(self):
        self.assertEqual(dpdk_acl.parse_cycles(recorded("dpdk-test-acl.txt")), 1482.29)
        with self.assertRaisesRegex(Unable, "No such file"):
            dpdk_acl.parse_cycles("EAL: error\nrules: No such file\n\n")
        self.assertEqual(dpdk_acl.best_method("sse4_2 avx2"), ["--alg=avx2"])

    def test_acl_packets_hit_their_rule(self):
        for number in (0, 255, 256, 9999):
            _, network, _, _, _, port, _, _, _ = dpdk_acl.rule(number).split()[:9]
            src, dst, _, dport, proto = map(int, dpdk_acl.packet(number, 77).split())
            self.assertIn(ipaddress.ip_address(dst), ipaddress.ip_network(network))
            self.assertIn(ipaddress.ip_address(src), ipaddress.ip_network("10.0.0.0/8"))
            self.assertEqual((dport, proto), (int(port), 17))

    def test_sluice_bench(self):
        run = RESULTS["sluice_bench"][0]
        self.assertEqual(sluice_bench.parse(json.dumps(run)), {"sluice_bench": [run]})

    def test_sluice_bench_scenarios(self):
        run = copy.deepcopy(RESULTS["sluice_bench"][0])
        own = dict(run["cases"][0], scenario="E1", frames="64")
        others = [dict(own, frames="imix"), {"scenario": "N1", "rules": 10, "cycles_per_new_flow": 900.5},
                  {"scenario": "M1", "flows": 1000, "bytes_per_flow": 300.5}, {"scenario": "C1", "drops": {}}]
        parts = sluice_bench.parse(json.dumps(dict(run, cases=[own, *others])))
        self.assertEqual(parts["sluice_bench"][0]["cases"], [own])
        self.assertEqual(parts["scenarios"], others)
        self.assertEqual(parts["new_flow"], [{"rules": 10, "cycles": 900.5}])
        self.assertEqual(parts["memory"], [{"flows": 1000, "bytes_per_flow": 300.5}])
        text = report.markdown(dict(RESULTS, scenarios=others), command_line.TITLES, [])
        self.assertIn("| rules | cycles per new flow |\n| --- | --- |\n| 10 | 900.5 |\n", text)

    def test_latency(self):
        found = latency.parse("ready\n" + recorded("sluice-latency.json"))
        own = latency.own_rows("sluiced", found)
        self.assertEqual([row["load"] for row in own], [10, 50, 90])
        self.assertEqual(own[0], {
            "program": "sluiced", "load": 10, "rate_mpps": 1.046, "p50_us": 0.483, "p99_us": 0.739, "p999_us": 669.923,
            "max_us": 1884.3, "sent": 1045970, "lost": 189, "reordered": 0, "generator_pause_us": 1884.17,
            "program_waited_us": 0.0, "core_share": 1.0, "generator_share": 0.986})
        self.assertTrue(found["limited_by_generator"])
        self.assertEqual(latency.rows("sluiced", found["rates"], latency.LOADS, ()), [])
        with self.assertRaisesRegex(Unable, "3 of 1000 flows were answered"):
            latency.parse("ready\nsluice-latency: 3 of 1000 flows were answered\n")

    def test_latency_devices_have_the_box_s_addresses(self):
        inside, outside = latency.devices("/tmp/x/memif.sock")
        self.assertEqual(inside, "net_memif0,role=client,id=0,socket=/tmp/x/memif.sock,socket-abstract=no,"
                                 "mac=02:70:63:61:70:00")
        self.assertIn(",id=1,", outside)
        text = sluiced.configuration(sluiced.lan_and_wan(inside, outside, [1024] * 4), 1000, "/tmp/x/c", 1, 0, 64)
        self.assertIn(f'{{name: lan, device: "{inside}", role: inside', text)

    def test_queues_have_room_for_every_flow(self):
        for flows in (1, 1000, 65536, 1000000):
            lengths = sluiced.queues(flows)
            self.assertGreaterEqual(sum(lengths), flows + sluiced.SPARE_BUFFERS)
            self.assertTrue(len(lengths) >= 4 and len(lengths) % 2 == 0)
            self.assertTrue(all(length & (length - 1) == 0 and length <= 32768 for length in lengths))
        self.assertEqual(len(sluiced.queues(1000)), 4)      # no idle port without need


class OnePeer(PEERS[0]):
    """Forwards what it is told to."""

    def __init__(self, name, packets, problem=None):
        super().__init__(rounds.Setting(pathlib.Path("/"), 0, 0, None, None, seconds=0.001))
        self.name, self.packets, self.problem, self.calls, self.process = name, packets, problem, [], self
        self.pid, self.total = 1, 0

    def lacking(self):
        return None

    def start(self, case):
        self.calls.append("start")
        if self.problem:
            raise self.problem

    def counts(self):
        self.total += self.packets
        return Counts(self.total, self.total)

    def connections(self):
        return 5

    def stop(self):
        self.calls.append("stop")


class Half(Component):
    """Does a part of what it should."""
    name = "half"
    every_round = True

    def run(self, cases):
        return {"some": [1], "problems": [{"program": "half", "problem": "a part: no such device"}]}


class RoundsTest(unittest.TestCase):
    def run_with(self, peers, count=2, cases=(Case("udp", 5),)):
        results = {"samples": [], "problems": []}
        with open("/dev/null", "w", encoding="utf-8") as nowhere:
            rounds.Rounds(None, peers, [], list(cases), count, results, nowhere).run()
        return results

    def test_programs_take_turns(self):
        results = self.run_with([OnePeer("a", 10), OnePeer("b", 20)])
        self.assertEqual([(one["round"], one["program"], one["packets"]) for one in results["samples"]],
                         [(1, "a", 10), (1, "b", 20), (2, "a", 10), (2, "b", 20)])

    def test_what_cannot_run_is_said_once_and_the_run_goes_on(self):
        for problem in (Unable("no such device"), LabError("exit 1\nno such device")):
            broken, fine = OnePeer("broken", 1, problem), OnePeer("fine", 1)
            results = self.run_with([broken, fine])
            self.assertEqual([one["program"] for one in results["samples"]], ["fine", "fine"])
            self.assertEqual(len(results["problems"]), 1)
            self.assertIn("no such device", results["problems"][0]["problem"])
            self.assertEqual(broken.calls.count("start"), 1)        # not tried again
            self.assertEqual(broken.calls[:2], ["start", "stop"])

    def test_a_component_s_problems_are_said_once(self):
        half = Half(None)
        results = {"samples": [], "problems": []}
        with open("/dev/null", "w", encoding="utf-8") as nowhere:
            rounds.Rounds(None, [], [half], [], 2, results, nowhere).run()
        self.assertEqual(results["some"], [1, 1])
        self.assertEqual(results["problems"], [{"program": "half", "case": None, "problem": "a part: no such device"}])

    def test_what_is_not_installed_is_in_the_report(self):
        absent = OnePeer("absent", 1)
        absent.lacking = lambda: "it is not installed"
        results = self.run_with([absent])
        self.assertEqual(results["problems"], [{"program": "absent", "case": None, "problem": "it is not installed"}])
        self.assertEqual(absent.calls, [])

    def test_the_kernel_counts_by_its_time(self):
        peer = OnePeer("kernel", 0)
        peer.shares_core = True
        one = rounds.sample(peer, Case("udp", 1), 1, 2.0, (0.5, 0.5), Counts(1000000, 900000))
        self.assertAlmostEqual(one["mpps"], 1.8)
        self.assertAlmostEqual(one["lost"], 0.1)
        self.assertAlmostEqual(one["core_share"], 0.5)
        peer.shares_core = False
        one = rounds.sample(peer, Case("udp", 1), 1, 2.0, (2.0, 0.0), Counts(900000, 900000))
        self.assertEqual((one["mpps"], one["lost"], one["core_share"]), (0.45, 0.0, 1.0))


class FiguresTest(unittest.TestCase):
    def test_medians_and_ratios_within_a_round(self):
        rows = {(row["program"], row["flows"]): row for row in figures.summary(RESULTS["samples"], 2.0e9)}
        own = rows["sluiced", 1000]
        # Rounds 1 … 3: 10 of 40, 4 of 10, 12 of 40. The ratio of the medians would be 0.25.
        self.assertAlmostEqual(own["share"], 0.3)
        self.assertEqual((own["mpps"], own["mpps_least"], own["mpps_most"], own["rounds"]), (10, 4, 12, 3))
        self.assertAlmostEqual(own["cycles"], 200)
        self.assertEqual(own["disturbed"], 1)

    def test_without_the_roofline_there_is_no_share(self):
        samples = [one for one in RESULTS["samples"] if one["program"] != figures.ROOFLINE]
        self.assertTrue(all(row["share"] is None for row in figures.summary(samples, 2e9)))

    def test_runs_in_process(self):
        runs = [copy.deepcopy(RESULTS["sluice_bench"][0]) for _ in range(3)]
        for run, cycles in zip(runs, (300, 500, 330)):
            run["cases"][0]["cycles_per_packet"] = cycles
        row = figures.in_process(runs)[0]
        self.assertEqual((row["flows"], row["direction"], row["cycles"]), (1000, "out", 330))

    def test_processor_time(self):
        text = recorded("proc-stat.txt")
        kernel, user = cpu.core_seconds(1, text)
        self.assertAlmostEqual(kernel, (639618 + 41448) / cpu.TICKS)
        self.assertAlmostEqual(user, (3509613 + 542453) / cpu.TICKS)
        with self.assertRaises(ValueError):
            cpu.core_seconds(2, text)
        stat = "77 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 250 150 0 0 20 0 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 1 0 0"
        self.assertEqual(cpu.thread_fields(stat), (400 / cpu.TICKS, 1))

    def test_machine(self):
        self.assertEqual(machine_facts.tsc_hz("flags\t\t: fpu\nbogomips\t: 4499.99\n"), 4499.99 / 2 * 1e6)
        self.assertEqual(machine_facts.hugepages("HugePages_Total:    1024\nHugePages_Free:      768\n"
                                                 "Hugepagesize:       2048 kB\n"),
                         {"total": 1024, "free": 768, "kilobytes": 2048})


class ReportTest(unittest.TestCase):
    def markdown(self, results):
        return report.markdown(results, command_line.TITLES, [])

    def test_tables(self):
        text = self.markdown(RESULTS)
        self.assertIn("| sluiced | 10.00 (200) | 5.00 (400) |", text)
        self.assertIn("| testpmd io (roofline) | 40.00 (50) | 30.00 (67) |", text)
        self.assertIn("| sluiced | 4.00–12.00, 0.300* |", text)
        self.assertIn("| in process, no devices | 8.00 (250) | – |", text)
        self.assertIn("OVS-DPDK conntrack: it is not installed", text)
        self.assertIn("| UDP | 1,000 | 100 | 150 | 250 |", text)
        self.assertNotIn("broken off", text)

    def test_latency(self):
        slower = [dict(row, p50_us=2 * row["p50_us"], max_us=2.0) for row in LATENCY]
        text = self.markdown(dict(RESULTS, latency=LATENCY + slower, latency_same_rate=LATENCY[:1], latency_highest=[
            {"program": "sluiced", "mpps": 4.0, "lost": 0.0, "limited_by_generator": False},
            {"program": "sluiced", "mpps": 5.0, "lost": 1e-6, "limited_by_generator": False},
            {"program": "testpmd-io", "mpps": 9.0, "lost": 0.002, "limited_by_generator": True}]))
        self.assertIn("- sluiced: 4.50 Mpps\n- testpmd io (roofline): 9.00 Mpps (the generator's end: it may be "
                      "higher) (in one round there was loss at every rate, here of 0.200%)\n", text)
        self.assertIn("| sluiced | 10 % | 0.400 | 13.5 | 20.0 | 50.0 | 8000.0 | 700.0 | 40.0 | 6 of 200,000 | 0 |\n",
                      text)
        self.assertIn("At the same rates", text)
        self.assertEqual(text.count("| sluiced | 10 % |"), 2)

    def test_what_was_broken_off_says_so(self):
        self.assertIn("broken off", self.markdown(dict(RESULTS, broken_off=True)))

    def test_nothing_measured_is_still_a_report(self):
        empty = dict(RESULTS, samples=[], sluice_bench=[])
        self.assertNotIn("Mpps of one core", self.markdown(empty))
        self.assertEqual(plots.scripts(empty, command_line.TITLES), {})

    def test_plots_without_data_are_left_out(self):
        self.assertEqual(set(plots.scripts(RESULTS, command_line.TITLES)), {"mpps-udp.png", "stages.png"})
        more = dict(RESULTS, new_flow=[{"rules": 10, "cycles": 900}], memory=[{"flows": 1000, "bytes_per_flow": 300}],
                    latency=LATENCY)
        self.assertEqual(set(plots.scripts(more, command_line.TITLES)),
                         {"mpps-udp.png", "stages.png", "new-flow.png", "flow-memory.png", "latency.png"})

    @unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
    def test_gnuplot_draws_them(self):
        more = dict(RESULTS, new_flow=[{"rules": 10, "cycles": 900}, {"rules": 1000, "cycles": 1000}],
                    memory=[{"flows": 1000, "bytes_per_flow": 300}, {"flows": 9000, "bytes_per_flow": 200}],
                    latency=LATENCY)
        with tempfile.TemporaryDirectory() as directory:
            names, complaint = plots.draw(more, command_line.TITLES, pathlib.Path(directory))
            self.assertIsNone(complaint)
            self.assertEqual(len(names), 5)
            for name in names:
                self.assertEqual((pathlib.Path(directory) / name).read_bytes()[:4], b"\x89PNG")

    def test_results_come_back(self):
        with tempfile.TemporaryDirectory() as directory:
            report.write_json(RESULTS, pathlib.Path(directory) / "new")
            self.assertEqual(report.read_json(pathlib.Path(directory) / "new"), RESULTS)


class CommandLineTest(unittest.TestCase):
    def test_quick_and_full(self):
        quick, full = command_line.options(["--quick"]), command_line.options([])
        self.assertEqual((quick.rounds, {case.protocol for case in quick.cases}), (1, {"udp"}))
        self.assertEqual((full.rounds, max(case.flows for case in full.cases)), (3, 1000000))
        self.assertGreater(command_line.hugepages_needed(full), command_line.hugepages_needed(quick) - 1)

    def test_choices(self):
        chosen = command_line.options(["--flows", "5,6", "--proto", "tcp", "--", "--pattern", "random"])
        self.assertEqual(chosen.cases, [Case("tcp", 5), Case("tcp", 6)])
        self.assertEqual(chosen.more, ["--pattern", "random"])

    def test_mistakes(self):
        for words in (["--only", "vpp"], ["--flows", "many"], ["--flows", "0"], ["--rounds", "0"], ["--seconds", "-1"]):
            with self.assertRaises(SystemExit), open("/dev/null", "w", encoding="utf-8") as sys.stderr:
                command_line.options(words)
            sys.stderr = sys.__stderr__


if __name__ == "__main__":
    unittest.main()
