// What the commands of `sluicectl conntrack` share, and those that change flows or listen to them: -U and -E.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "tools/sluicectl/commands.hh"
#include "tools/sluicectl/conntrack_options.hh"

namespace sluice::ctl {

inline constexpr const char* kNdjson = "application/x-ndjson";

/// Path and query of the flows that the options select; another path has the same parameters.
std::string target_of(const ConntrackOptions& options, std::string_view path = "/v1/flows");
/// A flow as the options want it, with its end.
std::string line_of(const api::FlowRecord& flow, const ConntrackOptions& options);
/// A remark beside the listing. What was listed goes first: with both outputs in one pipe, a remark from stderr would
/// land in the middle of a line that stdout still buffers.
void say(const std::string& line);
/// A line of NDJSON. Throws Failure.
boost::json::object object_of(std::string_view line);

ExitCode update_flows(const Context& context, ConntrackOptions options);
ExitCode show_events(const Context& context, const ConntrackOptions& options);

}  // namespace sluice::ctl
