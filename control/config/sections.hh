// The top-level keys of a configuration, each read into its part of Config. What spans several keys is validate.hh.
#pragma once

#include "control/config/reader.hh"
#include "control/config/schema.hh"

namespace sluice::config {

/// Stands in Workers::cores for a core that could not be read; never in a Config that is handed out.
inline constexpr unsigned kNoCore = ~0U;

// read_system.cc
void read_workers(const Value& value, Workers& out);
void read_memory(const Value& value, Memory& out);
void read_ipv6(const Value& value, Ipv6Mode& out);
void read_conntrack(const Value& value, Conntrack& out);
void read_helpers(const Value& value, Helpers& out);
void read_punt(const Value& value, Punt& out);
void read_neighbours(const Value& value, Neighbours& out);
void read_fragments(const Value& value, Fragments& out);
void read_metrics(const Value& value, Metrics& out);
void read_control(const Value& value, Control& out);
void read_log(const Value& value, Log& out);

// read_network.cc. Lists keep one element for each item of the file, also a bad one, so that indices in paths agree.
void read_ports(const Value& value, std::vector<Port>& out);
void read_routes(const Value& value, std::vector<Route>& out);
void read_groups(const Value& value, Groups& out);

// read_filter.cc
void read_filter(const Value& value, Filter& out);
void read_raw(const Value& value, Raw& out);

// read_nat.cc
void read_nat(const Value& value, std::vector<NatRule>& out);

}  // namespace sluice::config
