// The command line of `sluicectl conntrack`, read as conntrack(8) 1.4.7 reads its own: getopt_long with the same
// letters, abbreviations and optional values, the same table of which command takes which option, and the same words
// when something is wrong. Beyond conntrack(8): --json, --socket, --id with -L and -D, ports without -p, and numbers
// that are none are errors instead of 0.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "control/api/conntrack_format.hh"
#include "control/api/flow_filter.hh"
#include "control/api/flow_update.hh"
#include "tools/sluicectl/client.hh"

namespace sluice::ctl {

enum class ConntrackCommand : std::uint8_t { help, version, list, get, remove, flush, count, stats, update, events };

struct ConntrackOptions {
    ConntrackCommand command = ConntrackCommand::help;
    std::string table = "conntrack";  ///< or expect, dying, unconfirmed
    api::QueryParameters filter;      ///< parameters of /v1/flows
    api::ConntrackStyle style;
    api::EventStyle event_style;
    bool save = false;                          ///< -o save
    FlowUpdate update;                          ///< -m, -t and -u of -U
    bool updates = false;                       ///< one of them was given
    std::optional<std::uint64_t> buffer_bytes;  ///< -b
    bool json = false;
    std::string socket_path;  ///< --socket; empty: not given
};

/// What conntrack(8) would end with: its message, without its name in front, and its exit code.
struct Complaint : std::runtime_error {
    Complaint(ExitCode exit_code, const std::string& message) : std::runtime_error(message), code(exit_code) {}
    ExitCode code;  ///< kUsage: followed by the line that points to the help
};

/// The words behind `conntrack`. Throws Complaint.
[[nodiscard]] ConntrackOptions parse_conntrack_options(const std::vector<std::string>& words);

}  // namespace sluice::ctl
