#include "control/app/flow_lister.hh"

#include <algorithm>
#include <chrono>
#include <utility>

#include "dataplane/flow/conn_state.hh"
#include "dataplane/l4/trackers.hh"

namespace sluice {

namespace {

constexpr auto kPollEvery = std::chrono::microseconds(500);

boost::asio::ip::address address_of(const IpAddress& a) {
    if (a.is_v4()) return boost::asio::ip::address_v4(a.v4().host());
    boost::asio::ip::address_v6::bytes_type bytes;
    a.to_bytes(bytes.data());
    return boost::asio::ip::address_v6(bytes);
}

api::FlowTuple tuple_of(const FlowKey& key) {
    api::FlowTuple t;
    t.src = address_of(key.src());
    t.dst = address_of(key.dst());
    t.zone = key.zone;
    if (key.shape() == TupleShape::query) {
        t.icmp_type = key.icmp_type();
        t.icmp_code = key.icmp_code();
        t.icmp_id = key.sport.host();
    } else if (key.shape() == TupleShape::spi) {
        if (!is_waiting(key)) t.spi = std::uint32_t{key.sport.host()} << 16 | key.dport.host();
    } else {
        t.sport = key.sport.host();
        t.dport = key.dport.host();
    }
    return t;
}

std::uint32_t seconds_left(TimeMs deadline_ms, TimeMs now_ms) {
    return deadline_ms <= now_ms ? 0 : static_cast<std::uint32_t>((deadline_ms - now_ms) / 1000);
}

}  // namespace

api::FlowId FlowLister::id_of(unsigned worker, SlotIndex slot, std::uint32_t generation) noexcept {
    return std::uint64_t{worker} << 56 | std::uint64_t{slot} << 24 | (generation & 0xffffffU);
}

api::FlowRecord FlowLister::record_of(unsigned worker, const FlowCopy& f, TimeMs now_ms) const {
    api::FlowRecord r;
    r.id = id_of(worker, f.slot, f.generation);
    r.proto = f.key[0].proto;
    r.original = tuple_of(f.key[0]);
    r.reply = tuple_of(f.key[1]);
    r.timeout_s = seconds_left(f.lifetime.deadline_ms(), now_ms);
    if (const auto states = tracker_of(f.kind).states; f.state < states.size()) r.state = std::string(states[f.state]);
    r.timeouts_s = f.timeouts_s;
    r.unreplied = (f.status & status::kSeenReply) == 0;
    r.assured = (f.status & status::kAssured) != 0;
    r.expected = (f.status & status::kExpected) != 0;
    r.mark = f.mark;
    for (unsigned d = 0; d < 2; ++d) r.counters[d] = {f.packets[d], f.bytes[d]};
    r.worker = static_cast<std::uint16_t>(worker);
    if ((f.status & status::kHelper) != 0) r.helper = "ftp";
    if (describe_) describe_(f, now_ms, r);
    return r;
}

/// Goes through the workers one after the other, slot by slot.
class FlowLister::Cursor : public api::FlowCursor {
public:
    Cursor(FlowLister& lister, api::FlowFilter filter)
        : lister_(lister), filter_(std::move(filter)), alive_(std::make_shared<bool>(true)) {}
    ~Cursor() override { *alive_ = false; }

    void next(api::SliceHandler handler) override {
        auto slice = std::make_shared<ListSlice>();
        slice->from = from_;
        lister_.ask_slice(worker_, slice, [this, slice, handler = std::move(handler), alive = alive_]() mutable {
            if (*alive) deliver(*slice, std::move(handler));
        });
    }

private:
    void deliver(const ListSlice& slice, api::SliceHandler handler) {
        std::vector<api::FlowRecord> records;
        const TimeMs now_ms = lister_.clock_();
        for (unsigned i = 0; i < slice.count; ++i) {
            // Past its deadline a flow is gone for every packet; its slot merely waits for the wheel.
            if (slice.flows[i].lifetime.deadline_ms() <= now_ms) continue;
            api::FlowRecord r = lister_.record_of(worker_, slice.flows[i], now_ms);
            if (filter_.matches(r)) records.push_back(std::move(r));
        }
        from_ = slice.next;
        if (from_ == kNoSlot) {
            from_ = 0;
            ++worker_;
        }
        const bool last = worker_ == lister_.orders_.size();
        if (records.empty() && !last) {
            next(std::move(handler));
            return;
        }
        handler(std::move(records), last);
    }

    FlowLister& lister_;
    api::FlowFilter filter_;
    unsigned worker_ = 0;
    SlotIndex from_ = 0;
    std::shared_ptr<bool> alive_;
};

FlowLister::FlowLister(boost::asio::io_context& io, Orders orders, std::function<TimeMs()> clock, Describe describe)
    : timer_(io), orders_(std::move(orders)), clock_(std::move(clock)), describe_(std::move(describe)) {}

FlowLister::~FlowLister() = default;

void FlowLister::ask(Task task) {
    task.posted = task.post();
    tasks_.push_back(std::move(task));
    if (polling_) return;
    polling_ = true;
    poll();
}

void FlowLister::poll() {
    std::vector<std::function<void()>> ready;
    for (auto t = tasks_.begin(); t != tasks_.end();) {
        if (!t->posted) t->posted = t->post();
        if (t->posted && t->finished()) {
            ready.push_back(std::move(t->then));
            t = tasks_.erase(t);
        } else {
            ++t;
        }
    }
    for (auto& then : ready) then();
    if (tasks_.empty()) {
        polling_ = false;
        return;
    }
    timer_.expires_after(kPollEvery);
    timer_.async_wait([this](boost::system::error_code e) {
        if (!e) poll();
    });
}

void FlowLister::ask_slice(unsigned worker, const std::shared_ptr<ListSlice>& slice, std::function<void()> then) {
    Ring<Order>* orders = orders_[worker];
    ask({[orders, slice] {
             return orders->post({OrderKind::list, 0, 0, 0, reinterpret_cast<std::uint64_t>(slice.get())});
         },
         [slice] { return slice->done.load(std::memory_order_acquire); }, std::move(then)});
}

std::unique_ptr<api::FlowCursor> FlowLister::list(api::FlowFilter filter) {
    return std::make_unique<Cursor>(*this, std::move(filter));
}

template <class Batch>
void FlowLister::ask_by_name(const std::vector<api::FlowId>& ids, OrderKind kind,
                             const std::function<void(Batch&)>& prepare,
                             const std::function<void(unsigned, Batch&)>& take, std::function<void()> then) {
    // The last batch that is done calls it; this function itself counts as one.
    const auto open = std::make_shared<unsigned>(1);
    const auto close = [open, then = std::move(then)] {
        if (--*open == 0) then();
    };
    std::vector<std::vector<api::FlowId>> by_worker(orders_.size());
    for (const api::FlowId id : ids)
        if (id >> 56 < by_worker.size()) by_worker[id >> 56].push_back(id);
    for (unsigned w = 0; w < by_worker.size(); ++w) {
        for (std::size_t at = 0; at < by_worker[w].size(); at += Batch::kMaxFlows) {
            auto batch = std::make_shared<Batch>();
            prepare(*batch);
            const std::size_t end = std::min(by_worker[w].size(), at + Batch::kMaxFlows);
            for (std::size_t i = at; i < end; ++i) {
                auto& name = batch->flows[batch->count++];
                name.slot = static_cast<SlotIndex>(by_worker[w][i] >> 24 & 0xffffffffU);
                name.generation = static_cast<std::uint32_t>(by_worker[w][i] & 0xffffffU);
            }
            ++*open;
            Ring<Order>* orders = orders_[w];
            ask({[orders, batch, kind] {
                     return orders->post({kind, 0, 0, 0, reinterpret_cast<std::uint64_t>(batch.get())});
                 },
                 [batch] { return batch->done.load(std::memory_order_acquire); },
                 [batch, take, close, w] {
                     take(w, *batch);
                     close();
                 }});
        }
    }
    close();
}

void FlowLister::erase(const std::vector<api::FlowId>& ids, std::uint32_t by,
                       std::function<void(std::vector<api::FlowId>)> handler) {
    const auto deleted = std::make_shared<std::vector<api::FlowId>>();
    ask_by_name<EraseBatch>(
        ids, OrderKind::erase, [by](EraseBatch& batch) { batch.by = by; },
        [deleted](unsigned worker, EraseBatch& batch) {
            for (unsigned i = 0; i < batch.count; ++i)
                if (const auto& f = batch.flows[i]; f.erased) deleted->push_back(id_of(worker, f.slot, f.generation));
        },
        [deleted, handler = std::move(handler)] { handler(std::move(*deleted)); });
}

void FlowLister::update(const std::vector<api::FlowId>& ids, const FlowUpdate& what, std::uint32_t by,
                        std::function<void(std::vector<api::FlowRecord>)> handler) {
    const auto updated = std::make_shared<std::vector<api::FlowRecord>>();
    ask_by_name<UpdateBatch>(
        ids, OrderKind::update,
        [what, by](UpdateBatch& batch) {
            batch.what = what;
            batch.by = by;
        },
        [this, updated](unsigned worker, UpdateBatch& batch) {
            const TimeMs now_ms = clock_();
            for (unsigned i = 0; i < batch.count; ++i)
                if (const auto& one = batch.flows[i]; one.result == UpdateBatch::Result::updated)
                    updated->push_back(record_of(worker, one.flow, now_ms));
        },
        [updated, handler = std::move(handler)] { handler(std::move(*updated)); });
}

void FlowLister::flush(std::uint32_t by, std::function<void(std::uint64_t)> handler) {
    struct Answer {
        std::uint64_t erased = 0;
        std::size_t open = 0;
        std::function<void(std::uint64_t)> handler;
    };
    auto answer = std::make_shared<Answer>();
    answer->open = orders_.size();
    answer->handler = std::move(handler);
    for (Ring<Order>* orders : orders_) {
        auto ticket = std::make_shared<FlushTicket>();
        ticket->by = by;
        ask({[orders, ticket] {
                 return orders->post({OrderKind::flush, 0, 0, 0, reinterpret_cast<std::uint64_t>(ticket.get())});
             },
             [ticket] { return ticket->done.load(std::memory_order_acquire); },
             [answer, ticket] {
                 answer->erased += ticket->erased;
                 if (--answer->open == 0) answer->handler(answer->erased);
             }});
    }
}

/// Expectations are few: collected whole, then given out.
class FlowLister::ExpectationWalk : public std::enable_shared_from_this<ExpectationWalk> {
public:
    ExpectationWalk(FlowLister& lister, std::function<void(std::vector<api::ExpectationRecord>)> handler)
        : lister_(lister), handler_(std::move(handler)) {}

    void step() {
        if (worker_ == lister_.orders_.size()) {
            handler_(std::move(records_));
            return;
        }
        auto slice = std::make_shared<ListSlice>();
        slice->what = ListSlice::What::expectations;
        slice->from = from_;
        lister_.ask_slice(worker_, slice, [self = shared_from_this(), slice] { self->take(*slice); });
    }

private:
    void take(const ListSlice& slice) {
        const TimeMs now_ms = lister_.clock_();
        for (unsigned i = 0; i < slice.count; ++i) {
            const Expectation& e = slice.expectations[i];
            if (e.deadline_ms <= now_ms) continue;
            api::ExpectationRecord r;
            r.proto = e.tuple.proto;
            r.tuple = tuple_of(e.tuple);
            r.master = tuple_of(e.master_tuple);
            r.master_proto = e.master_tuple.proto;
            r.timeout_s = seconds_left(e.deadline_ms, now_ms);
            r.helper = "ftp";
            r.worker = static_cast<std::uint16_t>(worker_);
            records_.push_back(std::move(r));
        }
        from_ = slice.next;
        if (from_ == kNoSlot) {
            from_ = 0;
            ++worker_;
        }
        step();
    }

    FlowLister& lister_;
    std::function<void(std::vector<api::ExpectationRecord>)> handler_;
    std::vector<api::ExpectationRecord> records_;
    unsigned worker_ = 0;
    SlotIndex from_ = 0;
};

void FlowLister::expectations(std::function<void(std::vector<api::ExpectationRecord>)> handler) {
    std::make_shared<ExpectationWalk>(*this, std::move(handler))->step();
}

}  // namespace sluice
