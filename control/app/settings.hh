// From the configuration's words to what each part of the box takes. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "control/config/schema.hh"
#include "control/linux/kernel.hh"
#include "dataplane/worker/eal_plan.hh"
#include "dataplane/worker/idle_backoff.hh"
#include "dataplane/worker/lcore.hh"
#include "dataplane/worker/ports.hh"

namespace sluice::app {

EalOptions eal_options(const config::Config& config);
std::vector<PortConfig> port_configs(const config::Config& config);
LcoreSizes lcore_sizes(const config::Config& config);
BufferDemand buffer_demand(const config::Config& config);
Idle idle_mode(const config::Config& config);
std::vector<IpPrefix> twin_addresses(const config::Port& port);
std::string_view level_name(config::LogLevel level);

/// The routes that the kernel gets. `twin_of` finds the twin of a port by the port's name. Routes with the same
/// destination become one with several next hops.
std::vector<RouteSpec> route_specs(const config::Config& config,
                                   const std::function<IfIndex(std::string_view)>& twin_of);

}  // namespace sluice::app
