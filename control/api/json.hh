// The JSON of the API: how records, snapshots and errors look on the wire, and back for the client. Names of units are
// in the keys. 64-bit ids are strings, since many JSON readers keep 53 bits only.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "control/api/box.hh"

namespace sluice::api {

boost::json::object to_json(const FlowRecord& flow);
/// Nothing when the object is not such a record.
std::optional<FlowRecord> flow_from_json(const boost::json::object& object);

boost::json::object to_json(const FlowEventRecord& event);
std::optional<FlowEventRecord> event_from_json(const boost::json::object& object);
/// In the order of FlowEventKind: what events are called on the wire.
inline constexpr std::array<std::string_view, 3> kEventNames{"new", "update", "destroy"};

boost::json::object to_json(const ExpectationRecord& expectation);
std::optional<ExpectationRecord> expectation_from_json(const boost::json::object& object);

boost::json::object to_json(const ConfigIssue& issue);
boost::json::object to_json(const CycleReport& report);

boost::json::array ports_json(const metrics::Snapshot& snapshot);
boost::json::array rules_json(const metrics::Snapshot& snapshot);
boost::json::array nat_json(const metrics::Snapshot& snapshot);
boost::json::object stats_json(const metrics::Snapshot& snapshot);
boost::json::object version_json(const metrics::Snapshot& snapshot);

/// The families that /metrics shows as text, each with its name, help, type and metrics (labels; value, or count and
/// sum of a summary).
boost::json::array metrics_json(const metrics::Snapshot& snapshot);

}  // namespace sluice::api
