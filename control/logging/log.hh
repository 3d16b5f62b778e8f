// Logging of the control plane: spdlog to stderr, so that systemd's journal or a terminal keeps it. Under systemd each
// line starts with the priority that sd-daemon(3) defines ("<4>") and carries no time of its own; on a terminal, time
// and a coloured level. Workers never log: they post log records to the control thread.
//
// Control thread only.
#pragma once

#include <string_view>

#include <spdlog/spdlog.h>

namespace sluice::logging {

/// Where the lines go, which decides their layout.
enum class Target { terminal, journal };

/// `journal` when $JOURNAL_STREAM names the stderr of this process (set by systemd), else `terminal`.
[[nodiscard]] Target detect_target();

/// "trace", "debug", "info", "warning" (or "warn"), "error", "critical", "off"; false (and nothing changed) otherwise.
[[nodiscard]] bool set_level(std::string_view name);

/// Makes the default logger. Call once at the start; `SPDLOG_*` macros and spdlog::info() then go there.
void set_up(Target target);

}  // namespace sluice::logging
