// rules, nat, ports, stats, expectations, config, version, metrics: one GET, one table.
#include <memory>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "tools/sluicectl/commands.hh"
#include "tools/sluicectl/table.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;
using Align = Table::Align;

std::uint64_t number(const json::value& object, const char* key) {
    return object.at(key).to_number<std::uint64_t>();
}
std::string digits(const json::value& object, const char* key) {
    return std::to_string(number(object, key));
}
std::string text(const json::value& object, const char* key) {
    return std::string(object.at(key).as_string());
}

std::string with_comment(const json::value& rule) {
    const std::string comment = text(rule, "comment");
    return comment.empty() ? text(rule, "rule") : fmt::format("{}  # {}", text(rule, "rule"), comment);
}

std::string rules_text(const json::value& rules) {
    Table table({{"CHAIN"}, {"#", Align::right}, {"PACKETS", Align::right}, {"BYTES", Align::right}, {"RULE"}});
    for (const auto& rule : rules.as_array())
        table.add({text(rule, "chain"), number(rule, "number") == 0 ? "-" : digits(rule, "number"),
                   digits(rule, "packets"), digits(rule, "bytes"), with_comment(rule)});
    return table.text();
}

std::string nat_text(const json::value& rules) {
    Table table({{"#", Align::right},
                 {"KIND"},
                 {"FLOWS CREATED", Align::right},
                 {"POOL ADDRESSES", Align::right},
                 {"POOL IN USE", Align::right},
                 {"POOL EXHAUSTED", Align::right},
                 {"RULE"}});
    for (const auto& rule : rules.as_array()) {
        const auto* pool = rule.as_object().if_contains("pool");
        const auto cell = [&](const char* key) { return pool == nullptr ? "-" : digits(*pool, key); };
        table.add({digits(rule, "number"), text(rule, "kind"), digits(rule, "flows_created"), cell("addresses"),
                   cell("in_use"), cell("exhausted"), with_comment(rule)});
    }
    return table.text();
}

std::string ports_text(const json::value& ports) {
    Table table({{"PORT"},
                 {"ROLE"},
                 {"LINK"},
                 {"DEVICE"},
                 {"TWIN"},
                 {"TWIN LINK"},
                 {"MAC"},
                 {"MTU", Align::right},
                 {"RX PACKETS", Align::right},
                 {"RX BYTES", Align::right},
                 {"RX MISSED", Align::right},
                 {"TX PACKETS", Align::right},
                 {"TX BYTES", Align::right},
                 {"ADDRESSES"}});
    for (const auto& port : ports.as_array()) {
        std::string addresses;
        for (const auto& address : port.at("addresses").as_array())
            addresses += (addresses.empty() ? "" : " ") + std::string(address.as_string());
        table.add({text(port, "name"), text(port, "role"), port.at("up").as_bool() ? "up" : "down",
                   text(port, "device"), text(port, "tap"), port.at("twin_up").as_bool() ? "up" : "down",
                   text(port, "mac"), digits(port, "mtu_bytes"), digits(port.at("received"), "packets"),
                   digits(port.at("received"), "bytes"), digits(port, "receive_missed"),
                   digits(port.at("transmitted"), "packets"), digits(port.at("transmitted"), "bytes"), addresses});
    }
    return table.text();
}

std::string workers_text(const json::value& stats) {
    Table table({{"WORKER", Align::right},
                 {"LCORE", Align::right},
                 {"BUSY", Align::right},
                 {"FLOWS", Align::right},
                 {"BORN", Align::right},
                 {"DIED", Align::right},
                 {"HANDED OFF", Align::right},
                 {"HELD", Align::right},
                 {"CACHED VERDICTS", Align::right}});
    const auto share = [](std::uint64_t part, std::uint64_t rest) {
        const auto all = static_cast<double>(part) + static_cast<double>(rest);
        return all > 0 ? fmt::format("{:.1f} %", 100.0 * static_cast<double>(part) / all) : std::string("-");
    };
    for (const auto& w : stats.at("workers").as_array())
        table.add({digits(w, "worker"), digits(w, "lcore"), share(number(w, "busy_cycles"), number(w, "idle_cycles")),
                   digits(w, "flows"), digits(w, "flows_born"), digits(w, "flows_died"), digits(w, "handoffs_sent"),
                   digits(w, "held_packets"),
                   share(number(w, "verdict_cache_hits"), number(w, "verdict_cache_misses"))});
    return table.text();
}

/// Packets by reason, of the list `key`; reasons that never came up only when `all`.
std::string reasons_text(const json::value& stats, const char* key, const char* title, bool all) {
    Table table({{title, Align::right}, {"REASON"}, {"MEANING"}});
    std::uint64_t sum = 0;
    for (const auto& reason : stats.at(key).as_array()) {
        sum += number(reason, "packets");
        if (all || number(reason, "packets") > 0)
            table.add({digits(reason, "packets"), text(reason, "reason"), text(reason, "help")});
    }
    return table.empty() ? std::string() : fmt::format("{}in all: {}\n", table.text(), sum);
}

std::string drops_text(const json::value& stats, bool all) {
    const std::string invalid = reasons_text(stats, "invalid", "INVALID", all);
    const std::string drops = reasons_text(stats, "drops", "DROPPED", all);
    return invalid + (invalid.empty() ? "" : "\n") + (drops.empty() ? "no packet was dropped\n" : drops);
}

std::string flows_text(const json::value& stats) {
    Table table({{"PROTO"}, {"STATE"}, {"FLOWS", Align::right}});
    for (const auto& group : stats.at("flows").as_array())
        if (number(group, "flows") > 0) table.add({text(group, "proto"), text(group, "state"), digits(group, "flows")});
    return table.empty() ? "no flows\n" : table.text();
}

std::string punts_text(const json::value& stats) {
    Table table({{"PUNT CLASS"}, {"PASSED", Align::right}, {"LIMITED", Align::right}});
    for (const auto& punt : stats.at("punts").as_array())
        table.add({text(punt, "class"), digits(punt, "passed"), digits(punt, "limited")});
    return table.text();
}

std::string stats_text(const json::value& stats, bool all) {
    const auto& ftp = stats.at("ftp");
    std::uint64_t half_open = 0;
    for (const auto& worker : stats.at("workers").as_array()) half_open += number(worker, "half_open");
    return fmt::format("up {}, policy generation {}, reloads {} ({} failed)\nflow limit {}{}, half-open {} of {}\n\n",
                       human_duration(static_cast<std::uint64_t>(stats.at("uptime_s").to_number<double>())),
                       number(stats, "policy_generation"), number(stats, "reloads"), number(stats, "reload_failures"),
                       number(stats, "flow_limit"),
                       stats.at("flow_limit_from_memory").as_bool() ? " (from memory.megabytes)" : "", half_open,
                       number(stats, "half_open_limit")) +
           workers_text(stats) + '\n' + flows_text(stats) + '\n' + punts_text(stats) + '\n' +
           fmt::format(
               "ftp: {} commands, {} rewritten, {} joined, {} refused, {} malformed; expectations: {} created, "
               "{} fulfilled, {} expired, {} refused\n\n",
               number(ftp, "commands_seen"), number(ftp, "rewrites"), number(ftp, "split_commands_joined"),
               number(ftp, "refusals"), number(ftp, "malformed"), number(ftp, "expectations_created"),
               number(ftp, "expectations_fulfilled"), number(ftp, "expectations_expired"),
               number(ftp, "expectations_refused")) +
           drops_text(stats, all);
}

std::string endpoint(const json::value& tuple, const char* address, const char* port) {
    const auto* value = tuple.as_object().if_contains(port);
    std::string host = text(tuple, address);
    if (value == nullptr) return host;
    const auto digit = value->to_number<std::uint64_t>();
    const std::string shown = digit == 0 ? "*" : std::to_string(digit);
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, shown)
                                               : fmt::format("[{}]:{}", host, shown);
}

std::string expectations_text(const json::value& list) {
    Table table({{"PROTO"}, {"FROM"}, {"TO"}, {"EXPIRES", Align::right}, {"HELPER"}, {"ANNOUNCED BY"}});
    for (const auto& e : list.as_array())
        table.add({text(e, "proto_name"), endpoint(e.at("tuple"), "src", "sport"),
                   endpoint(e.at("tuple"), "dst", "dport"), digits(e, "timeout_s") + " s", text(e, "helper"),
                   endpoint(e.at("master"), "src", "sport") + " > " + endpoint(e.at("master"), "dst", "dport")});
    return table.empty() ? "no expectations\n" : table.text();
}

/// A command that shows one resource.
template <class ToText>
CLI::App* add_show(CLI::App& app, Context& context, const std::string& name, const std::string& help,
                   const std::string& target, ToText to_text) {
    auto* command = app.add_subcommand(name, help);
    command->callback([&context, target, to_text] {
        context.run = [&context, target, to_text] {
            const std::string body = context.client().body_of({.target = target});
            print(context.json ? body : to_text(json::parse(body)));
            return kOk;
        };
    });
    return command;
}

}  // namespace

void add_show_commands(CLI::App& app, Context& context) {
    add_show(app, context, "rules", "Filter rules with their packet and byte counters.", "/v1/rules", rules_text)
        ->footer(
            "\nA line with - as its number is the policy of the chain.\n\nExample: sluicectl rules --json | jq '.[] | "
            "select(.packets == 0)'");
    add_show(app, context, "nat", "NAT rules, what they translated and the use of their pools.", "/v1/nat", nat_text);
    add_show(app, context, "ports", "Ports: link, addresses, traffic.", "/v1/ports", ports_text);
    add_show(app, context, "expectations", "Connections that helpers (FTP) announced and that have not come yet.",
             "/v1/expectations", expectations_text);
    add_show(app, context, "version", "Version of sluiced.", "/v1/version", [](const json::value& version) {
        return fmt::format("sluiced {} ({}), up {}\n", text(version, "version"), text(version, "dpdk"),
                           human_duration(static_cast<std::uint64_t>(version.at("uptime_s").to_number<double>())));
    });

    const auto all = std::make_shared<bool>(false);
    auto* stats = add_show(app, context, "stats", "Workers, flows, punts, FTP, and every drop by its reason.",
                           "/v1/stats", [all](const json::value& value) { return stats_text(value, *all); });
    stats->add_flag("--all", *all, "also reasons that never occurred");
    stats->footer("\nExample: sluicectl stats --json | jq '.drops[] | select(.packets > 0)'");

    auto* config = app.add_subcommand("config", "The configuration in force, defaults filled in (YAML).");
    config->callback([&context] {
        context.run = [&context] {
            const std::string yaml = context.client().body_of({.target = "/v1/config", .accept = "application/yaml"});
            print(context.json ? json::serialize(json::object{{"yaml", yaml}}) + '\n' : yaml);
            return kOk;
        };
    });
    auto* metrics = app.add_subcommand("metrics", "What Prometheus scrapes; with --json the same as JSON.");
    metrics->callback([&context] {
        context.run = [&context] {
            print(context.client().body_of(
                {.target = "/metrics", .accept = context.json ? "application/json" : "text/plain"}));
            return kOk;
        };
    });
}

}  // namespace sluice::ctl
