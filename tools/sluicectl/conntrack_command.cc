// sluicectl conntrack: conntrack(8) for flows that the kernel never sees. Options, lines, last lines and exit codes are
// those of conntrack 1.4.7, so that scripts need another command name only.
#include <algorithm>
#include <array>
#include <cstdio>
#include <memory>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/api/conntrack_format.hh"
#include "control/api/json.hh"
#include "control/api/router.hh"
#include "tools/sluicectl/commands.hh"
#include "tools/sluicectl/line_splitter.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;

constexpr const char* kFooter = R"(
Tables: conntrack (the default), expect (-L only).

Examples:
  sluicectl conntrack -L                                  all flows
  sluicectl conntrack -L -p tcp --state ESTABLISHED --dport 443
  sluicectl conntrack -L -n 198.51.100.2 -o extended,id   flows whose source became 198.51.100.2
  sluicectl conntrack -C                                  how many there are
  sluicectl conntrack -D -p udp -d 203.0.113.53           exit code 1 when none matched)";

/// An option that is one parameter of /v1/flows.
struct FilterOption {
    const char* names;
    const char* parameter;
    const char* type;
    const char* help;
    bool optional_value = false;
};

constexpr auto kFilterOptions = std::to_array<FilterOption>({
    {"-p,--protonum,--proto", "proto", "PROTO", "layer 4 protocol: tcp, udp, icmp, … or its number"},
    {"-f,--family", "family", "FAMILY", "ipv4 or ipv6"},
    {"-s,--src,--orig-src", "src", "ADDRESS", "source of the original direction, or its prefix"},
    {"-d,--dst,--orig-dst", "dst", "ADDRESS", "destination of the original direction"},
    {"-r,--reply-src", "reply_src", "ADDRESS", "source of the reply direction"},
    {"-q,--reply-dst", "reply_dst", "ADDRESS", "destination of the reply direction"},
    {"--sport,--orig-port-src", "sport", "PORT", "source port of the original direction"},
    {"--dport,--orig-port-dst", "dport", "PORT", "destination port of the original direction"},
    {"--reply-port-src", "reply_sport", "PORT", "source port of the reply direction"},
    {"--reply-port-dst", "reply_dport", "PORT", "destination port of the reply direction"},
    {"--icmp-type", "icmp_type", "NUMBER", "ICMP type of the original direction"},
    {"--icmp-code", "icmp_code", "NUMBER", "ICMP code of the original direction"},
    {"--icmp-id", "icmp_id", "NUMBER", "ICMP identifier of the original direction"},
    {"--state", "state", "STATE", "connection state: SYN_SENT, ESTABLISHED, TIME_WAIT, …"},
    {"-u,--status", "status", "STATUS", "list of ASSURED, SEEN_REPLY, UNREPLIED"},
    {"-n,--src-nat", "src_nat", "[ADDRESS]", "source translated (to this address)", true},
    {"-g,--dst-nat", "dst_nat", "[ADDRESS]", "destination translated (from this address)", true},
    {"-m,--mark", "mark", "MARK[/MASK]", "flow mark"},
    {"--id", "id", "ID", "one flow, by the id that -o id shows"},
});

struct Options {
    bool list = false, remove = false, count = false, flush = false;
    std::string table = "conntrack";
    std::string output;  ///< a list with commas
    api::QueryParameters filter;
};

[[nodiscard]] Failure usage(const std::string& message) {
    return {kUsage, "conntrack: " + message};
}

std::string target_of(const Options& options) {
    std::string target = "/v1/flows";
    char separator = '?';
    for (const auto& [name, value] : options.filter) {
        target += separator + name + '=' + api::percent_encode(value);
        separator = '&';
    }
    return target;
}

api::ConntrackStyle style_of(const Options& options) {
    api::ConntrackStyle style;
    std::string_view rest = options.output;
    while (!rest.empty()) {
        const auto word = rest.substr(0, rest.find(','));
        rest.remove_prefix(std::min(word.size() + 1, rest.size()));
        if (word == "extended") {
            style.extended = true;
        } else if (word == "id") {
            style.id = true;
        } else {
            throw usage(fmt::format("-o: '{}' is none of extended, id", word));
        }
    }
    return style;
}

/// A remark beside the listing. What was listed goes first: with both outputs in one pipe, a remark from stderr would
/// land in the middle of a line that stdout still buffers.
void say(const std::string& line) {
    flush_output();
    std::fprintf(stderr, "%s\n", line.c_str());
}

/// Prints the flows of an NDJSON stream; returns how many, or what its last line reports as deleted.
std::uint64_t print_flows(const Client& client, const Call& call, const api::ConntrackStyle& style) {
    std::uint64_t count = 0;
    LineSplitter lines([&](std::string_view line) {
        boost::system::error_code error;
        const auto value = json::parse(line, error);
        const auto* object = error ? nullptr : value.if_object();
        if (object == nullptr) throw Failure(kFailure, "sluiced sent a line that is not JSON");
        if (object->contains("deleted")) return;
        const auto flow = api::flow_from_json(*object);
        if (!flow) throw Failure(kFailure, "sluiced sent a flow that this sluicectl does not understand");
        ++count;
        print(api::conntrack_line(*flow, style) + '\n');
    });
    client.stream(call, [&](std::string_view part) { lines.feed(part); });
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

ExitCode list_flows(const Context& context, const Options& options) {
    if (options.table == "expect") {
        if (!options.filter.empty()) throw usage("the table expect takes no filter");
        return list_expectations(context);
    }
    const auto style = style_of(options);
    Call call{.target = target_of(options)};
    if (context.json) {
        context.client().stream(call, print);
        return kOk;
    }
    call.accept = "application/x-ndjson";
    const auto count = print_flows(context.client(), call, style);
    say(api::conntrack_trailer(count, "shown"));
    return kOk;
}

ExitCode delete_flows(const Context& context, const Options& options) {
    Call call{.method = http::verb::delete_, .target = target_of(options)};
    std::uint64_t count = 0;
    if (context.json) {
        const std::string body = context.client().body_of(call);
        print(body);
        count = deleted_count(body);
    } else {
        call.accept = "application/x-ndjson";
        count = print_flows(context.client(), call, style_of(options));
        say(api::conntrack_trailer(count, "deleted"));
    }
    return count > 0 ? kOk : kFailure;
}

ExitCode count_flows(const Context& context, const Options& options) {
    if (!options.filter.empty()) throw usage("-C counts all flows; it takes no filter");
    const std::string body = context.client().body_of({.target = "/v1/flows/count"});
    print(context.json ? body : fmt::format("{}\n", json::parse(body).at("count").to_number<std::uint64_t>()));
    return kOk;
}

ExitCode flush_flows(const Context& context, const Options& options) {
    if (!options.filter.empty()) throw usage("-F deletes all flows; use -D with a filter");
    const std::string body = context.client().body_of({.method = http::verb::delete_, .target = "/v1/flows"});
    if (context.json) print(body);
    if (!context.json) say(api::conntrack_message("connection tracking table has been emptied."));
    return kOk;
}

ExitCode run(const Context& context, const Options& options) {
    if (options.list + options.remove + options.count + options.flush != 1)
        throw usage("give exactly one of -L, -D, -C, -F");
    if (options.table != "conntrack" && !(options.table == "expect" && options.list))
        throw usage("table '" + options.table + "' is not known for this command");
    const auto filter = api::parse_flow_filter(options.filter);
    if (const auto* error = std::get_if<std::string>(&filter)) throw usage(*error);
    if (options.list) return list_flows(context, options);
    if (options.remove) return delete_flows(context, options);
    return options.count ? count_flows(context, options) : flush_flows(context, options);
}

}  // namespace

void add_conntrack_command(CLI::App& app, Context& context) {
    const auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("conntrack", "Lists, counts and deletes flows, as conntrack(8) does.");
    command->footer(kFooter);
    command->add_flag("-L,--dump,--list", options->list, "list flows");
    command->add_flag("-D,--delete", options->remove, "delete the flows that match");
    command->add_flag("-C,--count", options->count, "print the number of flows");
    command->add_flag("-F,--flush", options->flush, "delete all flows");
    command->add_option("table", options->table, "conntrack or expect")->type_name("");
    command->add_option("-o,--output", options->output, "extended, id (a list)")->type_name("FORMAT");
    for (const FilterOption& option : kFilterOptions) {
        const std::string parameter = option.parameter;
        command
            ->add_option_function<std::vector<std::string>>(
                option.names,
                [options, parameter](const std::vector<std::string>& values) {
                    options->filter.emplace_back(parameter,
                                                 values.empty() || values.front().empty() ? "any" : values.front());
                },
                option.help)
            ->expected(option.optional_value ? 0 : 1, 1)
            ->type_name(option.type);
    }
    command->callback([options, &context] { context.run = [options, &context] { return run(context, *options); }; });
}

}  // namespace sluice::ctl
