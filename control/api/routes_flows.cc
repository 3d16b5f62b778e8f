// /v1/flows: listing, deletion and change. All walk a FlowCursor slice by slice; the next slice is fetched when the
// client has taken the last one, so a slow reader holds one slice and no handler grows with the table. A deletion lists
// and deletes what it listed, as conntrack(8) does; a client that leaves in the middle stops it there.
#include <functional>
#include <set>
#include <vector>

#include <boost/json/serialize.hpp>
#include <spdlog/spdlog.h>

#include "control/api/flow_update.hh"
#include "control/api/json.hh"
#include "control/api/routes_impl.hh"

namespace sluice::api {
namespace {

namespace json = boost::json;

constexpr std::string_view kNdjson = "application/x-ndjson";

/// Parses the filter; on an error the answer has been sent.
std::optional<FlowFilter> filter_of(Exchange& exchange) {
    auto parsed = parse_flow_filter(exchange.request().query);
    if (const auto* error = std::get_if<std::string>(&parsed)) {
        reply_error(exchange, http::status::bad_request, *error);
        return std::nullopt;
    }
    return std::get<FlowFilter>(std::move(parsed));
}

bool wants_ndjson(const Exchange& exchange) {
    return exchange.request().accept.find(kNdjson) != std::string::npos;
}

/// GET: owns the cursor; owned by the handlers that are pending and by the exchange's on_gone.
class Listing : public std::enable_shared_from_this<Listing> {
public:
    Listing(ExchangePtr exchange, std::unique_ptr<FlowCursor> cursor)
        : exchange_(std::move(exchange)), cursor_(std::move(cursor)), ndjson_(wants_ndjson(*exchange_)) {}

    void start() {
        exchange_->on_gone([self = shared_from_this()] { self->cursor_.reset(); });
        exchange_->start_stream(http::status::ok, ndjson_ ? kNdjson : "application/json");
        fetch();
    }

private:
    void fetch() {
        if (!cursor_) return;  // the client is gone
        cursor_->next([self = shared_from_this()](const std::vector<FlowRecord>& slice, bool last) {
            self->on_slice(slice, last);
        });
    }

    void on_slice(const std::vector<FlowRecord>& slice, bool last) {
        std::string chunk;
        for (const auto& flow : slice) {
            if (!ndjson_) chunk += first_ ? "[\n" : ",\n";
            first_ = false;
            chunk += json::serialize(to_json(flow));
            if (ndjson_) chunk += '\n';
        }
        if (last && !ndjson_) chunk += first_ ? "[]\n" : "\n]\n";
        auto go_on = [self = shared_from_this(), last] {
            if (!last) return self->fetch();
            self->cursor_.reset();
            self->exchange_->finish_stream();
        };
        // Never straight from here: a box that answers inside next() would nest as deep as it has slices.
        if (chunk.empty()) return exchange_->defer(std::move(go_on));
        exchange_->write_chunk(std::move(chunk), std::move(go_on));
    }

    ExchangePtr exchange_;
    std::unique_ptr<FlowCursor> cursor_;
    bool ndjson_;
    bool first_ = true;
};

using Flows = std::vector<FlowRecord>;

std::vector<FlowId> ids_of(const Flows& flows) {
    std::vector<FlowId> ids;
    ids.reserve(flows.size());
    for (const auto& flow : flows) ids.push_back(flow.id);
    return ids;
}

/// DELETE and PATCH: something is done to the flows of a listing, slice by slice. The answer is the number of those
/// that it was done to, or, as a stream, themselves and then their number.
class Edit : public std::enable_shared_from_this<Edit> {
public:
    /// Does it to the flows of a slice, and calls `then` with those that it was done to.
    using Apply = std::function<void(Flows slice, std::function<void(const Flows&)> then)>;

    /// `done`: a word for it, "deleted".
    Edit(ExchangePtr exchange, std::unique_ptr<FlowCursor> cursor, const char* done, Apply apply)
        : exchange_(std::move(exchange)),
          cursor_(std::move(cursor)),
          done_(done),
          apply_(std::move(apply)),
          stream_(wants_ndjson(*exchange_)) {}

    void start() {
        exchange_->on_gone([self = shared_from_this()] { self->cursor_.reset(); });
        if (stream_) exchange_->start_stream(http::status::ok, kNdjson);
        fetch();
    }

private:
    void fetch() {
        if (!cursor_) return;
        cursor_->next([self = shared_from_this()](Flows slice, bool last) {
            if (slice.empty()) return self->go_on(slice, last);
            self->apply_(std::move(slice), [self, last](const Flows& done) { self->go_on(done, last); });
        });
    }

    void go_on(const Flows& done, bool last) {
        number_ += done.size();
        std::string chunk;
        if (stream_)
            for (const auto& flow : done) chunk += json::serialize(to_json(flow)) + '\n';
        if (stream_ && last) chunk += json::serialize(result()) + '\n';
        auto next = [self = shared_from_this(), last] { last ? self->finish() : self->fetch(); };
        if (chunk.empty()) return exchange_->defer(std::move(next));
        exchange_->write_chunk(std::move(chunk), std::move(next));
    }

    void finish() {
        cursor_.reset();
        spdlog::info("api: {} flows {}", number_, done_);
        if (stream_) return exchange_->finish_stream();
        reply_json(*exchange_, http::status::ok, result());
    }

    [[nodiscard]] json::object result() const { return {{done_, number_}}; }

    ExchangePtr exchange_;
    std::unique_ptr<FlowCursor> cursor_;
    const char* done_;
    Apply apply_;
    bool stream_;
    std::uint64_t number_ = 0;
};

Edit::Apply deletion(Box& box, std::uint32_t by) {
    return [&box, by](Flows slice, std::function<void(const Flows&)> then) {
        auto ids = ids_of(slice);
        box.delete_flows(
            std::move(ids), by,
            [slice = std::move(slice), then = std::move(then)](const std::vector<FlowId>& deleted) mutable {
                const std::set<FlowId> gone(deleted.begin(), deleted.end());
                std::erase_if(slice, [&](const FlowRecord& flow) { return !gone.contains(flow.id); });
                then(slice);
            });
    };
}

/// What it changes has no part in the filter.
Edit::Apply change(Box& box, const FlowUpdate& what, std::uint32_t by) {
    return [&box, what, by](const Flows& slice, std::function<void(const Flows&)> then) {
        box.update_flows(ids_of(slice), what, by, std::move(then));
    };
}

void flush(const ExchangePtr& exchange, Box& box) {
    box.flush_flows(exchange->request().client_pid, [exchange](std::uint64_t deleted) {
        spdlog::info("api: all {} flows deleted", deleted);
        reply_json(*exchange, http::status::ok, json::object{{"deleted", deleted}});
    });
}

}  // namespace

void add_flow_routes(Router& router, Box& box) {
    router.add(http::verb::get, "/v1/flows", [&box](const ExchangePtr& exchange) {
        if (auto filter = filter_of(*exchange))
            std::make_shared<Listing>(exchange, box.list_flows(std::move(*filter)))->start();
    });
    router.add(http::verb::delete_, "/v1/flows", [&box](const ExchangePtr& exchange) {
        auto filter = filter_of(*exchange);
        if (!filter) return;
        // One message per worker instead of one per flow, unless the client wants to see them.
        if (filter->matches_all() && !wants_ndjson(*exchange)) return flush(exchange, box);
        auto cursor = box.list_flows(std::move(*filter));
        std::make_shared<Edit>(exchange, std::move(cursor), "deleted", deletion(box, exchange->request().client_pid))
            ->start();
    });
    router.add(http::verb::patch, "/v1/flows", [&box](const ExchangePtr& exchange) {
        auto filter = filter_of(*exchange);
        if (!filter) return;
        const auto what = parse_flow_update(exchange->request().body);
        if (const auto* error = std::get_if<std::string>(&what))
            return reply_error(*exchange, http::status::bad_request, *error);
        auto cursor = box.list_flows(std::move(*filter));
        auto apply = change(box, std::get<FlowUpdate>(what), exchange->request().client_pid);
        std::make_shared<Edit>(exchange, std::move(cursor), "updated", std::move(apply))->start();
    });
    router.add(http::verb::get, "/v1/flows/count", [&box](const ExchangePtr& exchange) {
        if (!exchange->request().query.empty())
            return reply_error(*exchange, http::status::bad_request,
                               "unknown parameter '" + exchange->request().query.front().first + "'");
        reply_json(*exchange, http::status::ok,
                   json::object{{"count", box.count_flows()}, {"limit", box.snapshot().flow_limit}});
    });
}

}  // namespace sluice::api
