#include "control/logging/log.hh"

#include <array>
#include <charconv>
#include <cstdlib>
#include <memory>
#include <string>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/ansicolor_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace sluice::logging {
namespace {

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
    // The single-threaded sinks: only the control thread logs. Lines leave at once, so a crash loses none.
    std::shared_ptr<spdlog::logger> logger;
    if (target == Target::journal) {
        logger = std::make_shared<spdlog::logger>("sluice", std::make_shared<spdlog::sinks::stderr_sink_st>());
        auto formatter = std::make_unique<spdlog::pattern_formatter>(spdlog::pattern_time_type::local);
        formatter->add_flag<PriorityFlag>('*').set_pattern("%*%v");
        logger->set_formatter(std::move(formatter));
    } else {
        logger =
            std::make_shared<spdlog::logger>("sluice", std::make_shared<spdlog::sinks::ansicolor_stderr_sink_st>());
        logger->set_pattern("%Y-%m-%d %H:%M:%S.%e %^%-7l%$ %v");
    }
    logger->set_level(spdlog::get_level());
    logger->flush_on(spdlog::level::trace);
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace sluice::logging
