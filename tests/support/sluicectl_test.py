#!/usr/bin/env python3
"""End to end: sluicectl against fake_box (the real API over a box of invented flows).

Usage: sluicectl_test.py SLUICECTL FAKE_BOX
"""
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

SLUICECTL, FAKE_BOX = sys.argv[1:3]
# It wants no privileges to find fault with its command line.
CONNTRACK = shutil.which('conntrack', path=os.environ.get('PATH', '') + ':/usr/sbin')
TRAILER = 'conntrack v1.4.7 (conntrack-tools): '
FLOW = ('tcp      6 431995 ESTABLISHED src=192.0.2.10 dst=203.0.113.9 sport=40000 dport=21 packets=7 bytes=401 '
        'src=203.0.113.9 dst=198.51.100.2 sport=21 dport=40000 packets=6 bytes=1434 [ASSURED] mark=0 helper=ftp use=1')


class SluicectlTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.socket = os.path.join(self.directory.name, 'control.sock')
        self.box = subprocess.Popen([FAKE_BOX, self.socket], stderr=subprocess.DEVNULL)
        for _ in range(1000):
            if os.path.exists(self.socket):
                break
            time.sleep(0.01)

    def tearDown(self):
        self.box.terminate()
        self.assertEqual(self.box.wait(10), 0)
        self.assertFalse(os.path.exists(self.socket))
        self.directory.cleanup()

    def run_ctl(self, *arguments):
        return subprocess.run([SLUICECTL, '--socket', self.socket, *arguments], capture_output=True, timeout=60)

    def check(self, arguments, code, out=None, err=None):
        """Runs; compares the exit code, and looks for parts of stdout and stderr."""
        done = self.run_ctl(*arguments.split())
        stdout, stderr = done.stdout.decode(), done.stderr.decode()
        self.assertEqual(done.returncode, code, f'{arguments}: {stdout}{stderr}')
        if out is not None:
            self.assertIn(out, stdout, arguments)
        if err is not None:
            self.assertIn(err, stderr, arguments)
        return stdout

    def error_of(self, arguments, code):
        """A failure under --json: an object with "error" alone on stderr, nothing on stdout."""
        done = self.run_ctl(*arguments.split())
        self.assertEqual((done.returncode, done.stdout), (code, b''), arguments)
        self.assertEqual(done.stderr.count(b'\n'), 1, arguments)
        error = json.loads(done.stderr)
        self.assertIsInstance(error['error'], str, arguments)
        return error

    def test_list(self):
        out = self.check('conntrack -L', 0, FLOW + '\n', TRAILER + '12 flow entries have been shown.\n')
        self.assertEqual(len(out.splitlines()), 12)
        self.check('conntrack -L -p tcp --sport 40000', 0, FLOW + '\n', TRAILER + '1 flow entries have been shown.')
        self.check('conntrack -L -p tcp --dport 9', 0, '', TRAILER + '0 flow entries have been shown.')
        self.check('conntrack -L -o extended,id --sport 40000', 0, 'ipv4     2 ' + FLOW + ' id=1\n')
        self.check('conntrack -L expect', 0, '299 proto=6 src=192.0.2.10 dst=203.0.113.9 sport=0 dport=51220 mask-src=',
                   TRAILER + '1 expectations have been shown.')
        for options, lines in (('-n', 11), ('-n 198.51.100.2', 11), ('-g', 0), ('-u UNREPLIED', 1), ('-m 7', 1),
                               ('-s 192.0.2.11', 1), ('--orig-src 192.0.2.0/24 -f ipv4', 12), ('-q 198.51.100.2', 11),
                               ('-r 203.0.113.53', 1), ('--state ESTABLISHED', 10), ('-p icmp --icmp-type 8', 1),
                               ('-j', 11), ('-j 198.51.100.2', 11), ('-n 198.51.100.2:40001', 0),
                               ('--src-nat=198.51.100.2', 11), ('-n198.51.100.2', 11), ('-n -g', 0), ('-w 0', 12),
                               ('-w 1', 0), ('--orig-zone 0', 12), ('-u assured,seen_reply', 10),
                               ('-u SEEN_REPLY', 11), ('-u OFFLOAD', 0), ('-u EXPECTED', 0), ('-m 0x7/0xf', 1),
                               ('-s 0/0', 12), ('-s 192.512/15', 12), ('-s 192.525', 0), ('-s 192.0.523', 1),
                               ('-s 192.523', 1), ('-s 0xc0.0.0x20b', 1), ('-q 198.51.25602', 11),
                               ('-n 198.51.25602', 11),
                               ('-s 192.0.2.99 --mask-src 255.255.255.0', 12), ('-s 192.0.2.10 -s 192.0.2.11', 1),
                               ('--orig-port-src 40003 --reply-port-src 21 --reply-port-dst 40003', 1),
                               ('--prot udp', 1), ('-pudp', 1), ('-f ipv6', 0), ('-i 3', 1), ('-o labels', 12)):
            out = self.check('conntrack -L ' + options, 0)
            self.assertEqual(len(out.splitlines()), lines, options)

    def test_output_forms(self):
        self.check('conntrack -L -o save -p tcp --sport 40000', 0,
                   '-A -t 431995 -u SEEN_REPLY,ASSURED -s 192.0.2.10 -d 203.0.113.9 -r 203.0.113.9 -n 198.51.100.2 '
                   '-p tcp --sport 40000 --dport 21 --reply-port-src 21 --reply-port-dst 40000 --state ESTABLISHED\n')
        self.check('conntrack -L -o save -p udp', 0, '-A -t 29 -u UNSET -s 192.0.2.11 -d 203.0.113.53 -r 203.0.113.53 '
                   '-q 192.0.2.11 -p udp --sport 5353 --dport 53 --reply-port-src 53 --reply-port-dst 5353\n')
        self.assertEqual(len(json.loads(self.check('conntrack -L -o json', 0))), 12)
        out = self.check('proc', 0)
        self.assertEqual(len(out.splitlines()), 12)
        self.assertIn('ipv4     2 udp      17 29 src=192.0.2.11 dst=203.0.113.53 sport=5353 dport=53 packets=1 '
                      'bytes=60 [UNREPLIED] src=203.0.113.53 dst=192.0.2.11 sport=53 dport=5353 packets=0 bytes=0 '
                      'mark=7 zone=0 use=2\n', out)
        self.assertNotIn('helper=', out)
        self.assertEqual(json.loads(self.check('proc --json', 0)), json.loads(self.check('conntrack -L --json', 0)))

    def test_get(self):
        flow = '-G -p tcp -s 192.0.2.10 -d 203.0.113.9 --dport 21'
        self.check(f'conntrack {flow} --sport 40000', 0, FLOW.replace('use=1', 'use=2') + '\n',
                   TRAILER + '1 flow entries have been shown.\n')
        self.check('conntrack -G -p tcp -r 203.0.113.9 -q 198.51.100.2 --reply-port-src 21 --reply-port-dst 40000 '
                   '-o id', 0, ' use=2 id=1\n')
        self.check(f'conntrack {flow} --sport 39999', 1, '', "Operation failed: such conntrack doesn't exist\n")
        self.check('conntrack -G -p icmp -s 192.0.2.10 -d 203.0.113.9 --icmp-type 8 --icmp-code 0', 0, 'id=77')
        for options, message in (('', "You need to supply the `--protonum' option for this command"),
                                 ('-p tcp', "you have to specify `--src' and `--dst'"),
                                 ('-p tcp -s 192.0.2.1 -d 192.0.2.2', "you have to specify `--sport' and `--dport'"),
                                 ('-p icmp -s 192.0.2.1 -d 192.0.2.2', "need to supply the `--icmp-type' option"),
                                 (flow[3:] + ' --sport 1 -n', "Illegal option `--src-nat' with this command")):
            self.check('conntrack -G ' + options, 2, '', message)

    def test_stats_and_empty_tables(self):
        self.assertEqual(self.check('conntrack -S', 0),
                         'cpu=0   \tfound=0 invalid=3 insert=9 insert_failed=0 drop=40 early_drop=7 error=0 '
                         'search_restart=0 clash_resolve=0 chaintoolong=0 \n')
        self.assertEqual(json.loads(self.check('conntrack -S --json', 0))[0]['insert'], 9)
        self.check('conntrack -C expect', 0, '1\n')
        self.check('conntrack -L dying', 0, '', TRAILER + '0 flow entries have been shown.')

    def test_same_complaints(self):
        """Word for word what conntrack(8) says, where that is installed."""
        for words in ('-L -p bogus', '-L -s bogus', '-L -s 192.0.2.0/33', '-L -p tcp --state BOGUS', '-L -u BOGUS',
                      '-L -f bogus', '-L -o bogus', '-L -o id,bogus', '-L -o save,id', '-L bogus',
                      '-L -D', '-C -L', '-L --bogus', '-L -s', '-L --status', '-C -p tcp', '-F -p tcp', '-S -p tcp',
                      '-L -t 5', '-E -t 5', '-E -u ASSURED', '-E -z', '-E -e FOO', '-E -e NEW,', '-E -i 5',
                      '-E dying', '-E bogus', '-E -b', '-E -L', '-E --mask-src 255.0.0.0', '-E expect -p tcp',
                      '-E -o bogus', '-U -e NEW', '-U -b 5', '-U -z', '-U -w 0 -m 1', '-U expect', '-U -L',
                      '-U --orig-zone 1', '-U --mask-src 255.0.0.0 -m 4', '-L -e NEW', '-L -b 5', '-L --tuple-src 192.0.2.1', '-F dying', '-C dying',
                      '-L -f ipv6 -s 192.0.2.1', '-L --mask-src 255.0.0.0', '-G', '-G -p tcp', '-D expect',
                      '-G -p tcp -s 192.0.2.1 -d 192.0.2.2', '-G -p icmp -s 192.0.2.1 -d 192.0.2.2',
                      '-G -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2 -u ASSURED', '-L expect -p tcp',
                      '-L -j -n', '-D -g -j192.0.2.1', '-C -n -j', '-n -j', '-L -n 192.0.2.1:',
                      '-L -n bogus', '-L -n [2001:db8::1', '-L -n [2001:db8::1]:', '-L -n []', '-L -s 256.1',
                      '-L -s 192.0.2.1.5', '-L -s 10.1/33', '-L -f ipv6 -n 192.0.2.1', '-L -s ::1 -n 192.0.2.1',
                      '-C -f ipv6 -s 192.0.2.1'):
            theirs = subprocess.run([CONNTRACK, *words.split()], capture_output=True, timeout=10) if CONNTRACK else None
            ours = self.run_ctl('conntrack', *words.split())
            first = ours.stderr.decode().splitlines()[0]
            self.assertTrue(first.startswith(TRAILER), words)
            if theirs is not None:
                self.assertEqual(theirs.returncode, ours.returncode, words)
                self.assertEqual(theirs.stderr.decode().splitlines()[0], first, words)

    def test_unset_status(self):
        self.check('conntrack -L -u UNSET', 1, '', TRAILER + 'Operation failed: invalid parameters\n')

    def test_one_pipe_for_both_outputs(self):
        done = subprocess.run([SLUICECTL, '--socket', self.socket, 'conntrack', '-L'], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        lines = done.stdout.decode().splitlines()
        self.assertEqual(len(lines), 13)
        self.assertEqual(lines[-1], TRAILER + '12 flow entries have been shown.')

    def test_delete(self):
        self.check('conntrack -D -p tcp --sport 40000', 0, FLOW + '\n', TRAILER + '1 flow entries have been deleted.')
        self.check('conntrack -D -p tcp --sport 40000', 1, '', TRAILER + '0 flow entries have been deleted.')
        self.check('conntrack -C', 0, '11\n')
        self.check('--json conntrack -D -p udp', 0, '{"deleted":1}')
        self.check('conntrack -F', 0, '', TRAILER + 'connection tracking table has been emptied.')
        self.check('conntrack -C', 0, '0\n')

    def test_delete_without_a_filter(self):
        """As conntrack(8) does: everything matches, each flow is printed, and exit code 1 when there was none."""
        out = self.check('conntrack -D', 0, FLOW + '\n', TRAILER + '12 flow entries have been deleted.')
        self.assertEqual(len(out.splitlines()), 12)
        self.check('conntrack -C', 0, '0\n')
        self.check('conntrack -D', 1, '', TRAILER + '0 flow entries have been deleted.')
        self.check('conntrack -D --json', 1, '{"deleted":0}')

    def test_update(self):
        flow = '-p tcp --sport 40000'
        self.check(f'conntrack -U {flow} -m 0x10/0xf0 -t 77', 0,
                   FLOW.replace('431995', '77').replace('mark=0', 'mark=16').replace('use=1', 'use=2') + '\n',
                   TRAILER + '1 flow entries have been updated.\n')
        self.check(f'conntrack -U {flow} -m 16', 1, '', TRAILER + '0 flow entries have been updated.\n')
        self.check(f'conntrack -U {flow}', 1, '', TRAILER + '0 flow entries have been updated.\n')
        self.check(f'conntrack -U {flow} -u UNSET', 1, '', TRAILER + '0 flow entries have been updated.\n')
        out = self.check('conntrack -U -p udp -u assured,seen_reply', 0, '[ASSURED] mark=7 use=2\n')
        self.assertNotIn('[UNREPLIED]', out)
        self.check('conntrack -U -i 2 -m 5 -o extended,id', 0, 'mark=5 helper=ftp use=2 id=2\n')
        self.assertEqual(json.loads(self.check('conntrack -U -p icmp -m 3 --json', 0).splitlines()[-1]), {'updated': 1})
        for words, code, message in (('-u EXPECTED', 1, 'Operation failed: Device or resource busy'),
                                     ('-u ASSURED,FIXED_TIMEOUT', 1, 'Operation failed: Operation not supported'),
                                     ('-t many', 2, "`many' is not a number of seconds from 0 to 16777215"),
                                     ('-t 16777216', 2, "`16777216' is not a number of seconds"),
                                     ('-m x', 2, "`x' is not a mark"),
                                     ('--state ESTABLISHED -m 5', 2, "Illegal option `--state' with this command")):
            self.check('conntrack -U ' + words, code, '', TRAILER + message)

    def listen(self, *words, until=b'DESTROY'):
        """The outputs of -E, ended by Ctrl-C when `until` was heard."""
        process = subprocess.Popen([SLUICECTL, '--socket', self.socket, 'conntrack', '-E', *words],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        heard = b''
        while until not in heard:
            part = process.stdout.read1()
            if not part:
                self.fail(process.stderr.read())
            heard += part
        process.send_signal(signal.SIGINT)
        rest, said = process.communicate(timeout=10)
        self.assertEqual(process.returncode, 0)
        return (heard + rest).decode().splitlines(), said.decode()

    def test_events(self):
        lines, said = self.listen()
        tuples = FLOW[FLOW.index('src='):FLOW.index(' packets')], FLOW[FLOW.rindex('src='):FLOW.rindex(' packets')]
        self.assertEqual(lines[0], f'    [NEW] tcp      6 120 SYN_SENT {tuples[0]} [UNREPLIED] {tuples[1]} helper=ftp')
        self.assertEqual(lines[1], f' [UPDATE] tcp      6 60 SYN_RECV {tuples[0]} {tuples[1]} helper=ftp')
        ended = f'[DESTROY] tcp      6 60 SYN_RECV {tuples[0]} packets=7 bytes=401 {tuples[1]} packets=6 bytes=1434'
        self.assertTrue(lines[2].startswith(ended + ' [USERSPACE] portid=1'), lines[2])
        self.assertIn('WARNING: We have hit ENOBUFS! We are losing events.\n', said)
        self.assertTrue(said.endswith(f'{TRAILER}{len(lines)} flow events have been shown.\n'), said)
        lines, said = self.listen('-e', 'UPDATES', '-o', 'extended,id,timestamp', '-b', '4000', until=b'UPDATE')
        self.assertTrue(lines[0].startswith('[1700000000.000042]\t [UPDATE] ipv4     2 tcp '), lines[0])
        self.assertTrue(lines[0].endswith(' helper=ftp id=1'), lines[0])
        self.assertIn('NOTICE: Netlink socket buffer size has been set to 8000 bytes.\n', said)
        lines, said = self.listen('-e', 'des', '--json', until=b'destroy')
        self.assertEqual(json.loads(lines[0])['event'], 'destroy')
        lines, said = self.listen('-o', 'save', '-p', 'tcp', '--dport', '21', until=b'-D')
        self.assertTrue(lines[1].startswith('-U -t 60 -u SEEN_REPLY -s 192.0.2.10 '), lines[1])
        self.check('conntrack -E expect', 2, '', 'sluice tells no events of expectations')
        self.check('conntrack -E -b many', 2, '', "`many' is not a number of bytes")

    def test_json(self):
        for command, kind in (('conntrack -L', list), ('conntrack -L expect', list), ('conntrack -C', dict),
                              ('rules', list), ('nat', list), ('ports', list), ('stats', dict), ('expectations', list),
                              ('version', dict), ('config', dict), ('reload', dict), ('metrics', list), ('proc', list)):
            self.assertIsInstance(json.loads(self.check(command + ' --json', 0)), kind, command)

    def test_tables(self):
        self.check('rules', 0, 'CHAIN    #  PACKETS  BYTES  RULE\nforward  1       12   3456  state ')
        self.check('nat', 0, 'masquerade')
        self.check('ports', 0, '203.0.113.1/24 203.0.113.2/24')
        out = self.check('stats', 0, 'flow_table_full  table full, dropping packet')
        self.assertNotIn('vlan_unknown', out)
        self.assertIn('flow limit 1000 (from memory.megabytes), half-open 4 of 500', out)
        self.assertIn('in all: 42', out)
        self.check('stats --all', 0, 'vlan_unknown')
        self.check('expectations', 0, '203.0.113.9:51220')
        self.check('version', 0, 'sluiced 0.1.0 (DPDK 22.11.3), up 1h 2m')
        self.check('config', 0, 'workers:')
        self.check('metrics', 0, 'sluice_uptime_seconds 3723.5')

    def test_reload(self):
        self.check('reload', 0, 'policy generation 4')
        self.box.send_signal(signal.SIGUSR1)
        time.sleep(0.2)
        self.check('reload', 1, '', 'sluice.yaml:3:7: nat[0].dnat.port: 70000 is not a port')
        error = self.error_of('reload --json', 1)
        self.assertEqual((error['issues'][0]['line'], error['issues'][0]['path']), (3, 'nat[0].dnat.port'))

    def test_capture(self):
        file = os.path.join(self.directory.name, 'out.pcap')
        self.check(f'capture --port wan -c 3 -w {file}', 0, '', '3 packets captured')
        self.assertEqual(os.path.getsize(file), 24 + 3 * (16 + 60))
        done = self.run_ctl('capture', '--port', 'wan', '--filter', 'udp port 53', '-c', '1', '-w', '-')
        self.assertEqual(len(done.stdout), 24 + 16 + 60)
        self.assertEqual(done.stdout[24 + 16 + 23], 17)
        missing = os.path.join(self.directory.name, 'missing.pcap')
        self.check(f'capture --port dmz -w {missing}', 1, '', "no port is named 'dmz'")
        done = self.run_ctl('capture', '--port', 'wan', '--filter', 'tcp prot', '-w', missing)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"parameter 'filter'", done.stderr)
        done = self.run_ctl('capture', '--port', 'wan', '--filter', 'host example.org', '-w', missing)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"'example.org' is a name", done.stderr)
        for expression, said in (('not inbound', b"'inbound' is not supported"),
                                 (' or '.join(['udp port 53'] * 2000), b'the head of the request is longer than')):
            done = self.run_ctl('capture', '--port', 'wan', '--filter', expression, '-w', missing)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)
        self.assertFalse(os.path.exists(missing))
        with open(file, 'rb') as before:
            kept = before.read()
        self.check(f'capture --port dmz -w {file}', 1, '', "no port is named 'dmz'")
        with open(file, 'rb') as after:
            self.assertEqual(after.read(), kept)
        self.assertEqual(json.loads(self.check(f'capture --port wan -c 1 -w {file} --json', 0)), {'packets': 1})
        self.assertEqual(os.path.getsize(file), 24 + 16 + 60)

    def test_cycles(self):
        out = self.check('cycles', 0)
        self.assertEqual(out, """\
worker 0 (lcore 1): 50.0 % busy, 7000 packets/s in bursts of 8.0; fast path 90.0 %, from the kernel 0.1 %, \
from other workers 0.1 %, to other workers 14 packets/s
STAGE      PACKETS  CYCLES EACH  CYCLES/PACKET     TIME
receive    100.0 %         30.0           30.0    7.5 %
parse      100.0 %         50.0           50.0   12.5 %
lookup     100.0 %         40.0           40.0   10.0 %
fast_path  100.0 %         20.0           20.0    5.0 %
policy      10.0 %        500.0           50.0   12.5 %
control          -            -            4.0    1.0 %
flush            -            -            6.0    1.5 %
idle             -            -              -   50.0 %
all              -            -          200.0  100.0 %

worker 1 (lcore 2): 0.0 % busy, 0 packets/s
""")
        report = json.loads(self.check('cycles --seconds 3 --json', 0))
        self.assertEqual(report['workers'][0]['measured']['packets'], 1000)
        self.assertEqual(report['workers'][0]['measured']['stages'][4],
                         {'stage': 'policy', 'packets': 100, 'cycles': 50000})

    def test_cycles_again_and_again(self):
        """--watch measures until a signal, each report whole; with --json one object a line."""
        for words, count in ((('cycles', '--watch'), b'worker 0 '), (('cycles', '--watch', '--json'), b'\n')):
            watch = subprocess.Popen([SLUICECTL, '--socket', self.socket, *words], stdout=subprocess.PIPE)
            out = b''
            while out.count(count) < 3:
                part = os.read(watch.stdout.fileno(), 4096)
                self.assertNotEqual(part, b'')
                out += part
            watch.send_signal(signal.SIGINT)
            rest, _ = watch.communicate(timeout=10)
            self.assertEqual(watch.returncode, 0)
            out += rest
            if '--json' in words:
                for line in out.splitlines():
                    self.assertEqual(len(json.loads(line)['workers']), 2)
            else:
                self.assertEqual(out.decode(), '\n'.join([self.check('cycles', 0)] * out.count(count)))

    def test_cycles_waits_for_its_time(self):
        """The answer comes when the seconds are over; --timeout is the patience beyond them."""
        path = os.path.join(self.directory.name, 'silent.sock')
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            begin = time.monotonic()
            done = subprocess.run([SLUICECTL, '--socket', path, '--timeout', '1', 'cycles', '--seconds', '2'],
                                  capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 3)
            self.assertIn(b'nothing came within 3 s', done.stderr)
            self.assertGreater(time.monotonic() - begin, 2.9)

    def with_silent_sluiced(self, file, act):
        """Runs a capture against a socket where nobody answers; `act(capture, listener)` sees to its end."""
        path = os.path.join(self.directory.name, 'silent.sock')
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(10)
            capture = subprocess.Popen([SLUICECTL, '--socket', path, 'capture', '--port', 'wan', '-w', file],
                                       stderr=subprocess.PIPE)
            try:
                return act(capture, listener)
            finally:
                capture.kill()
                capture.wait()
                capture.stderr.close()

    def test_capture_broken_off_before_it_begins(self):
        file = os.path.join(self.directory.name, 'early.pcap')

        def interrupt(capture, listener):
            with listener.accept()[0] as connection:
                self.assertIn(b'/v1/capture', connection.recv(4096))
                with open(file, 'rb') as early:
                    header = early.read()
                self.assertEqual(struct.unpack('<IHHiIII', header), (0xa1b2c3d4, 2, 4, 0, 0, 65535, 1))
                capture.send_signal(signal.SIGINT)
                _, err = capture.communicate(timeout=10)
            self.assertEqual((capture.returncode, err), (0, b'0 packets captured\n'))
            self.assertEqual(os.path.getsize(file), 24)

        self.with_silent_sluiced(file, interrupt)

    def test_nobody_waits_for_a_daemon_that_stands_still(self):
        file = os.path.join(self.directory.name, 'still.pcap')
        self.box.send_signal(signal.SIGSTOP)
        try:
            for arguments in ('rules', 'conntrack -L', 'conntrack -C', 'reload', 'metrics',
                              'check --running ' + os.path.join(self.directory.name, 'any.yaml'),
                              f'capture --port wan -w {file}'):
                with open(os.path.join(self.directory.name, 'any.yaml'), 'w', encoding='utf-8') as text:
                    text.write('ports: [{name: a, device: d, role: inside}]\n# ' + 'x' * 500000 + '\n')
                self.check('--timeout 1 ' + arguments, 3, '',
                           'sluiced does not answer: nothing came within 1 s (--timeout sets another time)')
            self.assertFalse(os.path.exists(file))
        finally:
            self.box.send_signal(signal.SIGCONT)

    def test_capture_to_nowhere_is_not_asked_for(self):
        def nothing_comes(capture, listener):
            _, err = capture.communicate(timeout=10)
            self.assertEqual(capture.returncode, 1)
            self.assertEqual(err, b'sluicectl: /nowhere/wan.pcap: No such file or directory\n')
            listener.setblocking(False)
            self.assertRaises(BlockingIOError, listener.accept)

        self.with_silent_sluiced('/nowhere/wan.pcap', nothing_comes)

    def test_capture_ends_on_interrupt(self):
        file = os.path.join(self.directory.name, 'out.pcap')
        capture = subprocess.Popen([SLUICECTL, '--socket', self.socket, 'capture', '--port', 'wan', '-w', file],
                                   stderr=subprocess.PIPE)
        while not os.path.exists(file) or os.path.getsize(file) < 100:
            time.sleep(0.01)
        capture.send_signal(signal.SIGINT)
        _, err = capture.communicate(timeout=10)
        self.assertEqual(capture.returncode, 0)
        self.assertIn(b'packets captured', err)

    def test_usage(self):
        for arguments, message in (('', 'subcommand'), ('nonsense', "there is no command 'nonsense' ("),
                                   ('--socket /nowhere rulse', "no command 'rulse'; did you mean 'rules'?"),
                                   ('conntrack -L --dport 70000', "'dport'"),
                                   ('conntrack -L -m x', "'mark'"), ('conntrack -I', "no command `--create'"),
                                   ('conntrack -F expect', 'end by themselves'), ('conntrack -L --bogus', 'bogus'),
                                   ('capture --port wan', '-w'), ('capture --port wan -c 0 -w x', ''),
                                   ('capture --port wan -c -1 -w x', 'without a sign'),
                                   ('capture --port wan -s -18446744073709551615 -w x', 'without a sign'),
                                   ('cycles --seconds 0', '--seconds'), ('cycles --seconds 3601', '--seconds'),
                                   ('cycles --seconds -1', 'without a sign'), ('cycles --seconds x', '--seconds'),
                                   ('--timeout -1 rules', 'without a sign'), ('--timeout 0 rules', '--timeout')):
            self.check(arguments, 2, '', message)
            if not arguments.startswith('conntrack'):
                done = self.run_ctl(*arguments.split())
                self.assertTrue(done.stderr.startswith(b'sluicectl: '), done.stderr)
                self.assertEqual(done.stderr.count(b'\n'), 1, done.stderr)
        self.check('rules x', 2, '', 'not expected: x (sluicectl rules --help tells more)\n')

    def test_failures_as_json(self):
        for arguments, code, message in (('--json', 2, 'subcommand'), ('nonsense --json', 2, "no command 'nonsense'"),
                                         ('rules x --json', 2, 'not expected: x'),
                                         ('conntrack -L -m x --json', 2, "parameter 'mark'"),
                                         ('conntrack -L --bogus --json', 2, 'bogus'),
                                         ('conntrack --json -G -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2',
                                          1, "such conntrack doesn't exist"),
                                         ('capture --port dmz -w /nowhere/x --json', 1, 'No such file'),
                                         ('conntrack -C --json --socket /nowhere', 3, 'cannot reach sluiced on /nowhere'),
                                         ('capture --json --port dmz -w ' + self.socket + '.pcap', 1,
                                          "no port is named 'dmz'")):
            self.assertIn(message, self.error_of(arguments, code)['error'], arguments)

    def test_version(self):
        version = self.check('--version', 0)
        self.assertRegex(version, r'^sluicectl [0-9]+\.[0-9]+\.[0-9]+\n$')
        done = subprocess.run([SLUICECTL, '--version', '--socket', '/nowhere'], capture_output=True)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, version))

    def test_help(self):
        self.check('--help', 0, 'Examples:')
        for words in ('conntrack --help', 'conntrack', 'conntrack -h'):
            self.check(words, 0, 'conntrack -D -p udp')
        self.check('conntrack -V', 0, 'conntrack v1.4.7 (conntrack-tools)\n')

    def test_unreachable(self):
        missing = os.path.join(self.directory.name, 'none.sock')
        done = subprocess.run([SLUICECTL, '--socket', missing, 'rules'], capture_output=True)
        self.assertEqual(done.returncode, 3)
        self.assertIn(b'cannot reach sluiced on ' + missing.encode(), done.stderr)

    def answer_of(self, content_type, body, *arguments):
        """What a command makes of a server that sends this to everybody."""
        path = os.path.join(self.directory.name, 'other.sock')
        head = f'HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n'
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen()
            listener.settimeout(10)
            with subprocess.Popen([SLUICECTL, '--socket', path, *arguments], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE) as command:
                with listener.accept()[0] as connection:
                    connection.recv(4096)
                    connection.sendall((head + body).encode())
                    out, err = command.communicate(timeout=10)
        os.unlink(path)
        return command.returncode, out, err.decode()

    def test_somebody_else_on_the_socket(self):
        for arguments in ('conntrack -L', 'conntrack -E', 'conntrack -C', 'conntrack -L --json', 'proc', 'rules',
                          'config', 'metrics', 'reload'):
            code, out, err = self.answer_of('text/html', '<html>hello</html>', *arguments.split())
            self.assertEqual((code, out), (3, b''), arguments)
            self.assertIn('is not sluiced: it sent \'text/html\' in place of ', err, arguments)

    def test_answers_that_are_not_understood(self):
        for body in ('no JSON', '{"other": 1}', '[1]', '"word"', ''):
            for arguments in ('rules', 'stats', 'version', 'conntrack -C', 'conntrack -S', 'conntrack -L expect',
                              'reload'):
                code, out, err = self.answer_of('application/json', body, *arguments.split())
                self.assertEqual((code, out), (1, b''), (arguments, body))
                self.assertIn('sluiced\'s answer ', err, (arguments, body))
                self.assertEqual(len(err.splitlines()), 1, (arguments, err))
                self.assertNotIn('boost', err, (arguments, err))

    def test_second_daemon(self):
        second = subprocess.run([FAKE_BOX, self.socket], capture_output=True, timeout=10)
        self.assertEqual(second.returncode, 1)
        self.assertIn(b'another sluiced is running', second.stderr)
        self.check('conntrack -C', 0, '12\n')

    def test_check_against_the_running_one(self):
        file = os.path.join(self.directory.name, 'good.yaml')
        with open(file, 'w') as out:
            out.write('ports: [{name: a, device: net_null0, role: inside}]\n')
        self.assertEqual(self.check(f'check --running {file}', 0), f'{file}: OK\n')
        self.box.send_signal(signal.SIGUSR2)
        time.sleep(0.2)
        restart = 'workers.main has changed: needs a restart'
        self.assertEqual(self.check(f'check --running {file}', 4), f'{file}: OK\n{restart}\n')
        self.assertEqual(json.loads(self.check(f'check --running --json {file}', 4)),
                         {'issues': [], 'restart_needed': [restart]})
        self.assertEqual(self.check(f'check {file}', 0), f'{file}: OK\n')
        done = subprocess.run([SLUICECTL, '--socket', '/nowhere', 'check', '--running', file], capture_output=True)
        self.assertEqual(done.returncode, 3)
        with open(file, 'a') as out:
            out.write('bogus: 1\n')
        self.check(f'check --running {file}', 1, '', f'{file}:2:1: bogus')

    def test_check_needs_no_daemon(self):
        done = subprocess.run([SLUICECTL, '--socket', '/nowhere', 'check', '/nowhere.yaml'], capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'/nowhere.yaml', done.stderr)
        file = os.path.join(self.directory.name, 'bad.yaml')
        with open(file, 'w') as out:
            out.write('workers: {cores: [1]}\nbogus: 1\n')
        done = subprocess.run([SLUICECTL, 'check', file], capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(f'{file}:2:1: bogus'.encode(), done.stderr)
        with open(file) as text:
            done = subprocess.run([SLUICECTL, 'check', '-'], stdin=text, capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'stdin:2:1: bogus', done.stderr)
        done = subprocess.run([SLUICECTL, 'check', '-'], capture_output=True,
                              input=b'ports: [{name: a, device: net_null0, role: inside}]\n')
        self.assertEqual((done.returncode, done.stdout), (0, b'stdin: OK\n'))
        done = subprocess.run([SLUICECTL, 'check', '--json', file], capture_output=True)
        self.assertEqual(done.returncode, 1)
        self.assertTrue(json.loads(done.stdout)['issues'])


unittest.main(argv=sys.argv[:1])
