#include "control/config/next_hops.hh"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "control/config/parse_values.hh"

namespace sluice::config {
namespace {

constexpr std::size_t kMostShown = 8;

/// What lies directly behind a port.
struct Network {
    std::size_t port;
    AddressRange range;
    std::uint8_t prefix_length;
    bool has_broadcast;

    /// Values of IPv4 lie amidst those of IPv6.
    [[nodiscard]] bool holds(const IpAddress& address) const {
        return address.is_v4() == range.is_v4() && range.contains(address);
    }
    [[nodiscard]] std::string text() const { return to_string(range.first) + '/' + std::to_string(prefix_length); }
};

struct Neighbourhood {
    std::vector<Network> networks;
    /// By port, of IPv4 and of IPv6: the file does not say what lies behind it.
    std::vector<std::array<bool, 2>> unknown;

    explicit Neighbourhood(const Config& config) {
        for (std::size_t i = 0; i < config.ports.size(); ++i) {
            const auto& addresses = config.ports[i].addresses;
            // One that could not be read is reported elsewhere.
            const bool all_read = std::ranges::none_of(addresses, [](const auto& a) { return a.address == Ip4{}; });
            unknown.push_back({!all_read, !all_read});
            for (const bool v6 : {false, true})
                if (std::ranges::none_of(addresses, [&](const auto& a) { return a.address.is_v4() != v6; }))
                    unknown.back()[v6] = true;
            for (const InterfaceAddress& a : addresses)
                networks.push_back({i, network_range(a), a.prefix_length, a.address.is_v4() && a.prefix_length < 31});
        }
        for (const Route& route : config.routes) {
            if (route.via || route.out.empty()) continue;
            const auto port = std::ranges::find(config.ports, route.out, &Port::name);
            if (port == config.ports.end()) continue;
            const InterfaceAddress to{route.network, route.prefix_length};
            networks.push_back(
                {static_cast<std::size_t>(port - config.ports.begin()), network_range(to), to.prefix_length, false});
        }
    }

    [[nodiscard]] const Network* holder(const IpAddress& address) const {
        const auto found = std::ranges::find_if(networks, [&](const Network& n) { return n.holds(address); });
        return found == networks.end() ? nullptr : &*found;
    }
    /// Another port whose network holds it: with zones there may be one.
    [[nodiscard]] const Network* second_holder(const IpAddress& address) const {
        const Network* first = holder(address);
        const auto found = std::ranges::find_if(
            networks, [&](const Network& n) { return first != nullptr && n.port != first->port && n.holds(address); });
        return found == networks.end() ? nullptr : &*found;
    }
    [[nodiscard]] bool holds(std::size_t port, const IpAddress& address) const {
        return std::ranges::any_of(networks, [&](const Network& n) { return n.port == port && n.holds(address); });
    }
    [[nodiscard]] bool any_unknown(bool v6) const {
        return std::ranges::any_of(unknown, [&](const auto& port) { return port[v6]; });
    }
};

std::string port_path(std::size_t index) {
    return "ports[" + std::to_string(index) + "]";
}

/// "203.0.113.0/24 of 'wan'", of all ports or of one.
std::string list(const Config& config, const Neighbourhood& known, bool v6, std::optional<std::size_t> port) {
    std::string text;
    std::size_t count = 0;
    for (const Network& network : known.networks) {
        if ((port && network.port != *port) || network.range.is_v4() == v6) continue;
        if (++count > kMostShown) continue;
        if (count > 1) text += ", ";
        text += network.text();
        if (!port) text += " of " + in_quotes(config.ports[network.port].name);
    }
    if (count > kMostShown) text += " and " + std::to_string(count - kMostShown) + " more";
    return text;
}

/// What is wrong with `via`, or nothing.
std::string complaint(const Config& config, const Neighbourhood& known, const Route& route) {
    const IpAddress via = *route.via;
    const bool v6 = !via.is_v4();
    if (v6 && via.is_link_local()) return {};  // in a network of every port
    for (std::size_t i = 0; i < config.ports.size(); ++i)
        for (const InterfaceAddress& a : config.ports[i].addresses)
            if (a.address == via) return to_string(via) + " is an address of the box itself (" + port_path(i) + ")";

    const auto broadcast = [&](std::optional<std::size_t> port) -> std::string {
        for (const Network& network : known.networks)
            if ((!port || network.port == *port) && network.has_broadcast && network.range.last == via)
                return to_string(via) + " is the broadcast address of " + network.text();
        return {};
    };
    const Network* holder = known.holder(via);
    if (route.out.empty()) {
        if (std::string why = broadcast(std::nullopt); !why.empty()) return why;
        const Network* second = known.second_holder(via);
        if (second != nullptr && config.ports[holder->port].zone != config.ports[second->port].zone)
            return to_string(via) + " is in a network of " + in_quotes(config.ports[holder->port].name) +
                   " and in one of " + in_quotes(config.ports[second->port].name) +
                   ", in different zones: add the key 'out'";
        if (holder != nullptr || known.any_unknown(v6)) return {};
        return to_string(via) + " is in no network of a port: " + list(config, known, v6, std::nullopt);
    }
    const auto port = std::ranges::find(config.ports, route.out, &Port::name);
    if (port == config.ports.end()) return {};
    const auto index = static_cast<std::size_t>(port - config.ports.begin());
    if (std::string why = broadcast(index); !why.empty()) return why;
    if (known.holds(index, via) || known.unknown[index][v6]) return {};
    return to_string(via) + " is in no network of " + in_quotes(route.out) + " (" + list(config, known, v6, index) +
           ")" +
           (holder == nullptr ? std::string{}
                              : ", but in " + holder->text() + " of " + in_quotes(config.ports[holder->port].name));
}

}  // namespace

void check_next_hops(const Config& config, Places& places) {
    if (config.ports.empty()) return;  // that is complaint enough
    const Neighbourhood known{config};
    for (std::size_t i = 0; i < config.routes.size(); ++i) {
        if (!config.routes[i].via) continue;
        if (std::string why = complaint(config, known, config.routes[i]); !why.empty())
            places.error({"routes", i, "via"}, std::move(why));
    }
}

}  // namespace sluice::config
