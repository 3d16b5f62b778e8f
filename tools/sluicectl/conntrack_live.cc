// sluicectl conntrack -U and -E. Lines, last lines and exit codes are those of conntrack 1.4.7.
#include "tools/sluicectl/conntrack_live.hh"

#include <cstdio>
#include <fstream>

#include <boost/json/parse.hpp>
#include <spdlog/fmt/fmt.h>

#include "control/api/json.hh"
#include "control/api/router.hh"
#include "tools/sluicectl/line_splitter.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;

/// What conntrack(8) says when its socket's buffer ran over.
constexpr const char* kLostEvents =
    "WARNING: We have hit ENOBUFS! We are losing events.\nThis message means that the current netlink socket buffer "
    "size is too small.\nPlease, check --buffer-size in conntrack(8) manpage.";

/// As conntrack(8) has it behind an event that somebody asked for.
std::string wanted_by(std::uint32_t process) {
    if (process == 0) return "";
    std::string text = fmt::format(" [USERSPACE] portid={}", process);
    std::ifstream name(fmt::format("/proc/{}/comm", process));
    if (std::string word; std::getline(name, word)) text.append(" progname=").append(word);
    return text;
}

}  // namespace

std::string target_of(const ConntrackOptions& options, std::string_view path) {
    std::string target(path);
    char separator = '?';
    for (const auto& [name, value] : options.filter) {
        target += separator + name + '=' + api::percent_encode(value);
        separator = '&';
    }
    return target;
}

std::string line_of(const api::FlowRecord& flow, const ConntrackOptions& options) {
    const char verb = options.command == ConntrackCommand::remove ? 'D' : 'A';
    return (options.save ? api::conntrack_save_line(flow, verb) : api::conntrack_line(flow, options.style)) + '\n';
}

void say(const std::string& line) {
    flush_output();
    std::fprintf(stderr, "%s\n", line.c_str());
}

json::object object_of(std::string_view line) {
    boost::system::error_code error;
    auto value = json::parse(line, error);
    if (error || !value.is_object()) throw Failure(kFailure, "sluiced sent a line that is not JSON");
    return std::move(value.get_object());
}

ExitCode update_flows(const Context& context, ConntrackOptions options) {
    options.style.references = 1;  // it shows what it gets after the change, as -G does
    std::uint64_t count = 0;
    if (options.updates) {
        Call call{.method = http::verb::patch,
                  .target = target_of(options),
                  .body = api::flow_update_text(options.update),
                  .accept = kNdjson};
        LineSplitter lines([&](std::string_view line) {
            const auto object = object_of(line);
            if (context.json) print(std::string(line) + '\n');
            if (object.contains("updated")) return;
            const auto flow = api::flow_from_json(object);
            if (!flow) throw Failure(kFailure, "sluiced sent a flow that this sluicectl does not understand");
            ++count;
            if (!context.json) print(line_of(*flow, options));
        });
        context.client().stream(call, [&](std::string_view part) { lines.feed(part); });
    }
    if (!context.json) say(api::conntrack_trailer(count, "updated"));
    return count > 0 ? kOk : kFailure;
}

ExitCode show_events(const Context& context, const ConntrackOptions& options) {
    if (options.table != "conntrack") throw Complaint(kUsage, "sluice tells no events of expectations");
    std::string target = target_of(options, "/v1/events");
    if (options.buffer_bytes) {
        target += fmt::format("{}buffer={}", options.filter.empty() ? '?' : '&', *options.buffer_bytes);
        say(fmt::format("NOTICE: Netlink socket buffer size has been set to {} bytes.", *options.buffer_bytes));
    }
    std::uint64_t count = 0;
    LineSplitter lines([&](std::string_view line) {
        if (context.json) return print(std::string(line) + '\n');
        const auto object = object_of(line);
        if (object.contains("lost")) return say(kLostEvents);
        const auto event = api::event_from_json(object);
        if (!event) throw Failure(kFailure, "sluiced sent an event that this sluicectl does not understand");
        ++count;
        print(api::conntrack_event_line(*event, options.style, options.event_style) + wanted_by(event->by) + '\n');
    });
    Client::end_streams_on_signals();
    context.client().stream({.target = target, .accept = kNdjson, .silence = std::chrono::milliseconds(0)},
                            [&](std::string_view part) {
                                lines.feed(part);
                                flush_output();
                            });
    if (!context.json) say(api::conntrack_message(fmt::format("{} flow events have been shown.", count)));
    return kOk;
}

}  // namespace sluice::ctl
