// sluicectl capture: packets of a port as a pcap file or stream. Ctrl-C ends it cleanly, as with tcpdump.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>
#include <unistd.h>

#include <spdlog/fmt/fmt.h>

#include "control/api/router.hh"
#include "tools/sluicectl/commands.hh"

namespace sluice::ctl {
namespace {

struct Options {
    std::string port;
    std::string filter;
    std::string file;
    std::uint64_t count = 0;
    std::uint32_t snaplen_bytes = 65535;
};

/// Counts packet records in a pcap stream that comes in pieces: 24 bytes of file header, then 16 bytes and the packet.
class PacketCounter {
public:
    void feed(std::string_view part) {
        while (!part.empty()) {
            if (skip_bytes_ > 0) {
                const auto step = std::min(skip_bytes_, part.size());
                skip_bytes_ -= step;
                part.remove_prefix(step);
                continue;
            }
            const auto step = std::min(sizeof header_ - have_bytes_, part.size());
            std::memcpy(header_ + have_bytes_, part.data(), step);
            have_bytes_ += step;
            part.remove_prefix(step);
            if (have_bytes_ < sizeof header_) continue;
            std::uint32_t captured_bytes = 0;
            std::memcpy(&captured_bytes, header_ + 8, sizeof captured_bytes);
            skip_bytes_ = captured_bytes;
            have_bytes_ = 0;
            ++packets_;
        }
    }
    [[nodiscard]] std::uint64_t packets() const { return packets_; }

private:
    char header_[16]{};
    std::size_t have_bytes_ = 0;
    std::size_t skip_bytes_ = 24;
    std::uint64_t packets_ = 0;
};

void end_on_signals() {
    struct sigaction action {};
    action.sa_handler = [](int) { Client::stop_streams(); };
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
}

std::string target_of(const Options& options) {
    std::string target =
        "/v1/capture?port=" + api::percent_encode(options.port) + "&snaplen=" + std::to_string(options.snaplen_bytes);
    if (!options.filter.empty()) target += "&filter=" + api::percent_encode(options.filter);
    if (options.count > 0) target += "&count=" + std::to_string(options.count);
    return target;
}

ExitCode capture(const Context& context, const Options& options) {
    const bool to_stdout = options.file == "-";
    if (to_stdout && ::isatty(STDOUT_FILENO) != 0)
        throw Failure(kUsage, "capture: packets are not for a terminal; use -w FILE, or -w - | tcpdump -nr -");
    if (to_stdout && context.json) throw Failure(kUsage, "capture: --json goes with a file, not with -w -");

    // The file is made when sluiced has agreed, so a refused capture leaves none behind.
    struct Close {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::unique_ptr<std::FILE, Close> owned;
    std::FILE* out = to_stdout ? stdout : nullptr;
    PacketCounter counter;
    end_on_signals();
    const Call call{.method = http::verb::post,
                    .target = target_of(options),
                    .accept = "application/vnd.tcpdump.pcap",
                    .silence = std::chrono::milliseconds(0)};
    context.client().stream(call, [&](std::string_view part) {
        if (out == nullptr) {
            owned.reset(std::fopen(options.file.c_str(), "wb"));
            out = owned.get();
            if (out == nullptr) throw Failure(kFailure, options.file + ": " + std::strerror(errno));
        }
        counter.feed(part);
        if (std::fwrite(part.data(), 1, part.size(), out) != part.size() || std::fflush(out) != 0)
            throw Failure(kFailure, options.file + ": " + std::strerror(errno));
    });
    if (context.json) {
        print(fmt::format("{{\"packets\":{}}}\n", counter.packets()));
    } else {
        std::fprintf(stderr, "%s\n", fmt::format("{} packets captured", counter.packets()).c_str());
    }
    return kOk;
}

}  // namespace

void add_capture_command(CLI::App& app, Context& context) {
    const auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("capture", "Captures packets of a port (tcpdump on a twin sees only punts).");
    command->add_option("--port,-i", options->port, "name of the port, as in ports")->required()->type_name("PORT");
    command->add_option("--filter", options->filter, "pcap-filter(7) expression, without names of hosts")
        ->type_name("EXPR");
    command->add_option("-c,--count", options->count, "end after so many packets")
        ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX))
        ->type_name("N");
    command->add_option("-s,--snaplen", options->snaplen_bytes, "bytes of each packet to keep (default 65535)")
        ->check(CLI::Range(1U, 65535U))
        ->type_name("BYTES");
    command->add_option("-w", options->file, "pcap file to write, - for stdout")->required()->type_name("FILE");
    command->footer(R"(
Examples:
  sluicectl capture --port wan -c 100 -w wan.pcap
  sluicectl capture --port lan --filter 'tcp port 21' -w - | tcpdump -nr -)");
    command->callback(
        [&context, options] { context.run = [&context, options] { return capture(context, *options); }; });
}

}  // namespace sluice::ctl
