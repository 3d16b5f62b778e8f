#!/usr/bin/env python3
"""tools/bench when something goes wrong, without measuring: signals, directories, mistakes, disturbed runs."""
import contextlib
import io
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from side_by_side import __main__ as command_line  # noqa: E402  (the path must be set first)
from side_by_side import breaks, figures, place, plots, report, rounds  # noqa: E402
from side_by_side.peers import PEERS, Unable, latency, linux_nft  # noqa: E402
from side_by_side.peers.peer import Counts, last_words  # noqa: E402
from side_by_side.setting import ROOT, Case  # noqa: E402

RESULTS = json.loads((HERE / "recorded/results.json").read_text())
ROW = {"program": "sluiced", "load": 10, "rate_mpps": 0.4, "p50_us": 9.0, "p99_us": 20.0, "p999_us": 50.0,
       "max_us": 800.0, "sent": 100000, "lost": 3, "reordered": 0, "generator_pause_us": 700.0,
       "program_waited_us": 40.0}


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


@contextlib.contextmanager
def quiet():
    with mock.patch("sys.stderr", io.StringIO()) as said, mock.patch("sys.stdout", io.StringIO()):
        yield said


class Interrupted(PEERS[0]):
    """Ctrl-C comes while it starts, and twice while it stops."""

    def __init__(self, while_starting):
        super().__init__(rounds.Setting(pathlib.Path("/"), 0, 0, None, None, seconds=0.001))
        self.while_starting, self.put_back, self.process = while_starting, False, self
        self.pid = 1

    def lacking(self):
        return None

    def start(self, case):
        if self.while_starting:
            interrupt()

    def counts(self):
        return Counts(1, 1)

    def stop(self):
        interrupt()
        interrupt()
        self.put_back = True


class SignalTest(unittest.TestCase):
    def setUp(self):
        self.before = {number: signal.getsignal(number) for number in breaks.NUMBERS}
        breaks.install()

    def tearDown(self):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def test_nothing_breaks_off_what_puts_the_machine_back(self):
        for while_starting in (True, False):
            breaks.install()
            peer = Interrupted(while_starting)
            with self.assertRaises(KeyboardInterrupt):
                rounds.Rounds(None, [peer], [], [Case("udp", 5)], 2, {"samples": [], "problems": []},
                              io.StringIO()).run()
            self.assertTrue(peer.put_back)
            self.assertEqual(breaks.exit_status(), 130)

    def test_what_tidies_is_not_interrupted_by_the_terminal_either(self):
        with breaks.held():
            self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(breaks.NUMBERS), set(breaks.NUMBERS))
        self.assertEqual(signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(breaks.NUMBERS), set())

    def test_the_second_signal_is_noted_only(self):
        with self.assertRaises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        interrupt()
        self.assertEqual(breaks.exit_status(), 143)

    def test_limits_are_written_back_also_when_a_command_fails(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "nf_conntrack_max"
            path.write_text("600000")
            peer = linux_nft.LinuxNft(None)
            peer.before = [(path, "262144\n")]
            peer.hosts = {"nft": mock.Mock()}
            peer.hosts["nft"].run.side_effect = subprocess.TimeoutExpired("conntrack", 60)
            with self.assertRaises(subprocess.TimeoutExpired):
                peer.stop()
            self.assertEqual((path.read_text(), peer.before), ("262144\n", []))


class DirectoryTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.directory = pathlib.Path(self.temporary.name)

    def tearDown(self):
        self.temporary.cleanup()

    def test_an_unwritable_directory_is_noticed_at_once(self):
        (self.directory / "file").write_text("")
        for path in (self.directory / "file/out", pathlib.Path("/proc/out")):
            with self.assertRaisesRegex(SystemExit, "error: nothing can be written to .*--out"):
                place.try_out(path)
            done = subprocess.run([sys.executable, "-m", "side_by_side", "--try-out", "--out", path], text=True,
                                  capture_output=True, check=False, env=dict(os.environ, PYTHONPATH=str(HERE)))
            self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))

    def test_results_are_there_behind_each_round(self):
        class Wrong(Interrupted):
            def stop(self):
                pass

            def start(self, case):
                raise RuntimeError("a mistake")

        saved = []
        with self.assertRaises(RuntimeError):
            rounds.Rounds(None, [Wrong(False)], [], [Case("udp", 5)], 2, {"samples": [], "problems": []}, io.StringIO(),
                          save=lambda: saved.append(1)).run()
        self.assertEqual(saved, [])
        rounds.Rounds(None, [], [], [], 3, {"samples": [], "problems": []}, io.StringIO(),
                      save=lambda: saved.append(1)).run()
        self.assertEqual(saved, [1, 1, 1])

    def test_a_mistake_loses_no_results(self):
        out = self.directory / "out"

        def run(self):
            self.results["samples"].append({"program": "one"})
            raise RuntimeError("a mistake")

        with mock.patch.object(command_line, "Machine") as machine, \
                mock.patch.object(command_line, "cores", return_value=(1, 0)), \
                mock.patch.object(command_line.machine_facts, "describe", return_value={}), \
                mock.patch.object(command_line.os, "sched_setaffinity"), \
                mock.patch.object(command_line.breaks, "ignore"), \
                mock.patch.object(rounds.Rounds, "run", run):
            machine.return_value.path.return_value = str(self.directory / "traffic")
            with self.assertRaises(RuntimeError):
                command_line.measure(command_line.options(["--only", "dpdk-acl", "--out", str(out)]), [])
            machine.return_value.close.assert_called_once()
        results = report.read_json(out)
        self.assertEqual((results["samples"], results["broken_off"]), ([{"program": "one"}], True))

    def test_a_new_run_clears_a_former_one_s_report(self):
        for name in ("report.md", "mpps-udp.png", "latency.png", "results.json", "notes.txt"):
            (self.directory / name).write_text("old")
        place.clear(self.directory)
        self.assertEqual([path.name for path in self.directory.iterdir()], ["notes.txt"])
        self.assertEqual(set(plots.scripts(RESULTS, command_line.TITLES)) - set(plots.NAMES), set())

    @unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
    def test_quotes_in_a_path(self):
        directory = self.directory / "it's \"odd\" \\ {output}"
        directory.mkdir()
        names, complaint = plots.draw(RESULTS, command_line.TITLES, directory)
        self.assertIsNone(complaint)
        self.assertEqual((directory / names[0]).read_bytes()[:4], b"\x89PNG")

    @unittest.skipUnless(shutil.which("gnuplot"), "gnuplot is not installed")
    def test_a_picture_that_cannot_be_written(self):
        for name in plots.NAMES:
            (self.directory / name).mkdir()     # root may write anywhere, but not over a directory
        names, complaint = plots.draw(RESULTS, command_line.TITLES, self.directory)
        self.assertEqual(names, [])
        self.assertIn("gnuplot did not draw mpps-udp.png", complaint)

    def test_report_of_nothing(self):
        with self.assertRaisesRegex(SystemExit, "there is no results.json"):
            place.load(self.directory)
        (self.directory / "results.json").write_text("{")
        with self.assertRaisesRegex(SystemExit, "is not JSON"):
            place.load(self.directory)

    def test_paths_are_the_user_s(self):
        out = self.directory / "mine"
        report.write_json(RESULTS, out)
        done = subprocess.run([ROOT / "tools/bench", "--report", "--out", "mine"], cwd=self.directory, text=True,
                              capture_output=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("side by side", (out / "report.md").read_text())
        chosen = command_line.options(["--out", "a", "--build", "b"])
        self.assertEqual((chosen.out, chosen.build), (pathlib.Path.cwd() / "a", pathlib.Path.cwd() / "b"))

    def test_memory_is_what_sluiced_says(self):
        program = self.directory / "control/sluiced"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\ngrep -q 'megabytes: 64}' \"$3\" || exit 0\n"
                           "echo 'error: 64 is too little: at least 9000 are needed' >&2\nexit 1\n")
        program.chmod(0o755)
        chosen = command_line.options(["--flows", "1000", "--build", str(self.directory)])
        self.assertEqual(command_line.hugepages_needed(chosen), command_line.SPARE_PAGES + (9000 + 32) // 2)


class DisturbedTest(unittest.TestCase):
    def test_shares(self):
        self.assertEqual(latency.shares({"sent": 100000, "rate_mpps": 0.1, "program_waited_us": 0.0}, 0.1),
                         {"core_share": 1.0, "generator_share": 1.0})
        self.assertEqual(latency.shares({"sent": 612, "rate_mpps": 0.00153, "program_waited_us": 360000.0}, 0.00306),
                         {"core_share": 0.1, "generator_share": 0.5})

    def test_rates_that_the_generator_takes(self):
        self.assertEqual(latency.possible([0.0, 0.0009, 0.002, 60.5]), [0.002])

    def test_marks(self):
        for key, share in (("core_share", 0.5), ("generator_share", 0.5)):
            rows = [ROW, dict(ROW, load=50, **{key: share})]
            text = report.markdown(dict(RESULTS, latency=rows, latency_highest=[
                {"program": "sluiced", "mpps": 0.03, "lost": 0.0, "limited_by_generator": True}]),
                command_line.TITLES, [])
            self.assertIn("| sluiced | 10 % | 0.400 |", text)
            self.assertIn("| sluiced | 50 % | 0.400* |", text)
            self.assertIn("- sluiced: 0.03 Mpps*", text)
            self.assertIn("\\* of latency", text)

    def test_a_quick_run_that_says_nothing_fails(self):
        fine, bad = (dict(RESULTS["samples"][0], core_share=share) for share in (1.0, 0.4))
        with quiet() as said:
            self.assertFalse(command_line.disturbed({"samples": [fine, bad]}))
            self.assertTrue(command_line.disturbed({"samples": [bad, bad]}))
        self.assertIn("error: testpmd-io: disturbed each time", said.getvalue())
        self.assertEqual(figures.never_undisturbed({"samples": [], "latency": [dict(ROW, core_share=0.1)]}),
                         ["latency of sluiced"])

    def test_the_error_itself(self):
        self.assertEqual(last_words("--rates: Value 0 not in range 0.001 to 60\nRun with --help for more "
                                    "information.\n"), "--rates: Value 0 not in range 0.001 to 60")
        with self.assertRaisesRegex(Unable, "not in range"):
            latency.parse("--rates: 0 not in range\nRun with --help for more information.\n")


class ReportTest(unittest.TestCase):
    def test_numbers_are_rounded(self):
        text = report.markdown(dict(RESULTS, memory=[{"flows": 1000, "bytes_per_flow": 1772.2845764160156}]),
                               command_line.TITLES, [])
        self.assertIn("| flows | bytes per flow |\n| --- | --- |\n| 1000 | 1772.3 |\n", text)

    def test_sluiced_beside_the_others(self):
        runs = json.loads(json.dumps(RESULTS["sluice_bench"]))
        runs[0]["cases"][0]["share_of_roofline"] = 0.2534
        text = report.markdown(dict(RESULTS, sluice_bench=runs), command_line.TITLES, [])
        self.assertIn("| sluiced / testpmd io (roofline) | 0.300 | 0.167 |\n", text)
        self.assertRegex(text, r"\| sluiced / Linux nftables \| \d+\.\d times \| – \|\n")
        self.assertIn("| in process, no devices: share of what its generator does alone | 0.253 | – |\n", text)

    def test_tcp_is_picked_up(self):
        tcp = [dict(one, protocol="tcp") for one in RESULTS["samples"]]
        text = report.markdown(dict(RESULTS, samples=tcp, sluice_bench=[]), command_line.TITLES, [])
        self.assertIn("picked up mid-stream", text)
        self.assertNotIn("established", text)
        self.assertIn("picked up mid-stream", plots.throughput(dict(RESULTS, samples=tcp), "tcp", command_line.TITLES))

    def test_mistakes(self):
        for words in (["--only", ""], ["--only", "sluiced,"], ["--flows", ""], ["--quick", "extra"], ["--rep"],
                      ["--seconds", "nan"]):
            with self.assertRaises(SystemExit) as ended, quiet():
                command_line.options(words)
            self.assertEqual(ended.exception.code, 2)


if __name__ == "__main__":
    unittest.main()
