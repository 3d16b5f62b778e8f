// /v1/flows: listing, deletion and change. All walk a FlowCursor slice by slice; the next slice is fetched when the
// client has taken the last one, so a slow reader holds one slice and no handler grows with the table. A deletion lists
// and deletes what it listed, as conntrack(8) does; a client that leaves in the middle stops it there.
#include <set>

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

/// DELETE with a filter.
class Deletion : public std::enable_shared_from_this<Deletion> {
public:
    Deletion(ExchangePtr exchange, Box& box, std::unique_ptr<FlowCursor> cursor)
        : exchange_(std::move(exchange)), box_(box), cursor_(std::move(cursor)), stream_(wants_ndjson(*exchange_)) {}

    void start() {
        exchange_->on_gone([self = shared_from_this()] { self->cursor_.reset(); });
        if (stream_) exchange_->start_stream(http::status::ok, kNdjson);
        fetch();
    }

private:
    void fetch() {
        if (!cursor_) return;
        cursor_->next([self = shared_from_this()](std::vector<FlowRecord> slice, bool last) {
            self->on_slice(std::move(slice), last);
        });
    }

    void on_slice(std::vector<FlowRecord> slice, bool last) {
        if (slice.empty()) return go_on("", last);
        std::vector<FlowId> ids;
        ids.reserve(slice.size());
        for (const auto& flow : slice) ids.push_back(flow.id);
        box_.delete_flows(
            std::move(ids), exchange_->request().client_pid,
            [self = shared_from_this(), slice = std::move(slice), last](const std::vector<FlowId>& deleted) {
                self->deleted_ += deleted.size();
                std::string chunk;
                if (self->stream_) {
                    const std::set<FlowId> gone(deleted.begin(), deleted.end());
                    for (const auto& flow : slice)
                        if (gone.contains(flow.id)) chunk += json::serialize(to_json(flow)) + '\n';
                }
                self->go_on(std::move(chunk), last);
            });
    }

    void go_on(std::string chunk, bool last) {
        if (last) chunk += stream_ ? json::serialize(json::object{{"deleted", deleted_}}) + '\n' : "";
        auto next = [self = shared_from_this(), last] { last ? self->finish() : self->fetch(); };
        if (chunk.empty()) return exchange_->defer(std::move(next));
        exchange_->write_chunk(std::move(chunk), std::move(next));
    }

    void finish() {
        cursor_.reset();
        spdlog::info("api: {} flows deleted", deleted_);
        if (stream_) return exchange_->finish_stream();
        reply_json(*exchange_, http::status::ok, json::object{{"deleted", deleted_}});
    }

    ExchangePtr exchange_;
    Box& box_;
    std::unique_ptr<FlowCursor> cursor_;
    bool stream_;
    std::uint64_t deleted_ = 0;
};

/// PATCH: what it changes has no part in the filter.
class Change : public std::enable_shared_from_this<Change> {
public:
    Change(ExchangePtr exchange, Box& box, const FlowUpdate& what, std::unique_ptr<FlowCursor> cursor)
        : exchange_(std::move(exchange)),
          box_(box),
          what_(what),
          cursor_(std::move(cursor)),
          stream_(wants_ndjson(*exchange_)) {}

    void start() {
        exchange_->on_gone([self = shared_from_this()] { self->cursor_.reset(); });
        if (stream_) exchange_->start_stream(http::status::ok, kNdjson);
        fetch();
    }

private:
    void fetch() {
        if (!cursor_) return;
        cursor_->next([self = shared_from_this()](const std::vector<FlowRecord>& slice, bool last) {
            std::vector<FlowId> ids;
            ids.reserve(slice.size());
            for (const auto& flow : slice) ids.push_back(flow.id);
            self->box_.update_flows(
                std::move(ids), self->what_, self->exchange_->request().client_pid,
                [self, last](const std::vector<FlowRecord>& updated) { self->on_updated(updated, last); });
        });
    }

    void on_updated(const std::vector<FlowRecord>& updated, bool last) {
        updated_ += updated.size();
        std::string chunk;
        if (stream_)
            for (const auto& flow : updated) chunk += json::serialize(to_json(flow)) + '\n';
        if (stream_ && last) chunk += json::serialize(json::object{{"updated", updated_}}) + '\n';
        auto next = [self = shared_from_this(), last] { last ? self->finish() : self->fetch(); };
        if (chunk.empty()) return exchange_->defer(std::move(next));
        exchange_->write_chunk(std::move(chunk), std::move(next));
    }

    void finish() {
        cursor_.reset();
        spdlog::info("api: {} flows updated", updated_);
        if (stream_) return exchange_->finish_stream();
        reply_json(*exchange_, http::status::ok, json::object{{"updated", updated_}});
    }

    ExchangePtr exchange_;
    Box& box_;
    FlowUpdate what_;
    std::unique_ptr<FlowCursor> cursor_;
    bool stream_;
    std::uint64_t updated_ = 0;
};

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
        std::make_shared<Deletion>(exchange, box, box.list_flows(std::move(*filter)))->start();
    });
    router.add(http::verb::patch, "/v1/flows", [&box](const ExchangePtr& exchange) {
        auto filter = filter_of(*exchange);
        if (!filter) return;
        const auto what = parse_flow_update(exchange->request().body);
        if (const auto* error = std::get_if<std::string>(&what))
            return reply_error(*exchange, http::status::bad_request, *error);
        std::make_shared<Change>(exchange, box, std::get<FlowUpdate>(what), box.list_flows(std::move(*filter)))
            ->start();
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
