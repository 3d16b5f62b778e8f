// The API of a box: which paths exist and what they do. Adds its routes to a Router; see docs of each in routes*.cc.
//
//   GET    /v1/flows?filter      stream (JSON array; NDJSON with Accept: application/x-ndjson)
//   DELETE /v1/flows?filter      {"deleted": N}; NDJSON: the deleted flows, then {"deleted": N}; no filter: flush
//   PATCH  /v1/flows?filter      {"updated": N}; NDJSON: the flows that are different now, then {"updated": N}
//   GET    /v1/events?filter&events=&buffer=   NDJSON: what happens to flows, until the client leaves
//   GET    /v1/cycles?seconds=   what the workers spend their cycles on, when the seconds are over
//   GET    /v1/flows/count       {"count": N, "limit": N}
//   GET    /v1/expectations /v1/rules /v1/nat /v1/ports /v1/stats /v1/version
//   GET    /v1/config            effective configuration, YAML
//   POST   /v1/reload            {"generation": N}, or 422 {"error": …, "issues": […]}
//   POST   /v1/check             body: YAML; {"issues": []}, or 422 as above
//   POST   /v1/capture?port=&filter=&snaplen=&count=   pcap stream
//   GET    /metrics              Prometheus text
#pragma once

#include "control/api/box.hh"
#include "control/api/router.hh"

namespace sluice::api {

/// All of the above; the box must outlive the router.
void add_api_routes(Router& router, Box& box);
/// Only /metrics (for metrics.listen).
void add_metrics_route(Router& router, Box& box);

}  // namespace sluice::api
