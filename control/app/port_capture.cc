#include "control/app/port_capture.hh"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/steady_timer.hpp>
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>

#include "control/app/capture_order.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice {

namespace {

constexpr unsigned kRingSize = 1024;
constexpr unsigned kCopies = 8191;
constexpr auto kDrainEvery = std::chrono::milliseconds(2);

/// In a copy's private area.
struct CopyNote {
    std::uint64_t tsc = 0;
    std::uint32_t wire_bytes = 0;
    bool transmitted = false;
};

CopyNote& copy_note(rte_mbuf* m) noexcept {
    return *static_cast<CopyNote*>(rte_mbuf_to_priv(m));
}

/// One queue in one direction: what its worker's callback writes into.
struct Tap {
    Ring<rte_mbuf*> ring;
    rte_mempool* pool = nullptr;
    std::uint32_t snaplen = 0;
    bool transmit = false;
    std::uint16_t queue = 0;  // of the direction
    Counter lost;
    const rte_eth_rxtx_callback* callback = nullptr;
    /// While copies are being posted, a time not after their stamp; else kIdle.
    std::atomic<std::uint64_t> posting_since{kIdle};
    static constexpr std::uint64_t kIdle = ~std::uint64_t{0};

    void copy(rte_mbuf** packets, std::uint16_t n) noexcept {
        // The stamp is taken after the announcement: who looks at the clock, and then finds nothing announced, knows
        // that whatever is posted later is stamped later.
        posting_since.store(rte_rdtsc(), std::memory_order_relaxed);
        const std::uint64_t tsc = rte_rdtsc_precise();
        for (std::uint16_t i = 0; i < n; ++i) {
            rte_mbuf* c = rte_pktmbuf_copy(packets[i], pool, 0, snaplen);
            if (c == nullptr) {
                lost.add();
                continue;
            }
            copy_note(c) = {tsc, packets[i]->pkt_len, transmit};
            if (ring.post(c)) continue;
            rte_pktmbuf_free(c);
            lost.add();
        }
        posting_since.store(kIdle, std::memory_order_release);
    }
};

std::uint16_t on_receive(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t n, std::uint16_t, void* tap) {
    static_cast<Tap*>(tap)->copy(packets, n);
    return n;
}

std::uint16_t on_transmit(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t n, void* tap) {
    static_cast<Tap*>(tap)->copy(packets, n);
    return n;
}

bool has_tag(const rte_mbuf* m, std::uint16_t vlan) noexcept {
    if (m->data_len < 18) return false;
    const auto* bytes = rte_pktmbuf_mtod(m, const std::uint8_t*);
    const unsigned type = unsigned{bytes[12]} << 8 | bytes[13];
    const unsigned tag = (unsigned{bytes[14]} << 8 | bytes[15]) & 0xfffU;
    return type == RTE_ETHER_TYPE_VLAN && tag == vlan;
}

}  // namespace

/// A running capture. Its timer's handler owns it as well: the handler may be queued already when the capture ends, and
/// the capture may end while it hands a packet on.
class PortCaptures::Running : public std::enable_shared_from_this<Running> {
public:
    Running(PortCaptures& all, const CapturePoint& point, std::uint32_t snaplen, api::CaptureHandler handler)
        : all_(all), point_(point), handler_(std::move(handler)), timer_(all.io_) {
        static unsigned number = 0;
        const std::string name = "cap" + std::to_string(number++) + "-";
        try {
            for (std::uint16_t q = 0; q < point.rx_queues + point.tx_queues; ++q) {
                auto tap = std::make_shared<Tap>();
                tap->ring = Ring<rte_mbuf*>(name + std::to_string(q), kRingSize, SOCKET_ID_ANY);
                tap->pool = all.pool_;
                tap->snaplen = snaplen;
                tap->transmit = q >= point.rx_queues;
                tap->queue = static_cast<std::uint16_t>(tap->transmit ? q - point.rx_queues : q);
                taps_.push_back(std::move(tap));
            }
        } catch (const std::exception&) {
            taps_.clear();
            return;
        }
        ++all_.running_;
        base_tsc_ = rte_rdtsc();
        base_time_ = std::chrono::system_clock::now();
        for (const auto& tap : taps_)
            tap->callback = tap->transmit ? rte_eth_add_tx_callback(point.device, tap->queue, on_transmit, tap.get())
                                          : rte_eth_add_rx_callback(point.device, tap->queue, on_receive, tap.get());
    }

    void start() { drain(); }

    /// No packet is handed on from here on. Called once, if it started.
    void stop() {
        stopped_ = true;
        timer_.cancel();
        --all_.running_;
        auto rest = order_.all();
        free_all(rest);
        for (const auto& tap : taps_) {
            if (tap->callback == nullptr) continue;
            if (tap->transmit)
                rte_eth_remove_tx_callback(point_.device, tap->queue, tap->callback);
            else
                rte_eth_remove_rx_callback(point_.device, tap->queue, tap->callback);
        }
        // A worker may be inside a callback now; after the grace period none is.
        all_.grace_.retire([taps = taps_]() mutable {
            for (auto& tap : taps) {
                std::array<rte_mbuf*, 64> left;
                while (const unsigned n = tap->ring.take(left.data(), left.size()))
                    rte_pktmbuf_free_bulk(left.data(), n);
                rte_free(const_cast<rte_eth_rxtx_callback*>(tap->callback));
            }
            taps.clear();
        });
    }

    [[nodiscard]] bool started() const noexcept { return !taps_.empty(); }
    [[nodiscard]] std::uint64_t lost_packets() const {
        std::uint64_t sum = 0;
        for (const auto& tap : taps_) sum += tap->lost.get();
        return sum;
    }

private:
    void drain() {
        // The rings are read one after the other; a copy of one may be older than what another gave already. So what is
        // handed on is older than anything that can still come: than now, and than what a worker is about to post.
        std::uint64_t limit = rte_rdtsc_precise();
        rte_mb();
        for (const auto& tap : taps_) limit = std::min(limit, tap->posting_since.load(std::memory_order_acquire));
        for (const auto& tap : taps_) limit = std::min(limit, collect(*tap));
        std::vector<rte_mbuf*> due = order_.due(limit);
        for (auto m = due.begin(); m != due.end() && !stopped_; ++m) deliver(*m);
        free_all(due);
        if (stopped_) return;
        timer_.expires_after(kDrainEvery);
        timer_.async_wait([self = shared_from_this()](boost::system::error_code e) {
            if (!e && !self->stopped_) self->drain();
        });
    }

    /// Returns before which time nothing is left in the ring, of what was in it at the call.
    std::uint64_t collect(Tap& tap) {
        std::array<rte_mbuf*, 64> batch;
        // Bounded: what comes faster waits in the ring, and then is lost to the capture.
        for (unsigned rounds = 0; rounds < 8; ++rounds) {
            const unsigned n = tap.ring.take(batch.data(), batch.size());
            for (unsigned i = 0; i < n; ++i) order_.add(copy_note(batch[i]).tsc, batch[i]);
            if (n < batch.size()) return ~std::uint64_t{0};
        }
        return copy_note(batch.back()).tsc;
    }

    static void free_all(std::vector<rte_mbuf*>& copies) {
        rte_pktmbuf_free_bulk(copies.data(), static_cast<unsigned>(copies.size()));
    }

    void deliver(rte_mbuf* m) {
        if (point_.vlan != 0 && !has_tag(m, point_.vlan)) return;
        const CopyNote& note = copy_note(m);
        const double seconds = static_cast<double>(note.tsc - base_tsc_) / static_cast<double>(rte_get_tsc_hz());
        const auto since_epoch = std::chrono::duration_cast<std::chrono::microseconds>(base_time_.time_since_epoch());
        api::CapturedPacket packet;
        packet.time_us = static_cast<std::uint64_t>(since_epoch.count()) + static_cast<std::uint64_t>(seconds * 1e6);
        packet.transmitted = note.transmitted;
        packet.wire_bytes = note.wire_bytes;
        packet.data = {rte_pktmbuf_mtod(m, const std::uint8_t*), m->data_len};
        handler_(packet);
    }

    PortCaptures& all_;
    CapturePoint point_;
    api::CaptureHandler handler_;
    boost::asio::steady_timer timer_;
    std::vector<std::shared_ptr<Tap>> taps_;
    CaptureOrder<rte_mbuf*> order_;
    std::uint64_t base_tsc_ = 0;
    std::chrono::system_clock::time_point base_time_;
    bool stopped_ = false;
};

/// What the caller holds: it goes, and the capture stops.
class PortCaptures::Handle : public api::Capture {
public:
    explicit Handle(std::shared_ptr<Running> running) : running_(std::move(running)) {}
    ~Handle() override { running_->stop(); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    [[nodiscard]] std::uint64_t lost_packets() const override { return running_->lost_packets(); }

private:
    std::shared_ptr<Running> running_;
};

PortCaptures::PortCaptures(boost::asio::io_context& io, GracePeriods& grace) : io_(io), grace_(grace) {}

PortCaptures::~PortCaptures() {
    rte_mempool_free(pool_);
}

std::unique_ptr<api::Capture> PortCaptures::start(const CapturePoint& point, std::uint32_t snaplen_bytes,
                                                  api::CaptureHandler handler) {
    if (running_ >= kMaxCaptures)
        throw api::CaptureRefused(std::to_string(running_) + " captures are running, which is the most: end one first");
    if (pool_ == nullptr)
        pool_ = rte_pktmbuf_pool_create("sluice-captures", kCopies, 0, sizeof(CopyNote), RTE_MBUF_DEFAULT_BUF_SIZE,
                                        SOCKET_ID_ANY);
    if (pool_ == nullptr) throw api::CaptureRefused("no memory for the copies of a capture (memory.megabytes)");
    auto running = std::make_shared<Running>(*this, point, snaplen_bytes, std::move(handler));
    if (!running->started()) throw api::CaptureRefused("no memory for the rings of a capture (memory.megabytes)");
    running->start();
    return std::make_unique<Handle>(std::move(running));
}

}  // namespace sluice
