#include "control/linux/netlink.hh"

#include <array>
#include <bitset>
#include <cerrno>
#include <cstring>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string>
#include <sys/socket.h>
#include <utility>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#include "control/linux/kernel_tables.hh"

namespace sluice {
namespace {

/// A table that keeps changing under the dump is dumped this often in a row, then the others have their turn.
constexpr unsigned kAttempts = 3;

}  // namespace

class Netlink::Impl : public std::enable_shared_from_this<Netlink::Impl> {
public:
    Impl(boost::asio::io_context& io, KernelObserver& observer, RtnlRequests& requests, nl_sock* socket)
        : io_(io),
          observer_(observer),
          socket_(socket),
          stream_(io, nl_socket_get_fd(socket)),
          tables_(observer, requests, counters, [this] { want_routes(); }) {}
    ~Impl() { close(); }

    void start() {
        resync_wanted_ = true;
        next();
        wait();
    }

    void close() {
        if (closed_) return;
        closed_ = true;
        stream_.release();  // the descriptor is libnl's
        nl_socket_free(socket_);
    }

    NetlinkCounters counters;

    [[nodiscard]] NetlinkSizes sizes() const { return tables_.sizes(); }

private:
    // ---- reading ----

    void wait() {
        stream_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                           [self = shared_from_this()](const boost::system::error_code& error) {
                               if (!error && !self->closed_) self->read_some();
                           });
    }

    void read_some() {
        for (unsigned n = 0; n < kReadsPerWakeUp; ++n) {
            sockaddr_nl from{};
            socklen_t from_bytes = sizeof from;
            const ssize_t got = recvfrom(nl_socket_get_fd(socket_), buffer_.data(), buffer_.size(),
                                         MSG_DONTWAIT | MSG_TRUNC, reinterpret_cast<sockaddr*>(&from), &from_bytes);
            if (got < 0 && errno == EINTR) continue;
            if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
            if (got < 0 && errno == ENOBUFS) {
                ++counters.overruns;
                resync_wanted_ = true;
                if (!dumping_) next();
                if (closed_) return;
                continue;
            }
            if (got < 0) return lose(std::strerror(errno));
            if (from.nl_pid != 0) continue;  // any process may send to us; only the kernel's word counts
            if (static_cast<std::size_t>(got) > buffer_.size()) {
                ++counters.malformed;
                continue;
            }
            int left = static_cast<int>(got);
            for (auto* at = reinterpret_cast<nlmsghdr*>(buffer_.data()); nlmsg_ok(at, left) != 0;
                 at = nlmsg_next(at, &left)) {
                take(*at);
                if (closed_) return;
            }
        }
        wait();
    }

    void take(const nlmsghdr& message) {
        ++counters.messages;
        const bool from_dump = dumping_ && message.nlmsg_seq == sequence_ && message.nlmsg_pid == port();
        if (from_dump && (message.nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted_ = true;
        switch (message.nlmsg_type) {
            case NLMSG_DONE:
                if (!from_dump) return;
                // A dump that failed half-way says so in its last message.
                if (nlmsg_datalen(&message) >= static_cast<int>(sizeof(int)) &&
                    *static_cast<const int*>(nlmsg_data(&message)) < 0)
                    interrupted_ = true;
                return dump_done();
            case NLMSG_ERROR:
                if (from_dump && nlmsg_datalen(&message) >= static_cast<int>(sizeof(nlmsgerr)))
                    lose(std::strerror(-static_cast<const nlmsgerr*>(nlmsg_data(&message))->error));
                return;
            default:
                return tables_.take(message, from_dump);
        }
    }

    // ---- dumps: what is wanted → dump → sweep → what is wanted next ----

    void want_routes() {
        wanted_.set(index_of(KernelTable::routes));
        if (!dumping_ && !sweeping_) next();
    }

    void next() {
        if (closed_ || sweeping_) return;
        if (resync_wanted_) {
            resync_wanted_ = false;
            wanted_.set();
            again_.reset();
            ++counters.resyncs;
            if (!std::exchange(resyncing_, true)) observer_.on_resync_begin();
        }
        if (resyncing_ && (wanted_ & ~again_).none()) {
            resyncing_ = false;
            observer_.on_resync_end();
            again_.reset();
        }
        for (std::size_t i = 0; i < kKernelTables; ++i) {
            if (!wanted_[i] || (resyncing_ && again_[i])) continue;
            wanted_.reset(i);
            if (!resyncing_) ++counters.route_dumps;
            attempts_ = 0;
            return dump(static_cast<KernelTable>(i));
        }
    }

    void dump(KernelTable table) {
        table_ = table;
        dumping_ = true;
        interrupted_ = false;
        tables_.begin_dump(table);
        constexpr std::array<int, kKernelTables> kRequest{RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE, RTM_GETNEIGH};
        // Every kind's own header, long enough for the longest, zero but for the family.
        std::array<unsigned char, 32> header{};
        static_assert(sizeof(ifinfomsg) <= 32 && sizeof(rtmsg) <= 32 && sizeof(ndmsg) <= 32);
        constexpr std::array<std::size_t, kKernelTables> kBytes{sizeof(ifinfomsg), sizeof(ifaddrmsg), sizeof(rtmsg),
                                                                sizeof(ndmsg)};
        header[0] = AF_UNSPEC;  // both families
        sequence_ = nl_socket_use_seq(socket_);
        nl_msg* message = nlmsg_alloc_simple(kRequest[index_of(table)], NLM_F_REQUEST | NLM_F_DUMP);
        if (message == nullptr) return lose("out of memory");
        nlmsghdr* request = nullptr;
        if (nlmsg_append(message, header.data(), kBytes[index_of(table)], NLMSG_ALIGNTO) == 0) {
            request = nlmsg_hdr(message);
            request->nlmsg_seq = sequence_;
            request->nlmsg_pid = port();
        }
        const bool sent = request != nullptr && send(nl_socket_get_fd(socket_), request, request->nlmsg_len, 0) >= 0;
        const int error = errno;
        nlmsg_free(message);
        if (!sent) lose(std::strerror(error));
    }

    void dump_done() {
        dumping_ = false;
        tables_.end_dump(table_);
        if (resync_wanted_) return next();  // what came was incomplete anyway
        if (interrupted_) {
            ++counters.interrupted_dumps;
            if (++attempts_ < kAttempts) return dump(table_);
            wanted_.set(index_of(table_));
            if (resyncing_) again_.set(index_of(table_));
            return next();
        }
        sweeping_ = true;
        sweep_some();
    }

    void sweep_some() {
        if (tables_.sweep(table_, kSweepPerWakeUp)) {
            sweeping_ = false;
            return next();
        }
        boost::asio::post(io_, [self = shared_from_this()] {
            if (!self->closed_) self->sweep_some();
        });
    }

    void lose(const char* why) {
        dumping_ = false;
        observer_.on_kernel_lost({std::string("netlink: ") + why});
        close();
    }

    [[nodiscard]] std::uint32_t port() const { return nl_socket_get_local_port(socket_); }

    boost::asio::io_context& io_;
    KernelObserver& observer_;
    nl_sock* socket_;
    boost::asio::posix::stream_descriptor stream_;

    KernelTables tables_;

    KernelTable table_ = KernelTable::links;  ///< of the dump or sweep in progress
    std::uint32_t sequence_ = 0;
    unsigned attempts_ = 0;
    bool dumping_ = false;
    bool sweeping_ = false;
    bool interrupted_ = false;
    bool resyncing_ = false;
    bool resync_wanted_ = false;
    bool closed_ = false;
    std::bitset<kKernelTables> wanted_;  ///< tables to be dumped
    std::bitset<kKernelTables> again_;   ///< of those, the ones that a resync does not wait for any more

    alignas(nlmsghdr) std::array<char, 65536> buffer_;
};

Netlink::Netlink(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Netlink::~Netlink() {
    impl_->close();
}
void Netlink::start() {
    impl_->start();
}
const NetlinkCounters& Netlink::counters() const {
    return impl_->counters;
}
NetlinkSizes Netlink::sizes() const {
    return impl_->sizes();
}

OrFailure<std::unique_ptr<Netlink>> Netlink::open(boost::asio::io_context& io, KernelObserver& observer,
                                                  RtnlRequests& requests, const NetlinkOptions& options) {
    nl_sock* socket = nl_socket_alloc();
    if (socket == nullptr) return Failure{"netlink socket: out of memory"};
    int error = nl_connect(socket, NETLINK_ROUTE);
    if (error == 0)
        error = nl_socket_add_memberships(socket, RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                                          RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEIGH, RTNLGRP_NEXTHOP, 0);
    if (error < 0) {
        nl_socket_free(socket);
        return Failure{std::string("netlink socket: ") + nl_geterror(error)};
    }
    // A smaller buffer than asked for means more resyncs, no harm.
    const int fd = nl_socket_get_fd(socket);
    const int bytes = options.receive_buffer_bytes;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) != 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    return std::unique_ptr<Netlink>(new Netlink(std::make_shared<Impl>(io, observer, requests, socket)));
}

}  // namespace sluice
