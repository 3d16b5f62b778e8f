// Shared by the routes*.cc files only.
#pragma once

#include <boost/json/value.hpp>

#include "control/api/box.hh"
#include "control/api/router.hh"

namespace sluice::api {

void reply_json(Exchange& exchange, http::status status, const boost::json::value& value);
void add_flow_routes(Router& router, Box& box);
void add_event_route(Router& router, Box& box);
void add_capture_route(Router& router, Box& box);
void add_cycles_route(Router& router, Box& box);

}  // namespace sluice::api
