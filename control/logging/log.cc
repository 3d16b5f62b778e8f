#include "control/logging/log.hh"

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <spdlog/details/os.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>

#include "control/logging/line_writer.hh"

namespace sluice::logging {
namespace {

/// Outlives every writer: one that was left to itself may count until the process is gone.
std::atomic<std::uint64_t> lost_lines{0};

/// %* in the journal's pattern: the syslog priority in angle brackets, as sd-daemon(3) wants it in front of a line.
class PriorityFlag : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override {
        constexpr std::array<std::string_view, spdlog::level::n_levels> kPriorities = {"<7>", "<7>", "<6>", "<4>",
                                                                                       "<3>", "<2>", "<7>"};
        const auto priority = kPriorities.at(static_cast<std::size_t>(message.level));
        out.append(priority.data(), priority.data() + priority.size());
    }
    [[nodiscard]] std::unique_ptr<custom_flag_formatter> clone() const override {
        return std::make_unique<PriorityFlag>();
    }
};

/// stderr behind a LineWriter: spdlog's own sinks would wait for the reader. Says how many lines found no room as soon
/// as there is some again.
class LineSink : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit LineSink(bool coloured) : coloured_(coloured) {}

    void share_cores() { writer_.share_cores(); }

protected:
    void sink_it_(const spdlog::details::log_msg& message) override {
        if (unsaid_ != 0) {
            const std::string text = fmt::format("log: {} lines were lost, nobody took them in time", unsaid_);
            if (writer_.write(line_of({message.logger_name, spdlog::level::warn, text}))) unsaid_ = 0;
        }
        if (writer_.write(line_of(message))) return;
        ++unsaid_;
        ++lost_lines;
    }
    void flush_() override { (void)writer_.flush(); }

private:
    std::string line_of(const spdlog::details::log_msg& message) {
        // As in spdlog's sinks for terminals; of their colours too.
        constexpr std::array<std::string_view, spdlog::level::n_levels> kColours = {
            "\033[37m", "\033[36m", "\033[32m", "\033[33m\033[1m", "\033[31m\033[1m", "\033[1m\033[41m", ""};
        spdlog::memory_buf_t formatted;
        message.color_range_start = message.color_range_end = 0;
        formatter_->format(message, formatted);
        std::string line(formatted.data(), formatted.size());
        if (coloured_ && message.color_range_end > message.color_range_start) {
            line.insert(message.color_range_end, "\033[m");
            line.insert(message.color_range_start, kColours.at(static_cast<std::size_t>(message.level)));
        }
        return line;
    }

    bool coloured_;
    std::uint64_t unsaid_ = 0;  ///< lines that were lost since somebody was told
    LineWriter writer_{STDERR_FILENO, lost_lines, {}};
};

}  // namespace

Target detect_target() {
    // systemd sets "device:inode" of the socket it gave us; someone may have redirected stderr since (systemd.exec(5)).
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat actual {};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &actual) != 0) return Target::terminal;
    const std::string expected = std::to_string(actual.st_dev) + ':' + std::to_string(actual.st_ino);
    return expected == stream ? Target::journal : Target::terminal;
}

bool set_level(std::string_view name) {
    using Named = std::pair<std::string_view, spdlog::level::level_enum>;
    constexpr auto kLevels = std::to_array<Named>({{"trace", spdlog::level::trace},
                                                   {"debug", spdlog::level::debug},
                                                   {"info", spdlog::level::info},
                                                   {"warning", spdlog::level::warn},
                                                   {"warn", spdlog::level::warn},
                                                   {"error", spdlog::level::err},
                                                   {"critical", spdlog::level::critical},
                                                   {"off", spdlog::level::off}});
    for (const auto& [known, level] : kLevels) {
        if (known != name) continue;
        spdlog::set_level(level);
        return true;
    }
    return false;
}

void set_up(Target target) {
    const bool coloured = target == Target::terminal && spdlog::details::os::in_terminal(stderr) &&
                          spdlog::details::os::is_color_terminal();
    auto logger = std::make_shared<spdlog::logger>("sluice", std::make_shared<LineSink>(coloured));
    if (target == Target::journal) {
        auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local);
        formatter->add_flag<PriorityFlag>('*').set_pattern("%*%v");
        logger->set_formatter(std::move(formatter));
    } else {
        logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
    }
    logger->set_level(spdlog::get_level());
    spdlog::set_default_logger(std::move(logger));
}

void share_cores() {
    for (const auto& sink : spdlog::default_logger()->sinks())
        if (auto* const lines = dynamic_cast<LineSink*>(sink.get())) lines->share_cores();
}

std::uint64_t lines_lost() {
    return lost_lines;
}

}  // namespace sluice::logging
