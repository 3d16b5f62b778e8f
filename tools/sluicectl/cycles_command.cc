// sluicectl cycles: what workers spend their time on, by stage and packet, as `show runtime` of VPP. sluiced measures
// while it is asked and not a moment longer; this waits for its report and prints it.
#include <chrono>
#include <memory>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <spdlog/fmt/fmt.h>

#include "tools/sluicectl/commands.hh"
#include "tools/sluicectl/table.hh"

namespace sluice::ctl {
namespace {

namespace json = boost::json;

struct Options {
    unsigned seconds = 1;
    bool watch = false;
};

double number(const json::value& object, const char* key) {
    return object.at(key).to_number<double>();
}

/// "12.3", or "-" where there is nothing to divide by.
std::string ratio(double part, double whole) {
    return whole > 0 ? fmt::format("{:.1f}", part / whole) : "-";
}
std::string percent(double part, double whole) {
    return whole > 0 ? fmt::format("{:.1f} %", 100 * part / whole) : "-";
}

/// Where the packets came from and how they went; the last three only if there were such.
std::string heading(const json::value& worker, double seconds) {
    const double packets = number(worker, "received") + number(worker, "from_kernel") + number(worker, "handed_in");
    const double busy = number(worker, "busy_cycles");
    const auto& measured = worker.at("measured");
    std::string text =
        fmt::format("worker {} (lcore {}): {} busy, {:.0f} packets/s", number(worker, "worker"),
                    number(worker, "lcore"), percent(busy, busy + number(worker, "idle_cycles")), packets / seconds);
    if (packets == 0) return text + '\n';
    text +=
        fmt::format(" in bursts of {}; fast path {}", ratio(number(measured, "packets"), number(measured, "bursts")),
                    percent(number(worker, "fast_path"), packets));
    if (number(worker, "from_kernel") > 0)
        text += fmt::format(", from the kernel {}", percent(number(worker, "from_kernel"), packets));
    if (number(worker, "handed_in") > 0)
        text += fmt::format(", from other workers {}", percent(number(worker, "handed_in"), packets));
    if (number(worker, "handed_out") > 0)
        text += fmt::format(", to other workers {:.0f} packets/s", number(worker, "handed_out") / seconds);
    return text + '\n';
}

std::string worker_text(const json::value& worker, double seconds) {
    std::string head = heading(worker, seconds);
    const auto& measured = worker.at("measured");
    const double packets = number(measured, "packets");
    double cycles = 0;
    for (const auto& stage : measured.at("stages").as_array()) cycles += number(stage, "cycles");
    if (cycles == 0) return head;
    const double busy = number(worker, "busy_cycles"), idle = number(worker, "idle_cycles"), all = busy + idle;
    Table table({{"STAGE"},
                 {"PACKETS", Table::Align::right},
                 {"CYCLES EACH", Table::Align::right},
                 {"CYCLES/PACKET", Table::Align::right},
                 {"TIME", Table::Align::right}});
    for (const auto& stage : measured.at("stages").as_array()) {
        const double here = number(stage, "packets"), spent = number(stage, "cycles");
        if (spent == 0) continue;
        table.add({std::string(stage.at("stage").as_string()), here > 0 ? percent(here, packets) : "-",
                   ratio(spent, here), ratio(spent, packets), percent(busy * spent / cycles, all)});
    }
    table.add({"idle", "-", "-", "-", percent(idle, all)});
    table.add({"all", "-", "-", ratio(cycles, packets), percent(all, all)});
    return head + table.text();
}

std::string cycles_text(const json::value& report) {
    const double seconds = number(report, "seconds");
    std::string text;
    for (const auto& worker : report.at("workers").as_array())
        text += (text.empty() ? "" : "\n") + worker_text(worker, seconds);
    return text;
}

/// False when a signal ended it.
bool measure(const Context& context, const Options& options, bool again) {
    // The answer begins when the time is over; what --timeout bounds is the wait beyond that.
    const std::chrono::seconds time(options.seconds);
    const std::chrono::seconds patience(context.timeout_s != 0 ? context.timeout_s : 10);
    const Client client(context.socket_path, time + patience);
    std::string body;
    const bool whole = client.stream({.target = "/v1/cycles?seconds=" + std::to_string(options.seconds)},
                                     [&](std::string_view part) { body += part; });
    if (!whole) return false;
    print(context.json ? body : (again ? "\n" : "") + cycles_text(json::parse(body)));
    flush_output();
    return true;
}

}  // namespace

void add_cycles_command(CLI::App& app, Context& context) {
    const auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("cycles", "What workers spend their cycles on, by stage and packet.");
    command->add_option("--seconds", options->seconds, "how long to measure (default 1)")
        ->check(unsigned_number())
        ->check(CLI::Range(1U, 3600U))
        ->type_name("SECONDS");
    command->add_flag("--watch", options->watch, "again and again, until Ctrl-C");
    command->footer(R"(
PACKETS are those that came into a stage; CYCLES EACH is what it took for each of them, CYCLES/PACKET for each packet
of the worker. TIME is the share of all time, idle loops included. Cycles are those of the TSC, of one busy loop in
seven. It costs a worker less than 2 % while it lasts, and nothing otherwise. Several can measure at the same time.

Example: sluicectl cycles --seconds 10)");
    command->callback([&context, options] {
        context.run = [&context, options] {
            if (options->watch) Client::end_streams_on_signals();
            bool again = measure(context, *options, false) && options->watch;
            while (again) again = measure(context, *options, true);
            return kOk;
        };
    });
}

}  // namespace sluice::ctl
