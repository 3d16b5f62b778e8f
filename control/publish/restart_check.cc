#include "control/publish/restart_check.hh"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "control/compile/limits.hh"
#include "control/config/parse_values.hh"

namespace sluice {
namespace {

using config::Config;
using config::Port;

class Findings {
public:
    void add(std::initializer_list<std::string_view> parts) {
        std::string text;
        for (const std::string_view part : parts) text += part;
        text += ": needs a restart";
        list.push_back(std::move(text));
    }
    template <class T>
    void compare(std::string_view path, const T& before, const T& after) {
        if (before != after) add({path, " has changed"});
    }

    std::vector<std::string> list;
};

void compare_port(const Port& before, const Port& after, Findings& findings) {
    const auto compare = [&](std::string_view key, const auto& a, const auto& b) {
        if (a != b) findings.add({"port '", after.name, "': ", key, " has changed"});
    };
    compare("device", before.device, after.device);
    compare("parent", before.parent, after.parent);
    compare("vlan", before.vlan, after.vlan);
    compare("role", before.role, after.role);
    compare("zone", before.zone, after.zone);
    compare("tap", before.tap, after.tap);
    compare("mtu", before.mtu, after.mtu);
    compare("mac", before.mac, after.mac);
    compare("rx_queue_size", before.rx_queue_size, after.rx_queue_size);
    compare("tx_queue_size", before.tx_queue_size, after.tx_queue_size);
    // Addresses are the kernel's: they are set on the twin at run time.
}

const Port* find_port(const std::vector<Port>& ports, std::string_view name) {
    const auto found = std::ranges::find(ports, name, &Port::name);
    return found == ports.end() ? nullptr : &*found;
}

void compare_ports(const std::vector<Port>& before, const std::vector<Port>& after, Findings& findings) {
    for (const Port& port : before)
        if (find_port(after, port.name) == nullptr) findings.add({"port '", port.name, "' is gone"});
    for (const Port& port : after) {
        const Port* same = find_port(before, port.name);
        if (same == nullptr) {
            findings.add({"port '", port.name, "' is new"});
        } else {
            compare_port(*same, port, findings);
        }
    }
    // Workers know ports by their place in the list.
    if (findings.list.empty() && !std::ranges::equal(before, after, {}, &Port::name, &Port::name))
        findings.add({"ports: their order has changed"});
}

/// Room is fixed at start; within it limits move freely.
void check_room(std::string_view path, std::uint32_t wanted, std::uint32_t capacity, unsigned workers,
                Findings& findings) {
    if (compile::share_of(wanted, workers) <= capacity) return;
    findings.add({path, ": ", std::to_string(wanted), " is more than the ",
                  std::to_string(compile::total_of(capacity, workers)), " that the tables were made for"});
}

}  // namespace

std::vector<std::string> needs_restart(const Config& running, const Config& wanted, const CompileTarget& target) {
    Findings findings;
    compare_ports(running.ports, wanted.ports, findings);
    findings.compare("workers.cores", running.workers.cores, wanted.workers.cores);
    findings.compare("workers.main", running.workers.main, wanted.workers.main);
    findings.compare("workers.idle", running.workers.idle, wanted.workers.idle);
    findings.compare("memory.hugepages", running.memory.hugepages, wanted.memory.hugepages);
    findings.compare("memory.megabytes", running.memory.megabytes, wanted.memory.megabytes);
    findings.compare("ipv6", config::uses_ipv6(running), config::uses_ipv6(wanted));
    if (running.conntrack.max != wanted.conntrack.max && wanted.conntrack.max)  // auto: whatever there is
        check_room("conntrack.max", *wanted.conntrack.max, target.flow_capacity, target.workers, findings);
    if (running.conntrack.expect_max != wanted.conntrack.expect_max)
        check_room("conntrack.expect_max", wanted.conntrack.expect_max, target.expectation_capacity, target.workers,
                   findings);
    findings.compare("neighbours", running.neighbours, wanted.neighbours);
    findings.compare("fragments", running.fragments, wanted.fragments);
    findings.compare("metrics.listen", running.metrics.listen, wanted.metrics.listen);
    findings.compare("control.socket", running.control.socket, wanted.control.socket);
    return std::move(findings.list);
}

}  // namespace sluice
