// sluicectl capture: packets of a port as a pcap file or stream. Ctrl-C ends it cleanly, as with tcpdump.
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <spdlog/fmt/fmt.h>

#include "control/api/pcap_stream.hh"
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

/// Where the packets go. A file that is not there yet is made at once, with the header of an empty pcap, so that a path
/// that cannot be written is told before sluiced begins, and so that whatever breaks the capture off leaves a file that
/// tools can read. A file that is there (or stdout) is overwritten only when sluiced has agreed.
class PcapFile {
public:
    PcapFile(const std::string& path, std::uint32_t snaplen_bytes)
        : path_(path), header_(api::pcap_file_header(snaplen_bytes)) {
        if (path == "-") {
            path_ = "stdout";
            file_.reset(stdout);
            return;
        }
        int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        created_ = descriptor >= 0;
        if (!created_ && errno == EEXIST) descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        if (descriptor < 0) fail();
        file_.reset(::fdopen(descriptor, "wb"));
        if (!file_) fail();
        if (created_) begin();
    }

    /// Empties what was there before. Only the first call does something.
    void begin() {
        if (std::exchange(begun_, true)) return;
        struct ::stat about {};
        const int descriptor = ::fileno(file_.get());
        if (file_.get() != stdout && ::fstat(descriptor, &about) == 0 && S_ISREG(about.st_mode) &&
            ::ftruncate(descriptor, 0) != 0)
            fail();
        put(header_);
    }
    /// A part of the stream that sluiced sends, which begins with a header of its own.
    void write(std::string_view part) {
        begin();
        const auto header = std::min(part.size(), header_.size() - skipped_bytes_);
        skipped_bytes_ += header;
        part.remove_prefix(header);
        put(part);
    }
    /// The capture was refused: as if nobody had asked.
    void discard() noexcept {
        if (created_) ::unlink(path_.c_str());
    }

private:
    [[noreturn]] void fail() const { throw Failure(kFailure, path_ + ": " + std::strerror(errno)); }
    void put(std::string_view part) {
        if (part.empty()) return;  // an empty view has no bytes to point to, and fwrite wants some
        if (std::fwrite(part.data(), 1, part.size(), file_.get()) != part.size() || std::fflush(file_.get()) != 0)
            fail();
    }

    struct Close {
        void operator()(std::FILE* file) const {
            if (file != stdout) std::fclose(file);
        }
    };
    std::string path_;
    std::string header_;
    std::unique_ptr<std::FILE, Close> file_;
    std::size_t skipped_bytes_ = 0;
    bool created_ = false;
    bool begun_ = false;
};

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

    Client::end_streams_on_signals();
    PcapFile file(options.file, options.snaplen_bytes);
    PacketCounter counter;
    bool agreed = false;
    const Call call{.method = http::verb::post,
                    .target = target_of(options),
                    .accept = "application/vnd.tcpdump.pcap",
                    .silence = std::chrono::milliseconds(0)};
    try {
        context.client().stream(call, [&](std::string_view part) {
            agreed = true;
            counter.feed(part);
            file.write(part);
        });
    } catch (const Failure&) {
        if (!agreed) file.discard();
        throw;
    }
    file.begin();
    const std::string summary = context.json ? fmt::format("{{\"packets\":{}}}\n", counter.packets())
                                             : fmt::format("{} packets captured\n", counter.packets());
    if (context.json && !to_stdout)
        print(summary);
    else
        std::fputs(summary.c_str(), stderr);
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
        ->check(unsigned_number())
        ->check(CLI::Range(std::uint64_t{1}, UINT64_MAX))
        ->type_name("N");
    command->add_option("-s,--snaplen", options->snaplen_bytes, "bytes of each packet to keep (default 65535)")
        ->check(unsigned_number())
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
