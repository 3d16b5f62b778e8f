#include "control/config/validate.hh"

#include <cctype>
#include <map>
#include <set>
#include <tuple>

#include "control/config/families.hh"
#include "control/config/memory.hh"
#include "control/config/next_hops.hh"
#include "control/config/overlap.hh"
#include "control/config/places.hh"
#include "control/config/resolve.hh"
#include "control/config/sections.hh"

namespace sluice::config {
namespace {

std::string port_path(std::size_t index) {
    return "ports[" + std::to_string(index) + "]";
}

void check_workers(const Workers& workers, Places& places) {
    std::set<unsigned> seen;
    for (std::size_t i = 0; i < workers.cores.size(); ++i) {
        const unsigned core = workers.cores[i];
        if (core == kNoCore) continue;
        if (core == workers.main) {
            places.error({"workers", "cores", i},
                         "core " + std::to_string(core) + " is that of the control thread too (workers.main)");
        }
        if (!seen.insert(core).second) {
            places.error({"workers", "cores", i}, "core " + std::to_string(core) + " is there twice");
        }
    }
}

/// The part of a device argument that DPDK takes for its identity. PCI addresses have several spellings.
std::string device_identity(std::string_view device) {
    device = device.substr(0, device.find(','));
    if (device.find(':') == std::string_view::npos) return std::string{device};
    if (device.starts_with("0000:")) device.remove_prefix(5);
    std::string pci{device};
    for (char& c : pci) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return pci;
}

/// The kernel's interface that a virtual device sits on (its argument iface), or nothing.
std::string interface_of_device(std::string_view device) {
    constexpr std::string_view kArgument = ",iface=";
    const auto at = device.find(kArgument);
    if (at == std::string_view::npos) return {};
    device.remove_prefix(at + kArgument.size());
    return std::string{device.substr(0, device.find(','))};
}

/// The index of the earlier port that has it, when there is one.
template <class Key>
std::optional<std::size_t> taken(std::map<Key, std::size_t>& seen, const Key& key, std::size_t index) {
    const auto [at, first] = seen.emplace(key, index);
    return first ? std::nullopt : std::optional{at->second};
}

void check_port_identities(const std::vector<Port>& ports, Places& places) {
    std::map<std::string, std::size_t> names;
    std::map<std::string, std::size_t> taps;
    std::map<std::string, std::size_t> devices;
    std::map<std::string, std::size_t> interfaces;
    for (std::size_t i = 0; i < ports.size(); ++i) {
        const Port& port = ports[i];
        bool same_name = false;
        if (!port.name.empty()) {
            if (const auto other = taken(names, port.name, i)) {
                same_name = true;
                places.error({"ports", i, "name"},
                             "the name " + in_quotes(port.name) + " is that of " + port_path(*other));
            }
        }
        // A twin named after its port is no second mistake.
        if (!port.tap.empty() && !(same_name && port.tap == port.name)) {
            if (const auto other = taken(taps, port.tap, i)) {
                places.error({"ports", i, "tap"},
                             "the tap " + in_quotes(port.tap) + " is that of " + port_path(*other));
            }
        }
        if (port.device.empty()) continue;
        const std::string interface = interface_of_device(port.device);
        if (const auto other = taken(devices, device_identity(port.device), i)) {
            places.error({"ports", i, "device"}, "the device is that of " + port_path(*other));
        } else if (!interface.empty()) {
            if (const auto user = taken(interfaces, interface, i)) {
                places.error({"ports", i, "device"},
                             "the interface " + in_quotes(interface) + " is that of " + port_path(*user));
            }
        }
    }
    // A twin is a device of its own.
    for (std::size_t i = 0; i < ports.size(); ++i) {
        const auto found = interfaces.find(ports[i].tap);
        if (ports[i].tap.empty() || found == interfaces.end()) continue;
        places.error({"ports", i, "tap"}, "the tap " + in_quotes(ports[i].tap) + " is the interface of the device of " +
                                              port_path(found->second));
    }
}

void check_vlans(const Config& config, Places& places) {
    std::map<std::pair<std::string, std::uint16_t>, std::size_t> seen;
    std::map<std::string_view, const Port*> by_name;
    for (const Port& port : config.ports) by_name.emplace(port.name, &port);
    for (std::size_t i = 0; i < config.ports.size(); ++i) {
        const Port& port = config.ports[i];
        if (!port.is_vlan()) continue;
        const auto parent = by_name.find(port.parent);
        if (parent != by_name.end()) {
            if (parent->second == &port) {
                places.error({"ports", i, "parent"}, "a port cannot be its own parent");
            } else if (parent->second->is_vlan()) {
                places.error({"ports", i, "parent"},
                             in_quotes(port.parent) + " is a VLAN itself: a parent has a device");
            } else if (port.mtu && parent->second->mtu && *port.mtu > *parent->second->mtu) {
                places.error({"ports", i, "mtu"}, std::to_string(*port.mtu) + " is more than the " +
                                                      std::to_string(*parent->second->mtu) + " of the parent");
            }
        }
        if (port.vlan == 0) continue;
        if (const auto other = taken(seen, {port.parent, port.vlan}, i)) {
            places.error({"ports", i, "vlan"}, "VLAN " + std::to_string(port.vlan) + " of " + in_quotes(port.parent) +
                                                   " is that of " + port_path(*other));
        }
    }
}

/// In one conntrack zone no address twice, and no network on two ports: only one of the two could be reached. A network
/// within another is well, the longer prefix wins; so are two addresses of one network on the same port.
void check_addresses(const Config& config, Places& places) {
    std::map<std::pair<std::uint16_t, IpAddress>, std::size_t> seen;
    std::map<std::tuple<std::uint16_t, IpAddress, std::uint8_t>, std::size_t> networks;
    for (std::size_t i = 0; i < config.ports.size(); ++i) {
        const std::uint16_t zone = config.ports[i].zone;
        for (std::size_t j = 0; j < config.ports[i].addresses.size(); ++j) {
            const auto [address, length] = config.ports[i].addresses[j];
            if (address == IpAddress{Ip4{}}) continue;
            if (const auto other = taken(seen, {zone, address}, i)) {
                places.error({"ports", i, "addresses", j},
                             "the address " + to_string(address) + " is that of " + port_path(*other) + " too");
                continue;
            }
            const IpAddress network = network_range({address, length}).first;
            const auto other = taken(networks, {zone, network, length}, i);
            if (!other || *other == i) continue;
            places.error({"ports", i, "addresses", j}, "the network " + to_string(network) + "/" +
                                                           std::to_string(length) + " is that of " + port_path(*other) +
                                                           " too: one network, one port (or a zone for each)");
        }
    }
}

void check_routes(const std::vector<Route>& routes, Places& places) {
    std::map<std::tuple<IpAddress, std::uint8_t, std::optional<IpAddress>, std::string>, std::size_t> seen;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        const Route& route = routes[i];
        if (!route.via && route.out.empty()) continue;
        if (const auto other = taken(seen, {route.network, route.prefix_length, route.via, route.out}, i)) {
            places.error({"routes", i}, "the same route as routes[" + std::to_string(*other) + "]");
        }
    }
}

/// The groups that a group names, by index; unknown ones left out.
template <class Group>
std::vector<std::vector<std::size_t>> edges_of(const std::vector<Group>& groups) {
    std::map<std::string_view, std::size_t> index;
    for (std::size_t i = 0; i < groups.size(); ++i) index.emplace(groups[i].name, i);
    std::vector<std::vector<std::size_t>> edges(groups.size());
    for (std::size_t i = 0; i < groups.size(); ++i) {
        for (const auto& item : groups[i].items) {
            const auto* name = std::get_if<std::string>(&item);
            if (name == nullptr) continue;
            if (const auto found = index.find(*name); found != index.end()) edges[i].push_back(found->second);
        }
    }
    return edges;
}

/// True for each group from which a circle can be reached: what is left when groups that lead nowhere are taken away,
/// again and again. Without recursion: a file may nest groups as deep as it is long.
std::vector<bool> lead_to_circles(const std::vector<std::vector<std::size_t>>& edges) {
    std::vector<std::size_t> open_edges(edges.size());
    std::vector<std::vector<std::size_t>> named_by(edges.size());
    std::vector<std::size_t> ends;
    for (std::size_t i = 0; i < edges.size(); ++i) {
        open_edges[i] = edges[i].size();
        for (const std::size_t to : edges[i]) named_by[to].push_back(i);
        if (edges[i].empty()) ends.push_back(i);
    }
    std::vector<bool> left(edges.size(), true);
    while (!ends.empty()) {
        const std::size_t end = ends.back();
        ends.pop_back();
        left[end] = false;
        for (const std::size_t from : named_by[end]) {
            if (--open_edges[from] == 0) ends.push_back(from);
        }
    }
    return left;
}

template <class Group>
void check_circles(const std::vector<Group>& groups, const char* kind, Places& places) {
    const auto edges = edges_of(groups);
    const std::vector<bool> left = lead_to_circles(edges);
    constexpr std::size_t kNever = 0;
    std::vector<std::size_t> walk_of(groups.size(), kNever);
    for (std::size_t start = 0; start < groups.size(); ++start) {
        if (!left[start] || walk_of[start] != kNever) continue;
        std::vector<std::size_t> walk;
        std::size_t at = start;
        while (walk_of[at] == kNever) {
            walk_of[at] = start + 1;
            walk.push_back(at);
            for (const std::size_t to : edges[at]) {
                if (!left[to]) continue;
                at = to;
                break;
            }
        }
        if (walk_of[at] != start + 1) continue;  // this walk ran into one that was reported before
        std::string names;
        bool in_circle = false;
        for (const std::size_t member : walk) {
            in_circle = in_circle || member == at;
            if (in_circle) names += groups[member].name + " -> ";
        }
        places.error({"groups", kind, groups[at].name}, "the group contains itself: " + names + groups[at].name);
    }
}

/// A target's tenant must be there.
void check_zones(const Config& config, Places& places) {
    for (std::size_t i = 0; i < config.nat.size(); ++i) {
        const Dnat* dnat = std::get_if<Dnat>(&config.nat[i].action);
        if (dnat == nullptr || !dnat->zone) continue;
        if (std::ranges::find(config.ports, *dnat->zone, &Port::zone) != config.ports.end()) continue;
        places.error({"nat", i, "dnat", "zone"}, "no port is in zone " + std::to_string(*dnat->zone));
    }
}

/// Group names in snat.to and dnat.to: literals were checked where they stand.
void check_targets(const Config& config, Places& places) {
    for (std::size_t i = 0; i < config.nat.size(); ++i) {
        const NatRule& rule = config.nat[i];
        const auto& targets = rule.is_snat() ? std::get<Snat>(rule.action).to : std::get<Dnat>(rule.action).to;
        for (std::size_t j = 0; j < targets.size(); ++j) {
            if (!std::holds_alternative<std::string>(targets[j])) continue;
            for (const AddressRange& range : expand_addresses(config.groups, {targets[j]})) {
                if (is_unicast(range.first) && is_unicast(range.last)) continue;
                places.error({"nat", i, rule.is_snat() ? "snat" : "dnat", "to", j},
                             in_quotes(to_string(range)) + " in the group is not a unicast address");
                break;
            }
        }
    }
}

/// The least MTU that IPv6 works with (RFC 8200, 5), and addresses that nobody would use.
void check_ipv6(const Config& config, Places& places) {
    constexpr std::uint16_t kLeastMtu = 1280;
    for (std::size_t i = 0; i < config.ports.size(); ++i) {
        const Port& port = config.ports[i];
        for (std::size_t j = 0; j < port.addresses.size(); ++j) {
            if (port.addresses[j].address.is_v4()) continue;
            if (config.ipv6 == Ipv6Mode::off) {
                places.error({"ports", i, "addresses", j}, "an IPv6 address, and ipv6 is off");
            } else if (port.mtu && *port.mtu < kLeastMtu) {
                places.error({"ports", i, "mtu"}, std::to_string(*port.mtu) + " is less than the " +
                                                      std::to_string(kLeastMtu) + " that IPv6 needs");
                break;
            }
        }
    }
    if (config.ipv6 != Ipv6Mode::off) return;
    for (std::size_t i = 0; i < config.routes.size(); ++i) {
        if (!config.routes[i].network.is_v4()) places.error({"routes", i, "to"}, "an IPv6 route, and ipv6 is off");
    }
}

/// What two parts of one rule say of its packets' family must go together.
template <class Rule, class Error>
void check_family(const Rule& rule, const FamilyIndex& index, Error error) {
    std::vector<FamilyClue> clues = index.clues(rule);
    if (rule.proto == static_cast<std::uint8_t>(IpProto::icmp)) clues.insert(clues.begin(), {"proto", Families::ip4});
    if (rule.proto == static_cast<std::uint8_t>(IpProto::icmpv6)) clues.insert(clues.begin(), {"proto", Families::ip6});
    for (const FamilyClue& clue : clues) {
        if (clue.families == clues.front().families) continue;
        return error(clue.key, std::string{clue.key} + " is of " + std::string{name_of(clue.families)} + ", and " +
                                   std::string{clues.front().key} + " of " +
                                   std::string{name_of(clues.front().families)} + ": no packet is of both");
    }
}

void check_families(const Config& config, Places& places) {
    const FamilyIndex index{config.groups};
    const auto check_rules = [&](const char* section, const char* chain, const std::vector<FilterRule>& rules,
                                 bool in_chain) {
        for (std::size_t i = 0; i < rules.size(); ++i) {
            check_family(rules[i], index, [&](std::string_view key, std::string message) {
                const std::string at{key};
                if (in_chain) {
                    places.error({section, chain, "rules", i, at}, std::move(message));
                } else {
                    places.error({section, chain, i, at}, std::move(message));
                }
            });
        }
    };
    check_rules("raw", "prerouting", config.raw.prerouting, false);
    check_rules("raw", "output", config.raw.output, false);
    check_rules("filter", "input", config.filter.input.rules, true);
    check_rules("filter", "forward", config.filter.forward.rules, true);
    check_rules("filter", "output", config.filter.output.rules, true);
    for (std::size_t i = 0; i < config.nat.size(); ++i) {
        const NatRule& rule = config.nat[i];
        const char* action = rule.is_snat() ? "snat" : "dnat";
        const auto& targets = rule.is_snat() ? std::get<Snat>(rule.action).to : std::get<Dnat>(rule.action).to;
        if (index.of(targets) == Families::both) {
            places.error({"nat", i, action, "to"}, "addresses of IPv4 and of IPv6: write a rule for each");
            continue;
        }
        check_family(rule, index, [&](std::string_view key, std::string message) {
            places.error({"nat", i, std::string{key}}, std::move(message));
        });
    }
}

/// In dnat.to an address may be there twice: it gets two shares.
void check_pools(const Config& config, Places& places) {
    for (std::size_t i = 0; i < config.nat.size(); ++i) {
        if (!config.nat[i].is_snat()) continue;
        for (const Overlap& overlap : find_overlaps(config.groups, std::get<Snat>(config.nat[i].action).to)) {
            places.error({"nat", i, "snat", "to", overlap.item}, in_quotes(to_string(overlap.range)) + " overlaps " +
                                                                     in_quotes(to_string(overlap.with)) +
                                                                     ": a pool counts each address once");
        }
    }
}

/// A timeout policy is for one protocol, and so must be the rule that gives it to flows.
void check_timeout_rules(const Config& config, const char* name, const Chain& chain, Places& places) {
    for (std::size_t i = 0; i < chain.rules.size(); ++i) {
        const FilterRule& rule = chain.rules[i];
        const auto policy =
            std::ranges::find(config.conntrack.timeout_policies, rule.set_timeout, &TimeoutPolicy::name);
        if (policy == config.conntrack.timeout_policies.end() || rule.proto == policy->proto) continue;
        places.error({"filter", name, "rules", i, "set", "timeout"},
                     "the policy " + in_quotes(policy->name) + " needs proto: " + proto_name(policy->proto));
    }
}

struct KnownNames {
    std::string_view what;
    std::set<std::string_view> names;
    std::vector<std::string_view> suggestions;  ///< bounded: each unknown name is compared with all of them

    template <class Named>
    KnownNames(std::string_view kind, const std::vector<Named>& all) : what{kind} {
        constexpr std::size_t kMostSuggestions = 256;
        for (const Named& one : all) {
            names.insert(one.name);
            if (suggestions.size() < kMostSuggestions) suggestions.push_back(one.name);
        }
    }
};

void check_memory(const Config& config, Places& places) {
    const MemoryNeed need = memory_need(config);
    if (need.megabytes() <= config.memory.megabytes) return;
    places.error({"memory", "megabytes"}, std::to_string(config.memory.megabytes) + " is too little: at least " +
                                              std::to_string(need.megabytes()) + " are needed, " + to_string(need));
}

void check_references(const Config& config, Findings& findings) {
    const KnownNames ports{"port", config.ports};
    const KnownNames address_groups{"address group", config.groups.addresses};
    const KnownNames port_groups{"port group", config.groups.ports};
    const KnownNames timeout_policies{"timeout policy", config.conntrack.timeout_policies};
    for (const Reference& reference : findings.references) {
        const KnownNames& known = reference.kind == Reference::Kind::port            ? ports
                                  : reference.kind == Reference::Kind::address_group ? address_groups
                                  : reference.kind == Reference::Kind::port_group    ? port_groups
                                                                                     : timeout_policies;
        if (known.names.contains(reference.name)) continue;
        std::string message = "unknown " + std::string{known.what} + " " + in_quotes(reference.name);
        const bool shown = findings.error_count() < Findings::kMaxErrors;
        const std::string_view near = shown ? nearest_word(reference.name, known.suggestions) : std::string_view{};
        if (&known == &ports && reference.name == "kernel") {
            message = "'kernel' is not a port: use the chains input and output for packets to and from the box";
        } else if (!near.empty()) {
            message += ": did you mean " + in_quotes(near) + "?";
        }
        findings.error(reference.at, reference.path, std::move(message));
    }
}

}  // namespace

void validate(const Config& config, const YamlNode& root, Findings& findings) {
    Places places{root, findings};
    check_workers(config.workers, places);
    check_port_identities(config.ports, places);
    check_vlans(config, places);
    check_addresses(config, places);
    check_routes(config.routes, places);
    check_next_hops(config, places);
    check_circles(config.groups.addresses, "addresses", places);
    check_circles(config.groups.ports, "ports", places);
    check_targets(config, places);
    check_zones(config, places);
    check_pools(config, places);
    check_ipv6(config, places);
    check_families(config, places);
    check_timeout_rules(config, "input", config.filter.input, places);
    check_timeout_rules(config, "forward", config.filter.forward, places);
    check_timeout_rules(config, "output", config.filter.output, places);
    check_references(config, findings);
    if (findings.error_count() == 0) check_memory(config, places);
}

}  // namespace sluice::config
