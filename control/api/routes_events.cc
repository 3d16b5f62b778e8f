// GET /v1/events: what happens to flows, one object a line, until the client leaves. The parameters of /v1/flows select
// flows as they are after the event; `events` (new, update, destroy; all of them) selects kinds. What conntrack(8) is
// not told of a flow with an event does not match here either: a mark or state that the event does not carry.
//
// A client that takes less than comes loses events beyond `buffer` bytes: as soon as there is room it gets
// {"lost": N}, in the place where they are missing. So do all when a worker could not tell some.
#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include "control/api/json.hh"
#include "control/api/protocols.hh"
#include "control/api/routes_impl.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

constexpr std::size_t kDefaultBufferBytes = 4 << 20, kLeastBufferBytes = 2048, kMostBufferBytes = 64 << 20;

struct EventRequest {
    FlowFilter filter;
    std::array<bool, kEventNames.size()> kinds{true, true, true};
    std::size_t buffer_bytes = kDefaultBufferBytes;
};

/// "new,destroy"; false when a word is none of kEventNames.
bool read_kinds(std::string_view list, EventRequest& request) {
    request.kinds = {};
    while (true) {
        const auto comma = list.find(',');
        const auto name = std::ranges::find(kEventNames, list.substr(0, comma));
        if (name == kEventNames.end()) return false;
        request.kinds[static_cast<std::size_t>(name - kEventNames.begin())] = true;
        if (comma == std::string_view::npos) return true;
        list.remove_prefix(comma + 1);
    }
}

/// The request, or one sentence that names the parameter at fault.
std::variant<EventRequest, std::string> parse(QueryParameters query) {
    EventRequest request;
    for (const std::string_view own : {"events", "buffer"}) {
        const auto is_own = [&](const auto& parameter) { return parameter.first == own; };
        const auto given = std::ranges::find_if(query, is_own);
        if (given == query.end()) continue;
        const std::string value = given->second;
        query.erase(given);
        if (std::ranges::any_of(query, is_own)) return fmt::format("parameter '{}' is given twice", own);
        if (own == "events" && !read_kinds(value, request))
            return fmt::format("parameter 'events': '{}' is not a list of new, update and destroy", value);
        if (own != "buffer") continue;
        const auto bytes = parse_number(value, kMostBufferBytes);
        if (!bytes || *bytes < kLeastBufferBytes)
            return fmt::format("parameter 'buffer': '{}' is not a number from {} to {}", value, kLeastBufferBytes,
                               kMostBufferBytes);
        request.buffer_bytes = *bytes;
    }
    auto filter = parse_flow_filter(query);
    if (auto* error = std::get_if<std::string>(&filter)) return std::move(*error);
    request.filter = std::get<FlowFilter>(std::move(filter));
    return request;
}

/// A listener: owned by the exchange's on_gone and by the write that is pending.
class Listener : public std::enable_shared_from_this<Listener> {
public:
    Listener(ExchangePtr exchange, EventRequest request)
        : exchange_(std::move(exchange)), request_(std::move(request)) {}

    void start(Box& box) {
        // The box must not own what owns the watch, so its handlers look at this through a weak pointer.
        try {
            watch_ = box.watch_events({.event =
                                           [weak = weak_from_this()](const FlowEventRecord& event) {
                                               if (const auto self = weak.lock()) self->on_event(event);
                                           },
                                       .lost =
                                           [weak = weak_from_this()](std::uint64_t events) {
                                               if (const auto self = weak.lock()) self->on_lost(events);
                                           }});
        } catch (const EventsRefused& why) {
            return reply_error(*exchange_, http::status::service_unavailable, why.what());
        }
        spdlog::info("api: somebody listens to events");
        exchange_->on_gone([self = shared_from_this()] { self->stop(); });
        exchange_->be_patient();
        exchange_->start_stream(http::status::ok, "application/x-ndjson");
    }

private:
    [[nodiscard]] bool wants(const FlowEventRecord& event) const {
        const FlowFilter& filter = request_.filter;
        return request_.kinds[static_cast<std::size_t>(event.kind)] && (!filter.mark || event.tells_mark()) &&
               (!filter.state || event.tells_state()) && filter.matches(event.flow);
    }

    void on_event(const FlowEventRecord& event) {
        if (!wants(event)) return;
        const std::string line = json::serialize(to_json(event)) + '\n';
        if (lost_ != 0 || backlog_.size() + line.size() > request_.buffer_bytes) {
            ++lost_;
            ++lost_here_;
            return;
        }
        backlog_ += line;
        write();
    }

    void on_lost(std::uint64_t events) {
        lost_ += events;
        write();
    }

    void write() {
        if (writing_ || !watch_) return;
        if (backlog_.empty() && lost_ != 0)
            backlog_ = json::serialize(json::object{{"lost", std::exchange(lost_, 0)}}) + '\n';
        if (backlog_.empty()) return;
        writing_ = true;
        exchange_->write_chunk(std::exchange(backlog_, {}), [self = shared_from_this()] {
            self->writing_ = false;
            if (self->lost_here_ != 0) self->watch_->count_lost(std::exchange(self->lost_here_, 0));
            self->write();
        });
    }

    void stop() {
        if (!watch_) return;
        if (lost_here_ != 0) watch_->count_lost(lost_here_);
        spdlog::info("api: a listener to events leaves");
        watch_.reset();
    }

    ExchangePtr exchange_;
    EventRequest request_;
    std::unique_ptr<EventWatch> watch_;
    std::string backlog_;
    std::uint64_t lost_ = 0;       ///< not told yet; while there are some, nothing is added behind them
    std::uint64_t lost_here_ = 0;  ///< of them: this client was too slow; not counted yet
    bool writing_ = false;
};

}  // namespace

void add_event_route(Router& router, Box& box) {
    router.add(http::verb::get, "/v1/events", [&box](const ExchangePtr& exchange) {
        auto parsed = parse(exchange->request().query);
        if (const auto* error = std::get_if<std::string>(&parsed))
            return reply_error(*exchange, http::status::bad_request, *error);
        std::make_shared<Listener>(exchange, std::get<EventRequest>(std::move(parsed)))->start(box);
    });
}

}  // namespace sluice::api
