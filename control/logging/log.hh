// Logging of the control plane: spdlog to stderr, so that systemd's journal or a terminal keeps it. Under systemd each
// line starts with the priority that sd-daemon(3) defines ("<4>") and carries no time of its own; on a terminal, time
// and a coloured level. Workers never log: they post log records to the control thread.
//
// Who reads the lines, or does not, holds nobody up: a thread writes them (line_writer.hh), and what finds no room is
// lost and counted. The last lines are written when the default logger goes, at the end of the process, which waits a
// second for the reader at most.
//
// Set up by the control thread; any thread may log (DPDK's do).
#pragma once

#include <cstdint>
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

/// Lines are written from now on where the calling thread may run, and not on the cores of workers.
void share_cores();

/// Since the start: what found no room because nobody read, or nobody was left to read.
[[nodiscard]] std::uint64_t lines_lost();

}  // namespace sluice::logging
