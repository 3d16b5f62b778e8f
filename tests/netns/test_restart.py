"""Starting and stopping, also the hard way; twins and their addresses survive."""
import os
import re
import socket

from lab import config
from lab.clients import ping
from lab.machine import wait_until

# Every line is sluiced's own: what a library prints by itself has no time and no level.
LINE = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} (\w+) +(.*)$")


# What DPDK's AF_XDP driver says when it is refused a queue.
DRIVER = r"(xsk_configure|xdp_umem_configure|eth_rx_queue_setup)\(\): .*"


def messages(log):
    """[(level, text)] of a log; it must not hold anything else."""
    matches = [LINE.match(line) for line in log.splitlines() if line.strip()]
    assert matches and all(matches), log
    return [match.groups() for match in matches]


def check_healthy(lab, *warnings):
    """The log of the box that runs has no line above info but these warnings."""
    found = [(level, text) for level, text in messages(lab.box.log()) if level not in ("info", "debug")]
    assert [level for level, _ in found] == ["warning"] * len(warnings), found
    for (_, text), warning in zip(found, warnings):
        assert re.fullmatch(warning, text), (text, warning)


def check_refused(lab, process, message, driver=None):
    """sluiced ended with status 1 and said why in one line, the last, that `message` (a pattern) matches whole.
    Of warnings there are only those of the driver, if a pattern for them is given."""
    status = process.wait(20)
    lines = messages(process.log())
    assert status == 1, (status, lines)
    if driver is not None:
        lines = [(level, text) for level, text in lines if level != "warning" or not re.fullmatch(driver, text)]
    assert [level for level, _ in lines if level != "info"] == ["critical"], lines
    assert lines[-1][0] == "critical" and re.fullmatch(message, lines[-1][1]), (lines[-1], message)


def refused_start(lab, broken, message):
    """The configuration is refused, and nothing stays behind that a good start would stumble over."""
    lab.box.stop()
    lab.box.start(broken, wait=False)
    process, lab.box.process = lab.box.process, None
    check_refused(lab, process, message)
    assert not os.path.exists(lab.box.socket_path)


def run_again(lab, *warnings):
    lab.start()
    assert ping(lab.in1, config.OUT1) == 3
    check_healthy(lab, *warnings)


def case_ten_times(lab):
    """start and stop ten times; traffic flows each time"""
    for _ in range(10):
        lab.box.stop()
        lab.start()
        assert ping(lab.in1, config.OUT1) == 3


def case_kill_and_start_again(lab):
    """kill -9 three times; each start finds its twins, and traffic flows"""
    for _ in range(3):
        lab.box.kill9()
        run_again(lab)


case_kill_and_start_again.boxes = ("sluice",)


def case_twice(lab):
    """a second sluiced with the same configuration says why it will not run, and the first goes on"""
    second = lab.spawn("second", lab.box.command(lab.box.daemon, "--config", lab.box.config_path))
    check_refused(lab, second, re.escape(f"another sluiced is running (it has {lab.box.socket_path})"))
    assert ping(lab.in1, config.OUT1) == 3


case_twice.boxes = ("sluice",)


def case_many_at_once(lab):
    """of several sluiced started at the same moment one runs, the others say why not and take nothing from it"""
    lab.box.stop()
    lab.box.write(config.base())
    answers = re.escape(f"another sluiced is running (it has {lab.box.socket_path})")
    for _ in range(5):
        started = [lab.spawn(f"start{i}", lab.box.command(lab.box.daemon, "--config", lab.box.config_path))
                   for i in range(6)]
        wait_until("all but one to end", lambda started=started: sum(p.alive() for p in started) <= 1, 30)
        survivors = [process for process in started if process.alive()]
        assert len(survivors) == 1, [process.log() for process in started]
        for process in started:
            if process not in survivors:
                check_refused(lab, process, answers)
        lab.box.process = lab.box.last = survivors[0]
        wait_until("sluiced's control socket", lab.box.answers, 30)
        lab.settle()
        lab.box.stop()
        assert not os.path.exists(lab.box.socket_path) and not os.path.exists(lab.box.socket_path + ".lock")
    lab.start()


case_many_at_once.boxes = ("sluice",)


def case_twice_by_another_socket(lab):
    """a second sluiced on the same devices, but a control socket of its own, does the first no harm"""
    with open(lab.box.config_path) as first, open(lab.path("second.yaml"), "w") as other:
        other.write(first.read().replace(lab.box.socket_path, lab.path("second.sock")).replace(":9140", ":9141"))
    second = lab.spawn("second", lab.box.command(lab.box.daemon, "--config", lab.path("second.yaml")))
    check_refused(lab, second, r"port lan \(net_af_xdp0,iface=l1\): interface l1 is used by another port or another "
                               r"sluiced")
    assert ping(lab.in1, config.OUT1) == 3


case_twice_by_another_socket.boxes = ("sluice",)


def case_missing_device(lab):
    """a port whose device is not there: one clear line, an exit status, nothing left behind"""
    broken = config.base()
    broken["ports"][1]["device"] = "net_af_xdp1,iface=nosuch0"
    refused_start(lab, broken, r"port wan \(net_af_xdp1,iface=nosuch0\): there is no interface nosuch0")
    run_again(lab)


case_missing_device.boxes = ("sluice",)


def kernel_state(lab):
    """What sluiced keeps in the kernel: twins, the guard's tables and what they guard (without their counters)."""
    present = [name for name in lab.box.twins.values() if lab.box_host.succeeds("ip", "link", "show", name)]
    guard = lab.box_host.run("nft", "--stateless", "list", "ruleset")
    return present, sorted(guard.split("\n}\n"))      # tables are listed as they were made


def forget(lab):
    """As on a machine where sluiced never ran."""
    lab.box.stop()
    twins, _ = kernel_state(lab)
    for name in twins:
        lab.box_host.ip("link", "del", name)
    for table in ("inet sluice_guard_lan0", "bridge sluice_guard_lan0"):
        lab.box_host.run("nft", f"add table {table}; delete table {table}")
    assert kernel_state(lab) == ([], [""])


def fails(lab, broken, message):
    lab.box.start(broken, wait=False)
    process, lab.box.process = lab.box.process, None
    check_refused(lab, process, message)


def foreign_twin():
    broken = config.base()
    broken["ports"][1]["tap"] = "y2"
    return broken, "twin y2: there is a network device of this name that is not a TAP device"


def case_metrics_port_taken(lab):
    """a metrics port that is taken, and an address that is not there: refused, and the kernel is as it was"""
    def occupy():
        taken = socket.socket()
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 9140))
        taken.listen()
        return taken
    forget(lab)
    with lab.box_host.inside(occupy):
        fails(lab, config.base(), r"metrics: cannot listen on 127\.0\.0\.1:9140: Address already in use")
        assert kernel_state(lab) == ([], [""])
    fails(lab, config.changed(config.base(), metrics__listen="203.0.113.77:9140"),
          r"metrics: cannot listen on 203\.0\.113\.77:9140: Cannot assign requested address")
    assert kernel_state(lab) == ([], [""])
    run_again(lab)


case_metrics_port_taken.boxes = ("sluice",)


def case_twin_of_a_foreign_name(lab):
    """a twin with the name of a veth: refused, and the twin and the guard made before it are gone again"""
    forget(lab)
    lab.box_host.ip("link", "add", "y1", "type", "veth", "peer", "name", "y2")
    try:
        fails(lab, *foreign_twin())
        assert kernel_state(lab) == ([], [""])
    finally:
        lab.box_host.ip("link", "del", "y1")
    run_again(lab)


case_twin_of_a_foreign_name.boxes = ("sluice",)


def case_refused_after_kill(lab):
    """a refused start takes nothing away that a killed sluiced left, the guard above all"""
    lab.box.kill9()
    before = kernel_state(lab)
    assert before[0] == ["lan0", "wan0"] and sum("sluice_guard" in table for table in before[1]) == 3, before
    lab.box_host.ip("link", "add", "y1", "type", "veth", "peer", "name", "y2")
    try:
        fails(lab, *foreign_twin())
        assert kernel_state(lab) == before
    finally:
        lab.box_host.ip("link", "del", "y1")
    run_again(lab)


case_refused_after_kill.boxes = ("sluice",)


def case_hugepages_off(lab):
    """memory: {hugepages: off} forwards just the same"""
    lab.box.stop()
    lab.start(config.changed(config.base(), memory__hugepages="off"))
    assert ping(lab.in1, config.OUT1) == 3
    check_healthy(lab)


case_hugepages_off.boxes = ("sluice",)


def without_hugepages(lab, configuration):
    """Starts sluiced where the kernel seems to have none; returns the process."""
    lab.box.write(configuration)
    hide = 'mount -t tmpfs none /sys/kernel/mm/hugepages && exec "$@"'
    return lab.spawn("sluiced", lab.box.command("sh", "-c", hide, "sh", lab.box.daemon, "--config",
                                                lab.box.config_path))


def case_no_hugepages(lab):
    """hugepages on auto and none there: sluiced runs on ordinary pages and says so"""
    lab.box.stop()
    lab.box.process = lab.box.last = without_hugepages(lab, config.base())
    wait_until("sluiced's control socket", lab.box.answers, 30)
    lab.settle()
    assert ping(lab.in1, config.OUT1) == 3
    check_healthy(lab, "running on ordinary pages: 0 MB of hugepages are free, memory.megabytes is 512")


case_no_hugepages.boxes = ("sluice",)


def case_no_hugepages_for_a_card(lab):
    """a PCI device and no hugepages: sluiced says how many it needs"""
    lab.box.stop()
    broken = config.base()
    broken["ports"][1]["device"] = "0000:03:00.0"
    check_refused(lab, without_hugepages(lab, broken),
                  r"PCI devices need 512 MB of hugepages; 0 MB are free \(vm.nr_hugepages\)")
    run_again(lab)


case_no_hugepages_for_a_card.boxes = ("sluice",)


def case_more_memory_than_there_is(lab):
    """more memory than the machine has, in whatever pages: both figures are told"""
    refused_start(lab, config.changed(config.base(), memory__megabytes=1048576),
                  r"memory.megabytes is 1048576, but only \d+ MB of memory and \d+ MB of hugepages are free")
    run_again(lab)


case_more_memory_than_there_is.boxes = ("sluice",)


def case_without_rights(lab):
    """without any capability sluiced says what it lacks"""
    lab.box.stop()
    refused = lab.spawn("refused", lab.box.command("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs",
                                                   "--reuid=0", "--clear-groups", lab.box.daemon, "--config",
                                                   lab.box.config_path))
    check_refused(lab, refused, r"not permitted to set up the network \(CAP_NET_ADMIN is needed\): run as root or with "
                                r"the capabilities that conf/sluiced.service lists")
    run_again(lab)


case_without_rights.boxes = ("sluice",)


def case_without_rights_for_af_xdp(lab):
    """without a capability of AF_XDP's sluiced names it, and does not blame another program"""
    lab.box.stop()
    for taken, missing in (("-bpf,-sys_admin", "CAP_BPF"), ("-net_raw", "CAP_NET_RAW")):
        refused = lab.spawn("refused", lab.box.command("setpriv", f"--bounding-set={taken}", lab.box.daemon, "--config",
                                                       lab.box.config_path))
        check_refused(lab, refused, r"port lan \(net_af_xdp0,iface=l1\): no rights to attach to l1 "
                                    rf"\(missing: {missing}\): run as root or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF",
                      driver=DRIVER)
    # Nor may it lock memory beyond a limit that it has no right to lift.
    limited = ("prlimit", f"--memlock={8 << 20}", "setpriv", "--bounding-set=-ipc_lock,-sys_resource")
    refused = lab.spawn("refused", lab.box.command(*limited, lab.box.daemon, "--config", lab.box.config_path))
    check_refused(lab, refused,
                  r"port lan \(net_af_xdp0,iface=l1\): no rights to lock the memory that AF_XDP needs \(\d+ MB, and 8 are "
                  r"allowed\): run as root, with CAP_IPC_LOCK, or with a higher limit \(ulimit -l, LimitMEMLOCK\)",
                  driver=DRIVER)
    assert refused.log().count("xdp_umem_configure") <= 2, refused.log()    # it is not tried over and over
    run_again(lab)


case_without_rights_for_af_xdp.boxes = ("sluice",)


def case_rules_of_routing(lab):
    """rules of routing are not read, and the start says so; without any it says nothing of them"""
    lab.box.stop()
    lab.box_host.ip("rule", "add", "from", config.IN1, "lookup", "100")
    run_again(lab, r"rules of routing \(ip rule\) are not read: 1 beyond the kernel's own, and what is forwarded goes "
                   r"by the tables local and main alone")
    lab.box.stop()
    lab.box_host.ip("rule", "del", "from", config.IN1, "lookup", "100")
    run_again(lab)


case_rules_of_routing.boxes = ("sluice",)


def case_broken_configuration(lab):
    """a configuration with mistakes: every one with its place, an exit status, nothing started"""
    lab.box.stop()
    broken = config.base()
    broken["nat"][0]["snta"] = broken["nat"][0].pop("snat")
    broken["ports"][0]["role"] = "upside-down"
    lab.box.start(broken, wait=False)
    process, lab.box.process = lab.box.process, None
    assert process.wait(20) == 1
    mistakes = process.log().splitlines()
    place = re.escape(lab.box.config_path) + r":\d+:\d+: "
    assert len(mistakes) == 3, mistakes
    assert re.fullmatch(place + r"ports\[0\]\.role: unknown word 'upside-down' .*", mistakes[0]), mistakes
    assert re.fullmatch(place + r"nat\[0\]: a NAT rule needs snat or dnat", mistakes[1]), mistakes
    assert re.fullmatch(place + r"nat\[0\]\.snta: unknown key 'snta': did you mean 'snat'\?", mistakes[2]), mistakes
    run_again(lab)


case_broken_configuration.boxes = ("sluice",)


def case_stop_during_the_start(lab):
    """SIGTERM during the start ends it at once, and the kernel is as it was"""
    forget(lab)
    lab.box.start(wait=False)
    process, lab.box.process = lab.box.process, None
    # It is made first of all; memory, devices and twins are still to come.
    wait_until("the control socket", lambda: os.path.exists(lab.box.socket_path), 10)
    assert process.stop(timeout=15) == 0, process.log()
    said = [text for _, text in messages(process.log())]
    assert said[-2:] == ["the start was ended by signal 15", "ended"], said
    assert not os.path.exists(lab.box.socket_path)
    assert kernel_state(lab) == ([], [""])
    run_again(lab)


case_stop_during_the_start.boxes = ("sluice",)


def start_with(lab, redirections):
    """Starts sluiced from a shell with these redirections ($LOG is a FIFO)."""
    lab.box.stop()
    lab.box.write(config.base())
    shell = f'LOG=$1; shift; exec "$@" {redirections}'
    lab.box.process = lab.box.last = lab.spawn("sluiced", lab.box.command(
        "sh", "-c", shell, "sh", lab.path("log.fifo"), lab.box.daemon, "--config", lab.box.config_path))
    wait_until("sluiced's control socket", lab.box.answers, 30)
    lab.settle()


def lines_lost(lab):
    return int(re.search(r"^sluice_log_lines_lost_total (\d+)$", lab.box.metrics(), re.M)[1])


def log_reader(lab):
    """A FIFO for sluiced's log that is open, and full."""
    os.mkfifo(lab.path("log.fifo"))
    reader = os.open(lab.path("log.fifo"), os.O_RDWR | os.O_NONBLOCK)
    try:
        while True:
            os.write(reader, b"x" * 4096)
    except BlockingIOError:
        return reader


def case_nobody_reads_the_log(lab):
    """a log reader that does not read: sluiced starts, forwards, answers, reloads and ends"""
    reader = log_reader(lab)
    try:
        start_with(lab, '2>"$LOG"')
        lab.box.control("reload")
        assert ping(lab.in1, config.OUT1) == 3
        lab.box.stop()
        assert not os.path.exists(lab.box.socket_path)
    finally:
        os.close(reader)
        os.unlink(lab.path("log.fifo"))
    lab.start()


case_nobody_reads_the_log.boxes = ("sluice",)


def case_log_reader_goes_away(lab):
    """a log reader that goes away: sluiced goes on, counts the lines it cannot write, and ends well"""
    reader = log_reader(lab)
    try:
        start_with(lab, '2>"$LOG"')
        os.close(reader)
        lab.box.control("reload")
        assert ping(lab.in1, config.OUT1) == 3
        wait_until("lost lines", lambda: lines_lost(lab) > 0, 5)
        lab.box.stop()
    finally:
        os.unlink(lab.path("log.fifo"))
    lab.start()


case_log_reader_goes_away.boxes = ("sluice",)


def case_closed_descriptors(lab):
    """started with descriptors 0 to 2 closed: none of them becomes anything but /dev/null"""
    start_with(lab, "<&- >&- 2>&-")
    for descriptor in range(3):
        # By its numbers: the name is told as the box's mounts have it, which may be others than ours.
        opened = os.stat(f"/proc/{lab.box.process.pid}/fd/{descriptor}")
        assert opened.st_rdev == os.stat("/dev/null").st_rdev, (descriptor, opened)
    lab.box.control("reload")
    assert ping(lab.in1, config.OUT1) == 3
    lab.box.stop()
    lab.start()


case_closed_descriptors.boxes = ("sluice",)


def case_stop_is_clean(lab):
    """after SIGTERM the control socket is gone, and its lock"""
    assert os.path.exists(lab.box.socket_path + ".lock")
    lab.box.stop()
    assert not os.path.exists(lab.box.socket_path) and not os.path.exists(lab.box.socket_path + ".lock")
    lab.start()


case_stop_is_clean.boxes = ("sluice",)

