// POST /v1/capture: packets of a port as a pcap stream, for tcpdump and Wireshark (the twin in the kernel sees only
// punts). Ends at `count` packets or when the client leaves. Packets that come faster than the client reads are dropped
// beyond kBacklogBytes and counted in the log.
//
// The filter expression is compiled on a helper thread: libpcap reads files for the names of services and takes its
// time over a long expression. Names of hosts are refused.
#include <algorithm>
#include <set>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <spdlog/spdlog.h>

#include "control/api/pcap_stream.hh"
#include "control/api/protocols.hh"
#include "control/api/routes_impl.hh"

namespace sluice::api {
namespace {

constexpr std::uint32_t kMaxSnaplen = 65535;
constexpr std::size_t kBacklogBytes = 4 << 20;
constexpr std::size_t kMaxFilterBytes = 4096;

struct CaptureRequest {
    std::string port;
    std::string filter;
    std::uint32_t snaplen_bytes = kMaxSnaplen;
    std::uint64_t count = 0;  ///< 0: no end
};

/// The request, or one sentence that names the parameter at fault.
std::variant<CaptureRequest, std::string> parse(const QueryParameters& query) {
    CaptureRequest request;
    std::set<std::string_view> seen;
    for (const auto& [name, value] : query) {
        if (!seen.insert(name).second) return "parameter '" + name + "' is given twice";
        if (name == "port") {
            request.port = value;
        } else if (name == "filter") {
            if (value.size() > kMaxFilterBytes) return "parameter 'filter' is longer than 4096 bytes";
            request.filter = value;
        } else if (name == "snaplen") {
            const auto number = parse_number(value, kMaxSnaplen);
            if (!number || *number == 0) return "parameter 'snaplen': '" + value + "' is not a number from 1 to 65535";
            request.snaplen_bytes = static_cast<std::uint32_t>(*number);
        } else if (name == "count") {
            const auto number = parse_number(value, UINT64_MAX);
            if (!number || *number == 0) return "parameter 'count': '" + value + "' is not a number above 0";
            request.count = *number;
        } else {
            return "unknown parameter '" + name + "'";
        }
    }
    if (request.port.empty()) return "parameter 'port' is missing";
    return request;
}

/// A running capture: owned by the exchange's on_gone and by pending writes.
class Running : public std::enable_shared_from_this<Running> {
public:
    Running(ExchangePtr exchange, CaptureRequest request, PacketFilter filter)
        : exchange_(std::move(exchange)), request_(std::move(request)), filter_(std::move(filter)) {}

    void start(Box& box) {
        // The box must not own what owns the capture, so its handler looks at this through a weak pointer.
        try {
            capture_ = box.start_capture(request_.port, request_.snaplen_bytes,
                                         [weak = weak_from_this()](const CapturedPacket& packet) {
                                             if (const auto self = weak.lock()) self->on_packet(packet);
                                         });
        } catch (const CaptureRefused& why) {
            return reply_error(*exchange_, http::status::service_unavailable, why.what());
        }
        spdlog::info("api: capture on {} starts", request_.port);
        exchange_->on_gone([self = shared_from_this()] { self->stop(); });
        exchange_->start_stream(http::status::ok, "application/vnd.tcpdump.pcap");
        backlog_ = pcap_file_header(request_.snaplen_bytes);
        write();
    }

private:
    void on_packet(const CapturedPacket& packet) {
        if (full() || !filter_.matches(packet)) return;
        if (backlog_.size() + packet.data.size() > kBacklogBytes) {
            ++lost_;
            return;
        }
        append_pcap_packet(backlog_, packet);
        ++taken_;
        if (!writing_) write();
    }

    [[nodiscard]] bool full() const { return request_.count != 0 && taken_ >= request_.count; }

    void write() {
        writing_ = true;
        exchange_->write_chunk(std::exchange(backlog_, {}), [self = shared_from_this()] {
            self->writing_ = false;
            if (!self->backlog_.empty()) return self->write();
            if (!self->full()) return;
            self->stop();
            self->exchange_->finish_stream();
        });
    }

    void stop() {
        if (!capture_) return;
        spdlog::info("api: capture on {} ends: {} packets, {} lost", request_.port, taken_,
                     lost_ + capture_->lost_packets());
        capture_.reset();
    }

    ExchangePtr exchange_;
    CaptureRequest request_;
    PacketFilter filter_;
    std::unique_ptr<Capture> capture_;
    std::string backlog_;
    std::uint64_t taken_ = 0;
    std::uint64_t lost_ = 0;
    bool writing_ = false;
};

/// Compiles on the helper thread, goes on at the control thread. The exchange travels with the job, so that its last
/// reference is never dropped on the helper.
void compile_and_start(boost::asio::thread_pool& helper, ExchangePtr exchange, Box& box, CaptureRequest request) {
    struct Job {
        ExchangePtr exchange;
        CaptureRequest request;
        std::variant<PacketFilter, std::string> filter;
    };
    auto job = std::make_shared<Job>(Job{std::move(exchange), std::move(request), std::string()});
    boost::asio::post(helper, [job = std::move(job), &box]() mutable {
        job->filter = PacketFilter::compile(job->request.filter, job->request.snaplen_bytes);
        Exchange& answer = *job->exchange;
        answer.defer([moved = std::move(job), &box] {
            if (const auto* error = std::get_if<std::string>(&moved->filter))
                return reply_error(*moved->exchange, http::status::bad_request, "parameter 'filter': " + *error);
            std::make_shared<Running>(moved->exchange, std::move(moved->request),
                                      std::get<PacketFilter>(std::move(moved->filter)))
                ->start(box);
        });
    });
}

}  // namespace

void add_capture_route(Router& router, Box& box) {
    const auto helper = std::make_shared<boost::asio::thread_pool>(1);
    router.add(http::verb::post, "/v1/capture", [&box, helper](const ExchangePtr& exchange) {
        auto parsed = parse(exchange->request().query);
        if (const auto* error = std::get_if<std::string>(&parsed))
            return reply_error(*exchange, http::status::bad_request, *error);
        auto& request = std::get<CaptureRequest>(parsed);
        const auto snapshot = box.snapshot();
        if (std::ranges::find(snapshot.ports, request.port, &metrics::Port::name) == snapshot.ports.end())
            return reply_error(*exchange, http::status::not_found, "no port is named '" + request.port + "'");
        compile_and_start(*helper, exchange, box, std::move(request));
    });
}

}  // namespace sluice::api
