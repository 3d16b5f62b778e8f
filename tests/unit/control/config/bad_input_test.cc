// Every class of bad text, type, range, key and name outside the rules: the exact place, path and message.
#include "tests/unit/control/config/bad_case.hh"

namespace sluice::config {
namespace {

TEST_CASE("text that is not the YAML of a configuration") {
    check_bad(
        "",
        {
            {"nothing at all", "", "1:1: the configuration is empty\n"},
            {"only a comment", "# soon\n", "1:1: the configuration is empty\n"},
            {"a list", "- a\n", "1:1: expected a map, found a list\n"},
            {"a word", "hello\n", "1:1: expected a map, found text 'hello'\n"},
            {"an open list", "ports: [\n", "2:1: not valid YAML: end of sequence flow not found\n"},
            {"a tab for indentation", "ports:\n\t- {}\n", "2:2: not valid YAML: illegal block entry\n"},
            {"an alias of nothing", "ports: *x\n", "1:8: not valid YAML: the referenced anchor is not defined\n"},
            {"a tag", "log: !fast info\n",
             "1:6: a YAML tag ('!fast') has no meaning here: put text that begins with '!' in quotes\n"},
            {"a list as a key", "[a, b]: c\n", "1:1: a key must be plain text\n"},
            {"two documents", "log: {level: info}\n---\nlog: {level: info}\n",
             "3:1: a second YAML document: only one is expected\n"},
            {"a control character", std::string{"log: {\x04level: info}\n"},
             "1:7: a control character (byte 4) in the text\n"},
            {"no UTF-8", "log: {level: \xff}\n", "1:14: the text is not UTF-8\n"},
            {"UTF-8 cut short", "# \xc3\xa9 \xe2\x82\n", "1:5: the text is not UTF-8\n"},
            {"an anchor inside itself", "ports: &a [*a]\n", "1:12: an alias inside the value that it names\n"},
            {"too deep", "log: " + std::string(64, '[') + std::string(64, ']') + "\n",
             "1:37: nested deeper than 32 levels\n"},
            {"thousands of brackets that nobody closes", "log: " + std::string(5000, '[') + "\n",
             "1:22: nested deeper than 32 levels\n"},
            {"thousands of braces at the top", std::string(5000, '{'), "1:32: nested deeper than 32 levels\n"},
            {"a few brackets that nobody closes", "[[[[\n", "2:1: not valid YAML: end of sequence flow not found\n"},
            {"a map as a key", "? {a: [b, {c: d}]}\n: e\n", "1:3: a key must be plain text\n"},
        });
}

TEST_CASE("an alias that grows without bound is refused") {
    std::string bomb = "a: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 10; ++i) {
        const std::string number = std::to_string(i);
        const std::string alias = std::string{"*a"}.append(std::to_string(i - 1));
        bomb.append("b").append(number).append(": &a").append(number).append(" [").append(alias);
        for (int j = 0; j < 9; ++j) bomb.append(", ").append(alias);
        bomb.append("]\n");
    }
    const ConfigResult result = load_config_text(bomb, "test.yaml");
    REQUIRE(result.errors.size() == 1);
    CHECK(result.errors[0].message == "too many values (more than 2097152)");
}

TEST_CASE("a text beyond the limit is refused") {
    const ConfigResult result = load_config_text(std::string((std::size_t{16} << 20) + 1, '#'), "test.yaml");
    REQUIRE(result.errors.size() == 1);
    CHECK(to_string(result.errors[0]) == "test.yaml:1:1: the text is longer than 16 MiB");
}

TEST_CASE("unknown, duplicate and missing keys") {
    check_bad(
        kTwoPorts,
        {
            {"near a known one", "conntrak: {max: 5}\n",
             "4:1: conntrak: unknown key 'conntrak': did you mean 'conntrack'?\n"},
            {"near nothing", "log: {colour: red}\n", "4:7: log.colour: unknown key 'colour' (known here: level)\n"},
            {"deep down", "filter:\n  forward:\n    rules:\n      - {dprot: 80, action: accept}\n",
             "7:10: filter.forward.rules[0].dprot: unknown key 'dprot': did you mean 'dport'?\n"},
            {"in one map twice", "log:\n  level: info\n  level: debug\n",
             "6:3: log.level: duplicate key 'level', first on line 5\n"},
            {"at the top twice", "ports: []\n", "4:1: ports: duplicate key 'ports', first on line 1\n"},
            {"a group twice", "groups:\n  addresses:\n    a: [192.0.2.1]\n    a: [192.0.2.2]\n",
             "7:5: groups.addresses.a: duplicate key 'a', first on line 6\n"},
            {"no action", "filter: {input: {rules: [{proto: tcp}]}}\n",
             "4:26: filter.input.rules[0]: the key 'action' is missing\n"},
        });
    check_bad("", {
                      {"no ports", "log: {level: info}\n", "1:1: the key 'ports' is missing\n"},
                      {"an empty list of ports", "ports: []\n", "1:8: ports: at least one port is needed\n"},
                      {"neither name nor role", "ports: [{device: d0}]\n",
                       "1:9: ports[0]: the key 'name' is missing\n1:9: ports[0]: the key 'role' is missing\n"},
                  });
}

TEST_CASE("wrong types") {
    check_bad(
        kTwoPorts,
        {
            {"text for a map", "conntrack: big\n", "4:12: conntrack: expected a map, found text 'big'\n"},
            {"a list for a map", "conntrack: [1]\n", "4:12: conntrack: expected a map, found a list\n"},
            {"nothing for a map", "conntrack:\n", "4:1: conntrack: expected a map, found nothing\n"},
            {"text for a list", "routes: none\n", "4:9: routes: expected a list, found text 'none'\n"},
            {"a map for a number", "conntrack: {max: {}}\n", "4:18: conntrack.max: expected a number, found a map\n"},
            {"text for a number", "conntrack: {max: many}\n", "4:18: conntrack.max: expected a number, found 'many'\n"},
            {"hexadecimal", "conntrack: {max: 0x10000}\n", "4:18: conntrack.max: expected a number, found '0x10000'\n"},
            {"a budget in words", "conntrack: {half_open: half}\n",
             "4:24: conntrack.half_open: expected a number of flows or a share (50%), found 'half'\n"},
            {"a fraction of a percent", "conntrack: {half_open: 0.5%}\n",
             "4:24: conntrack.half_open: expected a number of flows or a share (50%), found '0.5%'\n"},
            {"a fraction", "memory: {megabytes: 10.5}\n", "4:21: memory.megabytes: expected a number, found '10.5'\n"},
            {"text for a truth", "helpers: {ftp: {loose: maybe}}\n",
             "4:24: helpers.ftp.loose: expected true or false, found 'maybe'\n"},
            {"a list for a word", "log: {level: [info]}\n", "4:14: log.level: expected a word, found a list\n"},
            {"an unknown word", "log: {level: inof}\n",
             "4:14: log.level: unknown word 'inof': did you mean 'info'? (one of trace, debug, info, warning, "
             "error)\n"},
            {"no duration", "conntrack: {timeouts: {udp: soon}}\n",
             "4:29: conntrack.timeouts.udp: expected a duration such as 30s, 5m, 2h or 5d, found 'soon'\n"},
            {"no endpoint", "metrics: {listen: 9140}\n", "4:19: metrics.listen: '9140' is not address:port\n"},
            {"an IPv6 endpoint without brackets", "metrics: {listen: \"::1:9140\"}\n",
             "4:19: metrics.listen: '::1:9140' is not address:port: an IPv6 address stands in brackets, "
             "[::1]:9140\n"},
            {"a third way", "ipv6: maybe\n", "4:7: ipv6: unknown word 'maybe' (one of auto, on, off)\n"},
            {"a relative path", "control: {socket: sluice.sock}\n",
             "4:19: control.socket: 'sluice.sock' is not the absolute path of a file\n"},
            {"an empty list that would match nothing", "filter: {input: {rules: [{in: [], action: drop}]}}\n",
             "4:31: filter.input.rules[0].in: an empty list matches nothing: leave the key out to match all\n"},
        });
}

TEST_CASE("values out of range") {
    check_bad(
        kTwoPorts,
        {
            {"too many flows", "conntrack: {max: 134217729}\n",
             "4:18: conntrack.max: 134217729 is out of range 64..134217728\n"},
            {"more repeats than are counted", "conntrack: {tcp: {max_retrans: 256}}\n",
             "4:32: conntrack.tcp.max_retrans: 256 is out of range 0..255\n"},
            {"more than all", "conntrack: {half_open: 101%}\n",
             "4:24: conntrack.half_open: 101 is out of range 1..100\n"},
            {"no budget", "conntrack: {half_open: 0}\n", "4:24: conntrack.half_open: 0 is out of range 1..134217728\n"},
            {"beyond 64 bits", "conntrack: {max: 99999999999999999999}\n",
             "4:18: conntrack.max: 99999999999999999999 is out of range 64..134217728\n"},
            {"negative", "memory: {megabytes: -1}\n", "4:21: memory.megabytes: -1 is out of range 64..1048576\n"},
            {"no time", "conntrack: {timeouts: {udp: 0s}}\n",
             "4:29: conntrack.timeouts.udp: 0s is out of range 1s..180d\n"},
            {"too long a time", "conntrack: {timeouts: {udp: 181d}}\n",
             "4:29: conntrack.timeouts.udp: 181d is out of range 1s..180d\n"},
            {"a core that DPDK does not know", "workers: {cores: [1, 128]}\n",
             "4:22: workers.cores[1]: 128 is out of range 0..127\n"},
            {"no core", "workers: {cores: []}\n", "4:18: workers.cores: at least one core is needed\n"},
            {"FTP on port 0", "helpers: {ftp: {ports: [0]}}\n",
             "4:25: helpers.ftp.ports[0]: 0 is out of range 1..65535\n"},
            {"nine FTP ports", "helpers: {ftp: {ports: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}\n",
             "4:49: helpers.ftp.ports[8]: more than 8 ports\n"},
            {"an FTP port twice", "helpers: {ftp: {ports: [21, 21]}}\n",
             "4:29: helpers.ftp.ports[1]: port 21 is there twice\n"},
            {"a bucket without a rate", "punt: {new: {rate: 0}}\n",
             "4:20: punt.new.rate: 0 is out of range 1..10000000\n"},
            {"too many held packets", "neighbours: {hold: 1025}\n",
             "4:20: neighbours.hold: 1025 is out of range 0..1024\n"},
            {"a socket path beyond sun_path", "control: {socket: /" + std::string(107, 'x') + "}\n",
             "4:19: control.socket: the text has 108 bytes: at most 107 are possible\n"},
        });
}

TEST_CASE("ports that are wrong in themselves") {
    check_bad(
        "ports:\n",
        {
            {"no name for a port", "  - {name: 1st, device: d0, role: inside}\n",
             "2:12: ports[0].name: '1st' is not a name: a letter, then up to 30 letters, digits, '_', '-' or '.'\n"},
            {"the name of the box", "  - {name: kernel, device: d0, role: inside}\n",
             "2:12: ports[0].name: 'kernel' is reserved and cannot be a name\n"},
            {"a name too long for the twin", "  - {name: a-very-long-port-name, device: d0, role: inside}\n",
             "2:12: ports[0].name: the name cannot be that of the twin too ('a-very-long-port-name' is not a device "
             "name: "
             "1..15 characters, no space, '/', ':' or '%'): add the key 'tap'\n"},
            {"neither device nor parent", "  - {name: a, role: inside}\n",
             "2:5: ports[0]: a port needs a device, or a parent and a vlan\n"},
            {"device and VLAN", "  - {name: a, device: d0, vlan: 5, role: inside}\n",
             "2:23: ports[0].device: a port has either a device, or a parent and a vlan\n"},
            {"a VLAN of nothing", "  - {name: a, vlan: 5, role: inside}\n",
             "2:5: ports[0]: a vlan needs the key 'parent': the port that carries it\n"},
            {"VLAN 4095",
             "  - {name: a, device: d0, role: inside}\n  - {name: b, parent: a, vlan: 4095, role: inside}\n",
             "3:32: ports[1].vlan: 4095 is out of range 1..4094\n"},
            {"a MAC on a VLAN",
             "  - {name: a, device: d0, role: inside}\n  - {name: b, parent: a, vlan: 4, role: inside, mac: "
             "02:00:00:00:00:01}\n",
             "3:54: ports[1].mac: mac belongs to the parent, not to a VLAN of it\n"},
            {"a group MAC", "  - {name: a, device: d0, role: inside, mac: 01:00:5e:00:00:01}\n",
             "2:46: ports[0].mac: '01:00:5e:00:00:01' is not the MAC address of one station\n"},
            {"no MAC", "  - {name: a, device: d0, role: inside, mac: 02-00-00-00-00-01}\n",
             "2:46: ports[0].mac: '02-00-00-00-00-01' is not a MAC address such as 02:00:00:00:00:01\n"},
            {"a queue of 1000", "  - {name: a, device: d0, role: inside, rx_queue_size: 1000}\n",
             "2:56: ports[0].rx_queue_size: 1000 is not a power of two\n"},
            {"no prefix length", "  - {name: a, device: d0, role: inside, addresses: [192.0.2.1]}\n",
             "2:53: ports[0].addresses[0]: '192.0.2.1' has no prefix length: write it as 192.0.2.1/24\n"},
            {"the network itself", "  - {name: a, device: d0, role: inside, addresses: [192.0.2.0/24]}\n",
             "2:53: ports[0].addresses[0]: '192.0.2.0/24' is the address of the network, not of a host in it\n"},
            {"broadcast", "  - {name: a, device: d0, role: inside, addresses: [192.0.2.255/24]}\n",
             "2:53: ports[0].addresses[0]: '192.0.2.255/24' is the broadcast address of its network\n"},
            {"multicast", "  - {name: a, device: d0, role: inside, addresses: [224.0.0.1/24]}\n",
             "2:53: ports[0].addresses[0]: '224.0.0.1/24' is not a unicast address\n"},
            {"an IPv6 network", "  - {name: a, device: d0, role: inside, addresses: [2001:db8::/64]}\n",
             "2:53: ports[0].addresses[0]: '2001:db8::/64' is that of any router of the network (RFC 4291), not of a "
             "host\n"},
            {"an address of the link", "  - {name: a, device: d0, role: inside, addresses: [fe80::1/64]}\n",
             "2:53: ports[0].addresses[0]: 'fe80::1/64' is an address of the link, which each port has by itself\n"},
            {"an MTU without IPv6", "  - {name: a, device: d0, role: inside, mtu: 1279, addresses: [2001:db8::1/64]}\n",
             "2:46: ports[0].mtu: 1279 is less than the 1280 that IPv6 needs\n"},
            {"IPv6 in spite of all",
             "  - {name: a, device: d0, role: inside, addresses: [2001:db8::1/64]}\nipv6: off\n"
             "routes: [{to: default, via: \"2001:db8::2\"}]\n",
             "2:53: ports[0].addresses[0]: an IPv6 address, and ipv6 is off\n"
             "4:15: routes[0].to: an IPv6 route, and ipv6 is off\n"},
        });
}

TEST_CASE("names, devices, addresses, VLANs and cores that overlap") {
    check_bad(
        "",
        {
            {"a name twice",
             "ports:\n  - {name: a, device: d0, role: inside}\n  - {name: a, device: d1, role: inside}\n",
             "3:12: ports[1].name: the name 'a' is that of ports[0]\n"},
            {"a tap twice",
             "ports:\n  - {name: a, device: d0, role: inside}\n  - {name: b, device: d1, role: inside, tap: a}\n",
             "3:46: ports[1].tap: the tap 'a' is that of ports[0]\n"},
            {"a device twice, once with its domain",
             "ports:\n  - {name: a, device: \"0000:03:00.0\", role: inside}\n  - {name: b, device: \"03:00.0,x=1\", "
             "role: inside}\n",
             "3:23: ports[1].device: the device is that of ports[0]\n"},
            {"a PCI device twice, in capitals",
             "ports:\n  - {name: a, device: \"0000:af:00.0\", role: inside}\n  - {name: b, device: \"0000:AF:00.0\", "
             "role: inside}\n",
             "3:23: ports[1].device: the device is that of ports[0]\n"},
            {"a virtual device twice, with other arguments",
             "ports:\n  - {name: a, device: \"net_af_xdp0,iface=e0\", role: inside}\n"
             "  - {name: b, device: \"net_af_xdp0,iface=e1\", role: inside}\n",
             "3:23: ports[1].device: the device is that of ports[0]\n"},
            {"an interface under two devices",
             "ports:\n  - {name: a, device: \"net_af_xdp0,iface=e0\", role: inside}\n"
             "  - {name: b, device: \"net_af_xdp1,queue_count=2,iface=e0,start_queue=0\", role: inside}\n"
             "  - {name: c, device: \"net_af_packet0,iface=e0\", role: inside}\n"
             "  - {name: d, device: \"net_af_packet1,iface=e00\", role: inside}\n",
             "3:23: ports[1].device: the interface 'e0' is that of ports[0]\n"
             "4:23: ports[2].device: the interface 'e0' is that of ports[0]\n"},
            {"a tap that is the interface of a device, its own or another's",
             "ports:\n  - {name: a, device: \"net_af_xdp0,iface=e0\", role: inside, tap: e0}\n"
             "  - {name: b, device: \"net_af_xdp1,iface=e1\", role: inside, tap: e0x}\n"
             "  - {name: c, device: d2, role: inside, tap: e1}\n",
             "2:66: ports[0].tap: the tap 'e0' is the interface of the device of ports[0]\n"
             "4:46: ports[2].tap: the tap 'e1' is the interface of the device of ports[1]\n"},
            {"an address on two ports",
             "ports:\n  - {name: a, device: d0, role: inside, addresses: [192.0.2.1/24]}\n"
             "  - {name: b, device: d1, role: inside, addresses: [198.51.100.1/24, 192.0.2.1/25]}\n",
             "3:70: ports[1].addresses[1]: the address 192.0.2.1 is that of ports[0] too\n"},
            {"a network on two ports",
             "ports:\n  - {name: a, device: d0, role: inside, addresses: [198.51.100.1/24, 192.0.2.1/24]}\n"
             "  - {name: b, device: d1, role: inside, addresses: [192.0.2.2/24]}\n",
             "3:53: ports[1].addresses[0]: the network 192.0.2.0/24 is that of ports[0] too: one network, one port "
             "(or a zone for each)\n"},
            {"a network on two ports of one zone",
             "ports:\n  - {name: a, device: d0, role: inside, zone: 3, addresses: [192.0.2.1/24]}\n"
             "  - {name: b, device: d1, role: inside, zone: 3, addresses: [192.0.2.1/24]}\n"
             "  - {name: c, device: d2, role: inside, zone: 65536, addresses: [192.0.2.1/24]}\n",
             "3:62: ports[1].addresses[0]: the address 192.0.2.1 is that of ports[0] too\n"
             "4:47: ports[2].zone: 65536 is out of range 0..65535\n"},
            {"a network on a port and on a VLAN of it",
             "ports:\n  - {name: a, device: d0, role: inside, addresses: [192.0.2.0/31]}\n"
             "  - {name: b, parent: a, vlan: 7, role: inside, addresses: [192.0.2.1/31]}\n",
             "3:61: ports[1].addresses[0]: the network 192.0.2.0/31 is that of ports[0] too: one network, one port "
             "(or a zone for each)\n"},
            {"a VLAN twice",
             "ports:\n  - {name: a, device: d0, role: inside}\n  - {name: b, parent: a, vlan: 7, role: inside}\n"
             "  - {name: c, parent: a, vlan: 7, role: inside}\n",
             "4:32: ports[2].vlan: VLAN 7 of 'a' is that of ports[1]\n"},
            {"a VLAN of a VLAN",
             "ports:\n  - {name: a, device: d0, role: inside}\n  - {name: b, parent: a, vlan: 7, role: inside}\n"
             "  - {name: c, parent: b, vlan: 7, role: inside}\n",
             "4:23: ports[2].parent: 'b' is a VLAN itself: a parent has a device\n"},
            {"a VLAN of itself", "ports:\n  - {name: a, parent: a, vlan: 7, role: inside}\n",
             "2:23: ports[0].parent: a port cannot be its own parent\n"},
            {"a VLAN of nobody", "ports:\n  - {name: a, parent: trunk, vlan: 7, role: inside}\n",
             "2:23: ports[0].parent: unknown port 'trunk'\n"},
            {"a VLAN with a larger MTU than its parent",
             "ports:\n  - {name: a, device: d0, role: inside, mtu: 1500}\n  - {name: b, parent: a, vlan: 7, role: "
             "inside, mtu: 1504}\n",
             "3:54: ports[1].mtu: 1504 is more than the 1500 of the parent\n"},
            {"the control core works too", "ports: [{name: a, device: d0, role: inside}]\nworkers: {cores: [1, 0]}\n",
             "2:22: workers.cores[1]: core 0 is that of the control thread too (workers.main)\n"},
            {"a core twice", "ports: [{name: a, device: d0, role: inside}]\nworkers: {cores: [1, 2, 1]}\n",
             "2:25: workers.cores[2]: core 1 is there twice\n"},
            {"the control thread on the default core of the worker",
             "ports: [{name: a, device: d0, role: inside}]\nworkers: {main: 1}\n",
             "2:10: workers: core 1 is that of the control thread too (workers.main)\n"},
        });
}

TEST_CASE("networks that are no overlap, as on Linux") {
    const std::string port = "ports:\n  - {name: a, device: d0, role: inside, addresses: [10.0.0.1/8";
    SECTION("one within another: the longer prefix wins") {
        CHECK(load_config_text(port + "]}\n  - {name: b, device: d1, role: inside, addresses: [10.1.0.1/16]}\n", "t")
                  .ok());
    }
    SECTION("two addresses of one network on one port") {
        CHECK(load_config_text(port + ", 10.0.0.2/8]}\n", "t").ok());
    }
    SECTION("addresses without a network") {
        CHECK(load_config_text(port + "]}\n  - {name: b, device: d1, role: inside, addresses: [192.0.2.1/32]}\n"
                                      "  - {name: c, device: d2, role: inside, addresses: [192.0.2.2/32]}\n",
                               "t")
                  .ok());
    }
}

TEST_CASE("a port too many") {
    std::string text = "ports:\n";
    for (int i = 0; i < 64; ++i) {
        const std::string number = std::to_string(i);
        text.append("  - {name: p").append(number).append(", device: d").append(number).append(", role: inside}\n");
    }
    check_bad("", {{"64 ports", text, "2:3: ports: 64 ports: at most 63 are possible\n"}});
}

}  // namespace
}  // namespace sluice::config
