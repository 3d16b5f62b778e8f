// sluicectl conntrack: conntrack(8) for flows that the kernel never sees. Options, lines, last lines and exit codes are
// those of conntrack 1.4.7, so that scripts need another command name only. And sluicectl proc, which is what
// `cat /proc/net/nf_conntrack` would print.
#include <algorithm>
#include <cstdio>
#include <functional>
#include <optional>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/api/conntrack_format.hh"
#include "control/api/json.hh"
#include "control/api/router.hh"
#include "tools/sluicectl/commands.hh"
#include "tools/sluicectl/conntrack_live.hh"
#include "tools/sluicectl/line_splitter.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;

constexpr const char* kHelp = R"(conntrack(8) for flows that the kernel never sees.
Usage: sluicectl conntrack [command] [table] [options]

Commands:
  -L, --dump [table]     list flows or expectations
  -E, --event            show what happens to flows, until Ctrl-C
  -G, --get              show one flow; needs -p and both addresses (and ports)
  -D, --delete           delete the flows that match; exit code 1 when none did
  -U, --update           change the flows that match (-m, -t, -u); exit code 1 when none is different now
  -C, --count [table]    print the number of flows or expectations
  -S, --stats            print counters, a line for each worker
  -F, --flush            delete all flows; with -f, those of the family
  -V, --version          print the version of conntrack(8) that this follows

Tables: conntrack (the default), expect.

Which flows:
  -s, --src, --orig-src ADDRESS[/PREFIX]   source of the original direction (also --mask-src MASK)
  -d, --dst, --orig-dst ADDRESS[/PREFIX]   destination of the original direction (also --mask-dst MASK)
  -r, --reply-src, -q, --reply-dst ADDRESS[/PREFIX]
  -p, --protonum, --proto PROTO            tcp, udp, icmp, icmpv6, … or a number
  --sport, --dport, --orig-port-src, --orig-port-dst, --reply-port-src, --reply-port-dst PORT
  --icmp-type, --icmp-code, --icmp-id NUMBER             also with icmpv6 in place of icmp
  --state STATE                            SYN_SENT, ESTABLISHED, TIME_WAIT, …
  -u, --status STATUS[,…]                  ASSURED, SEEN_REPLY, UNREPLIED, EXPECTED
  -n, --src-nat, -g, --dst-nat, -j, --any-nat [ADDRESS[:PORT]]
  -m, --mark MARK[/MASK]    -f, --family ipv4|ipv6    -i, --id ID (as -o id shows it)
  -w, --zone N              flows with zone=N      --orig-zone N   with zone-orig=N     --reply-zone N   with zone-reply=N

What -U changes, where it is no filter:
  -m, --mark MARK[/MASK]    the new mark is (old & ~MASK) ^ MARK
  -t, --timeout SECONDS     that are left, until a packet says otherwise
  -u, --status ASSURED,SEEN_REPLY

Which events (-E):
  -e, --event-mask ALL|NEW,UPDATES,DESTROY
  -b, --buffer-size BYTES   kept for a reader who takes his time; beyond, events are lost, which is said

Output:
  -o, --output extended,id,timestamp,ktimestamp,save,labels,json      --json is the same as -o json
  --socket PATH                                            control socket of sluiced

Examples:
  sluicectl conntrack -L                                   all flows
  sluicectl conntrack -L -p tcp --state ESTABLISHED --dport 443
  sluicectl conntrack -L -n 198.51.100.2 -o extended,id    flows whose source became 198.51.100.2
  sluicectl conntrack -C                                   how many there are
  sluicectl conntrack -D -p udp -d 203.0.113.53            exit code 1 when none matched
  sluicectl conntrack -E -e NEW,DESTROY -p tcp -o timestamp
  sluicectl conntrack -U -s 192.168.1.10 -m 0x10/0xf0      the next packets are judged by the new mark
)";

/// Gives the flows of an NDJSON stream to `sink`.
void each_flow(const Client& client, const Call& call, const std::function<void(const api::FlowRecord&)>& sink) {
    LineSplitter lines([&](std::string_view line) {
        const auto object = object_of(line);
        if (object.contains("deleted")) return;
        const auto flow = api::flow_from_json(object);
        if (!flow) throw Failure(kFailure, "sluiced sent a flow that this sluicectl does not understand");
        sink(*flow);
    });
    client.stream(call, [&](std::string_view part) { lines.feed(part); });
}

std::uint64_t print_flows(const Client& client, const Call& call, const ConntrackOptions& options) {
    std::uint64_t count = 0;
    each_flow(client, call, [&](const api::FlowRecord& flow) {
        ++count;
        print(line_of(flow, options));
    });
    return count;
}

std::uint64_t deleted_count(const std::string& body) {
    boost::system::error_code error;
    const auto value = json::parse(body, error);
    const auto* object = error ? nullptr : value.if_object();
    const auto* deleted = object == nullptr ? nullptr : object->if_contains("deleted");
    if (deleted == nullptr || !deleted->is_number()) throw Failure(kFailure, "sluiced did not say how many it deleted");
    return deleted->to_number<std::uint64_t>();
}

ExitCode list_expectations(const Context& context) {
    const std::string body = context.client().body_of({.target = "/v1/expectations"});
    if (context.json) {
        print(body);
        return kOk;
    }
    const auto list = json::parse(body);
    for (const auto& item : list.as_array()) {
        const auto expectation = api::expectation_from_json(item.as_object());
        if (!expectation)
            throw Failure(kFailure, "sluiced sent an expectation that this sluicectl does not understand");
        print(api::expectation_line(*expectation) + '\n');
    }
    say(api::conntrack_message(fmt::format("{} expectations have been shown.", list.as_array().size())));
    return kOk;
}

/// Every flow is confirmed before its first packet leaves, and a dead one is gone: these tables of Linux are empty.
ExitCode list_nothing(const Context& context) {
    if (context.json) print("[]\n");
    if (!context.json) say(api::conntrack_trailer(0, "shown"));
    return kOk;
}

ExitCode list_flows(const Context& context, const ConntrackOptions& options) {
    if (options.table == "expect") return list_expectations(context);
    if (options.table != "conntrack") return list_nothing(context);
    Call call{.target = target_of(options)};
    if (context.json) {
        context.client().stream(call, print);
        return kOk;
    }
    call.accept = kNdjson;
    const auto count = print_flows(context.client(), call, options);
    say(api::conntrack_trailer(count, "shown"));
    return kOk;
}

/// The filter names one tuple, so that at most one flow matches: as on Linux, where -G asks for a tuple in zone 0.
ExitCode get_flow(const Context& context, ConntrackOptions options) {
    options.style.references = 1;  // whoever looks at one entry on Linux holds it
    const auto has = [&](std::string_view name) {
        return std::ranges::any_of(options.filter, [&](const auto& parameter) { return parameter.first == name; });
    };
    const bool by_original = has("src") && has("dst");
    std::optional<api::FlowRecord> found;
    each_flow(context.client(), {.target = target_of(options), .accept = kNdjson}, [&](const api::FlowRecord& flow) {
        if (!found && (by_original ? flow.original : flow.reply).zone == 0) found = flow;
    });
    if (!found) throw Complaint(kFailure, "Operation failed: such conntrack doesn't exist");
    if (context.json) {
        print(json::serialize(api::to_json(*found)) + '\n');
        return kOk;
    }
    print(line_of(*found, options));
    say(api::conntrack_trailer(1, "shown"));
    return kOk;
}

ExitCode delete_flows(const Context& context, const ConntrackOptions& options) {
    Call call{.method = http::verb::delete_, .target = target_of(options)};
    std::uint64_t count = 0;
    if (context.json) {
        const std::string body = context.client().body_of(call);
        print(body);
        count = deleted_count(body);
    } else {
        call.accept = kNdjson;
        count = print_flows(context.client(), call, options);
        say(api::conntrack_trailer(count, "deleted"));
    }
    return count > 0 ? kOk : kFailure;
}

ExitCode count_entries(const Context& context, const ConntrackOptions& options) {
    if (options.table == "expect") {
        const auto list = json::parse(context.client().body_of({.target = "/v1/expectations"}));
        const auto count = list.as_array().size();
        print(fmt::format(fmt::runtime(context.json ? "{{\"count\":{}}}\n" : "{}\n"), count));
        return kOk;
    }
    const std::string body = context.client().body_of({.target = "/v1/flows/count"});
    print(context.json ? body : fmt::format("{}\n", json::parse(body).at("count").to_number<std::uint64_t>()));
    return kOk;
}

ExitCode print_stats(const Context& context, const ConntrackOptions& options) {
    if (options.table != "conntrack") throw Complaint(kUsage, "sluice counts expectations in `sluicectl stats'");
    const auto stats = json::parse(context.client().body_of({.target = "/v1/stats"}));
    std::string out;
    json::array all;
    for (const auto& worker : stats.at("workers").as_array()) {
        const auto& counters = worker.at("conntrack").as_object();
        out += fmt::format("cpu={:<4}\t", worker.at("worker").to_number<unsigned>());
        for (const auto& [name, value] : counters)
            out += fmt::format("{}={} ", std::string_view(name), value.to_number<std::uint64_t>());
        out += '\n';
        all.push_back(counters);
    }
    print(context.json ? json::serialize(all) + '\n' : out);
    return kOk;
}

ExitCode flush_flows(const Context& context, const ConntrackOptions& options) {
    if (options.table != "conntrack") throw Complaint(kUsage, "expectations end by themselves; -F is for flows");
    const std::string body = context.client().body_of({.method = http::verb::delete_, .target = target_of(options)});
    if (context.json) print(body);
    if (!context.json) say(api::conntrack_message("connection tracking table has been emptied."));
    return kOk;
}

ExitCode obey(const Context& context, const ConntrackOptions& options) {
    switch (options.command) {
        case ConntrackCommand::help:
            print(kHelp);
            return kOk;
        case ConntrackCommand::version:
            print("conntrack v1.4.7 (conntrack-tools)\n");
            return kOk;
        case ConntrackCommand::list:
            return list_flows(context, options);
        case ConntrackCommand::get:
            return get_flow(context, options);
        case ConntrackCommand::remove:
            return delete_flows(context, options);
        case ConntrackCommand::flush:
            return flush_flows(context, options);
        case ConntrackCommand::count:
            return count_entries(context, options);
        case ConntrackCommand::stats:
            return print_stats(context, options);
        case ConntrackCommand::update:
            return update_flows(context, options);
        case ConntrackCommand::events:
            return show_events(context, options);
    }
    return kUsage;
}

ExitCode run(Context& context) try {
    const auto options = parse_conntrack_options(context.words);
    context.json = context.json || options.json;
    if (!options.socket_path.empty()) context.socket_path = options.socket_path;
    return obey(context, options);
} catch (const Complaint& complaint) {
    if (context.json) throw Failure(complaint.code, complaint.what());
    say(api::conntrack_message(complaint.what()));
    if (complaint.code == kUsage)
        say("Try `sluicectl conntrack -h' or 'sluicectl conntrack --help' for more information.");
    return complaint.code;
}

ExitCode print_proc(const Context& context) {
    ConntrackOptions options;
    options.style = api::kProcStyle;
    print_flows(context.client(), {.target = "/v1/flows", .accept = kNdjson}, options);
    return kOk;
}

}  // namespace

void add_conntrack_command(CLI::App& app, Context& context) {
    auto* command = app.add_subcommand("conntrack", "Flows and their events, as conntrack(8) has them.");
    command->callback([&context] { context.run = [&context] { return run(context); }; });
    auto* proc = app.add_subcommand("proc", "Prints flows as the lines of /proc/net/nf_conntrack.");
    proc->footer("\nWith --json the same as conntrack -L --json.");
    proc->callback([&context] {
        context.run = [&context] { return context.json ? list_flows(context, {}) : print_proc(context); };
    });
}

}  // namespace sluice::ctl
